// Which process a ghost task belongs to, as procfs tells it: so that tables are found, and that a number which names
// another process by now is noticed.
//
// Reads two or three small files: not in a pass. Any thread.
#ifndef GHOST_SCHEDULERS_HINTS_CLIENT_THREAD_H_
#define GHOST_SCHEDULERS_HINTS_CLIENT_THREAD_H_

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ghost {

// A process, for as long as the machine runs: no two have both in common.
struct ProcessId {
  pid_t pid = 0;
  uint64_t start = 0;  // when it was started, in clock ticks since boot

  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const ProcessId& id) {
    return H::combine(std::move(state), id.pid, id.start);
  }
};

struct ClientThread {
  pid_t tid = 0;      // in the pid namespace of `procfs`
  pid_t own_tid = 0;  // in the thread's own: what gettid() says there
  ProcessId process;
};

// The thread that the kernel calls `gtid`. NotFound: it is gone.
absl::StatusOr<ClientThread> FindClientThread(int64_t gtid, const std::string& procfs);

// Whether the thread belongs to that process (still).
bool IsOf(pid_t tid, const ProcessId& process, const std::string& procfs);

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_HINTS_CLIENT_THREAD_H_
