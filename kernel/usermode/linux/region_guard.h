// Survives the loss of mapped memory: whoever owns a region's file may truncate it at any moment, and an access beyond
// a file's end is a SIGBUS, which would be the end of ghostd.
//
// A handler puts fresh zeroed memory of ghostd's own in the place of the whole region, and the access is made again.
// The region's users see nothing more of ghostd from then on, nor it of them: what a truncated file stands for. What it
// is not: it knows no files. A SIGBUS at any other address kills, as it would.
//
// Loop thread only; the handler runs on that thread, inside an access to a region, so it never meets a half-made
// change.
#ifndef GHOST_KERNEL_USERMODE_LINUX_REGION_GUARD_H_
#define GHOST_KERNEL_USERMODE_LINUX_REGION_GUARD_H_

#include <cstddef>

namespace ghost::usermode::region_guard {

// The first call installs the handler.
void Add(void* address, size_t size);
void Remove(void* address);

}  // namespace ghost::usermode::region_guard

#endif  // GHOST_KERNEL_USERMODE_LINUX_REGION_GUARD_H_
