#include "lib/base/signals.h"

#include <unistd.h>

#include <cerrno>

#include "lib/base/logging.h"
#include "lib/base/status.h"

namespace ghost {

sigset_t SignalSet(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) GHOST_CHECK(sigaddset(&set, signal) == 0) << "signal " << signal;
  return set;
}

absl::StatusOr<SignalFd> SignalFd::Open(const sigset_t& signals) {
  GHOST_CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  ScopedFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot receive signals");
  return SignalFd(std::move(fd));
}

std::optional<signalfd_siginfo> SignalFd::Next() {
  signalfd_siginfo info;
  ssize_t n;
  do {
    n = read(fd_.get(), &info, sizeof(info));
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(info)) return std::nullopt;
  return info;
}

}  // namespace ghost
