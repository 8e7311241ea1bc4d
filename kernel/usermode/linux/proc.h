// What procfs says about one thread. Nothing is cached; a thread that is gone gives nullopt.
#ifndef GHOST_KERNEL_USERMODE_LINUX_PROC_H_
#define GHOST_KERNEL_USERMODE_LINUX_PROC_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace ghost::usermode {

struct ThreadStat {  // /proc/<tid>/stat
  char state = '?';  // R, S, D, T, t, Z, X, …
  bool kernel_thread = false;
  bool exiting = false;     // it runs no more user code; it may not be a zombie yet
  uint64_t start_time = 0;  // ticks since boot: with the tid, an identity
  int nice = 0;
};
std::optional<ThreadStat> ReadThreadStat(int32_t tid);

// Its state alone, at a cost that does not grow with the threads of its process; '?' if it is gone.
char ReadThreadState(int32_t tid);

struct ThreadStatus {  // /proc/<tid>/status
  int32_t tgid = 0;
  int32_t tracer = 0;  // TracerPid
  uid_t uid = 0;       // real
  uid_t euid = 0;
  uint64_t pending = 0;  // signals: pending for the thread or its process and not blocked; bit n-1 = signal n
  uint64_t ignored = 0;  // SigIgn
  uint64_t caught = 0;   // SigCgt
};
std::optional<ThreadStatus> ReadThreadStatus(int32_t tid);

// The number of the system call that a sleeping thread sleeps in (it could be a page fault): /proc/<tid>/syscall.
std::optional<long> SleepsInSystemCall(int32_t tid);

// Time on CPU so far, ns (/proc/<tid>/schedstat).
std::optional<uint64_t> ReadRuntimeNs(int32_t tid);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_PROC_H_
