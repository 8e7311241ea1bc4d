// The state's consistency, for tests and for those who suspect a bug of ours.
#ifndef GHOST_KERNEL_USERMODE_CORE_INVARIANTS_H_
#define GHOST_KERNEL_USERMODE_CORE_INVARIANTS_H_

#include <string>

#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

// What does not agree, in one line, or nothing: a task on two CPUs, a latch of one side only, counts that do not add
// up, a list with the wrong tasks. All agrees between any two entries into the core, whatever agents write.
std::string FindInconsistency(const State& state);
// Panics instead.
void CheckInvariants(const State& state);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_INVARIANTS_H_
