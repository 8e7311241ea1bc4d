// Processes and their threads, as /proc lists them now.
#ifndef GHOST_UTIL_CTL_THREADS_H_
#define GHOST_UTIL_CTL_THREADS_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// The threads of the process `pid` (also if `pid` is one of its other threads). NotFound if there is none.
absl::StatusOr<std::vector<pid_t>> ThreadsOf(pid_t pid);

// What /proc says of one thread.
struct ThreadState {
  char state = '?';  // R, S, D, T, t, Z, X
  pid_t tracer = 0;  // who traces it with ptrace
  bool kernel_thread = false;
};
absl::StatusOr<ThreadState> StateOfThread(pid_t tid);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_THREADS_H_
