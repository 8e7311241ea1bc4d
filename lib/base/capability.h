// The capabilities of the calling thread. Any thread.
#ifndef GHOST_LIB_BASE_CAPABILITY_H_
#define GHOST_LIB_BASE_CAPABILITY_H_

namespace ghost {

// Whether the calling thread may use `capability` (linux/capability.h), in its own user namespace.
bool HasCapability(int capability);

}  // namespace ghost

#endif  // GHOST_LIB_BASE_CAPABILITY_H_
