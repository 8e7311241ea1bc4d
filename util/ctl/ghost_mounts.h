// mount(2) of a ghostfs on a kernel that has none, for programs that mount it themselves before they look.
//
// On a ghost kernel whose ghostfs is mounted, mount("ghost", "/sys/fs/ghost", "ghost") is EBUSY, and programs written
// for it (upstream's, as they start) take that for "it is there", and any other error for the end. Another kernel does
// not know the type: ENODEV.
#ifndef GHOST_UTIL_CTL_GHOST_MOUNTS_H_
#define GHOST_UTIL_CTL_GHOST_MOUNTS_H_

#include "absl/status/status.h"

namespace ghost::ctl {

// Lets this process, which must have one thread and CAP_SYS_ADMIN in its user namespace, and all that come of it, see
// that: a seccomp filter hands their mounts to a process that answers those of type ghost at /sys/fs/ghost, and lets
// the kernel do all others. That process is nobody's child, holds no file of this one, and ends with the last that it
// serves. OK, too, if an answer is given already, and where the kernel has no such filters (before Linux 5.9): mounts
// fail there as ever.
absl::Status AnswerGhostMounts();

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_GHOST_MOUNTS_H_
