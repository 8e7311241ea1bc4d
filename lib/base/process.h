// Processes by pidfd: no pid is ever used for another process that got the same number.
//
// What it is not: a shell or a supervisor. Any thread.
#ifndef GHOST_LIB_BASE_PROCESS_H_
#define GHOST_LIB_BASE_PROCESS_H_

#include <sys/types.h>

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/time.h"

namespace ghost {

// ESRCH if there is no such process (a tid of a thread that leads no process: EINVAL, or ENOENT from Linux 6.9).
absl::StatusOr<ScopedFd> OpenPidfd(pid_t pid);

// ESRCH if it has been reaped. Signal 0 only asks.
absl::Status SendSignal(const ScopedFd& pidfd, int signal);

// Whether the process has ended (it may still be a zombie), waiting until `deadline`.
bool WaitForExit(const ScopedFd& pidfd, Time deadline = Time::Infinite());

// How a child ended.
struct ExitState {
  int code = 0;    // if signal is 0
  int signal = 0;  // what killed it, or 0

  bool ok() const { return code == 0 && signal == 0; }
  // As a shell's $?.
  int ShellCode() const { return signal != 0 ? 128 + signal : code; }
  // "exit code 3", "killed by signal 9".
  std::string ToString() const;
};

// Asks Linux to kill the calling process when its parent dies, and checks that the parent is still `parent`; else
// ESRCH. Linux means the parent's *thread* that forked: fork from one that lives as long as the process.
absl::Status DieWithParent(pid_t parent);

// A child made by fork. Killed and reaped when the object goes.
class ChildProcess {
 public:
  // Runs `body` in a child and exits with its result, flushing stdio and running no destructors. The child dies with
  // its parent (see DieWithParent). Fork while the process has one thread, or let `body` call only async-signal-safe
  // functions until exec.
  static absl::StatusOr<ChildProcess> Fork(absl::FunctionRef<int()> body);

  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  const ScopedFd& pidfd() const { return pidfd_; }
  // Waits for its end and reaps it. Once only.
  ExitState Wait();

 private:
  ChildProcess(pid_t pid, ScopedFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void Reset();

  pid_t pid_ = -1;  // -1: reaped or moved from
  ScopedFd pidfd_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_PROCESS_H_
