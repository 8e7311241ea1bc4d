// Processes, their threads and cgroups, as /proc and /sys/fs/cgroup list them now.
#ifndef GHOST_UTIL_CTL_THREADS_H_
#define GHOST_UTIL_CTL_THREADS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// The threads of the process `pid` (also if `pid` is one of its other threads). NotFound if there is none.
absl::StatusOr<std::vector<pid_t>> ThreadsOf(pid_t pid);

// The processes in a cgroup and all cgroups below it. `path` is a directory, or a name below /sys/fs/cgroup (v2, or any
// hierarchy of v1).
absl::StatusOr<std::vector<pid_t>> ProcessesInCgroup(const std::string& path);

// What /proc says of one thread.
struct ThreadState {
  char state = '?';  // R, S, D, T, t, Z, X
  pid_t tracer = 0;  // who traces it with ptrace
  bool kernel_thread = false;
};
absl::StatusOr<ThreadState> StateOfThread(pid_t tid);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_THREADS_H_
