// A private view of the file system in which a ghostfs appears at /sys/fs/ghost, for programs that look nowhere else.
#ifndef GHOST_UTIL_CTL_NAMESPACE_H_
#define GHOST_UTIL_CTL_NAMESPACE_H_

#include <string>

#include "absl/status/status.h"

namespace ghost::ctl {

// Where every ghost program looks first, and upstream's look only.
inline constexpr char kSysfsMount[] = "/sys/fs/ghost";

// Gives the calling process, which must have one thread, a mount namespace of its own (and a user namespace where it
// may not otherwise) whose /sys/fs/ghost is the directory `ghostfs`. The rest of /sys/fs stays as it was, and mounts
// made outside later still appear inside. Directories cannot be made in sysfs, so /sys/fs becomes a small tmpfs with
// every former child bound back into it. Mounting the ghostfs there is EBUSY, as on a ghost kernel (ghost_mounts.h).
absl::Status EnterGhostNamespace(const std::string& ghostfs);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_NAMESPACE_H_
