#include "lib/base/process.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/logging.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// Milliseconds for poll, rounded up so that it does not return before the deadline.
int PollTimeout(Time deadline) {
  if (deadline == Time::Infinite()) return -1;
  const int64_t ns = std::max<int64_t>(0, Time::NanosecondsBetween(Time::Now(), deadline));
  return static_cast<int>(std::min<int64_t>((ns + 999'999) / 1'000'000, INT32_MAX));
}

}  // namespace

absl::StatusOr<ScopedFd> OpenPidfd(pid_t pid) {
  ScopedFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("cannot open process ", pid));
  return fd;
}

absl::Status SendSignal(const ScopedFd& pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("cannot send signal ", signal));
}

bool WaitForExit(const ScopedFd& pidfd, Time deadline) {
  for (;;) {
    pollfd poll_fd = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const int ready = poll(&poll_fd, 1, PollTimeout(deadline));
    if (ready > 0) return true;
    if (ready < 0) GHOST_CHECK(errno == EINTR) << "errno " << errno;
    if (Time::Now() >= deadline) return false;
  }
}

std::string ExitState::ToString() const {
  return signal != 0 ? absl::StrCat("killed by signal ", signal) : absl::StrCat("exit code ", code);
}

absl::Status DieWithParent(pid_t parent) {
  GHOST_CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  // It may have died before that.
  if (getppid() != parent) return ErrnoStatus(ESRCH, absl::StrCat("parent process ", parent));
  return absl::OkStatus();
}

absl::StatusOr<ChildProcess> ChildProcess::Fork(absl::FunctionRef<int()> body) {
  // What is in stdio's buffers would be written twice.
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "cannot fork");
  if (pid == 0) {
    if (!DieWithParent(parent).ok()) _exit(1);
    const int code = body();
    std::fflush(nullptr);
    _exit(code);
  }
  // It cannot be reaped by anyone but this object, so the pid is still its own.
  absl::StatusOr<ScopedFd> pidfd = OpenPidfd(pid);
  if (!pidfd.ok()) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return pidfd.status();
  }
  return ChildProcess(pid, *std::move(pidfd));
}

ChildProcess::~ChildProcess() { Reset(); }

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    Reset();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

void ChildProcess::Reset() {
  if (pid_ < 0) return;
  // It may have ended by itself.
  SendSignal(pidfd_, SIGKILL).IgnoreError();
  Wait();
}

ExitState ChildProcess::Wait() {
  GHOST_CHECK(pid_ >= 0) << "waited for twice";
  siginfo_t info = {};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) < 0) {
    GHOST_CHECK(errno == EINTR) << "waitid of " << pid_ << ": errno " << errno;
  }
  pid_ = -1;
  if (info.si_code == CLD_EXITED) return {.code = info.si_status, .signal = 0};
  return {.code = 0, .signal = info.si_status};
}

}  // namespace ghost
