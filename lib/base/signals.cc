#include "lib/base/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/logging.h"

namespace ghost {

SignalThread::SignalThread(Callbacks callbacks) : callbacks_(std::move(callbacks)) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const auto& [signal, callback] : callbacks_) GHOST_CHECK(sigaddset(&signals, signal) == 0) << signal;
  GHOST_CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  signal_fd_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  stop_fd_.reset(eventfd(0, EFD_CLOEXEC));
  GHOST_CHECK(signal_fd_.valid() && stop_fd_.valid()) << "errno " << errno;
  thread_ = std::thread(&SignalThread::Loop, this);
}

SignalThread::~SignalThread() {
  GHOST_CHECK(eventfd_write(stop_fd_.get(), 1) == 0);
  thread_.join();
}

void SignalThread::Loop() {
  pollfd fds[] = {{.fd = stop_fd_.get(), .events = POLLIN, .revents = 0},
                  {.fd = signal_fd_.get(), .events = POLLIN, .revents = 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) {
      GHOST_CHECK(errno == EINTR);
      continue;
    }
    if (fds[0].revents != 0) return;
    signalfd_siginfo info;
    // Another thread that waits for the same signal may have taken it.
    if (read(signal_fd_.get(), &info, sizeof(info)) != sizeof(info)) continue;
    const int signal = static_cast<int>(info.ssi_signo);
    callbacks_.at(signal)(signal);
  }
}

void UnblockSignals() {
  for (int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGPIPE}) {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace ghost
