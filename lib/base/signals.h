// Signals as a descriptor: nothing at all is done in a signal handler.
//
// Signals that are blocked wait until they are read. Block them before the first thread and the first fork, so that
// they are blocked everywhere; a child that becomes another program gives back the mask from before.
//
//     GHOST_ASSIGN_OR_RETURN(SignalFd signals, SignalFd::Open(SignalSet({SIGINT, SIGTERM})));
//     poll({signals.fd(), …});
//     while (auto signal = signals.Next()) Handle(signal->ssi_signo);
//
// Any thread; a signal is read once, by whoever comes first.
#ifndef GHOST_LIB_BASE_SIGNALS_H_
#define GHOST_LIB_BASE_SIGNALS_H_

#include <signal.h>
#include <sys/signalfd.h>

#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace ghost {

sigset_t SignalSet(std::initializer_list<int> signals);

class SignalFd {
 public:
  SignalFd() = default;
  // Blocks the signals in the calling thread, and so in threads and children that it starts from now on. They stay
  // blocked when the object goes: one that comes during the end of a program does not kill it half-way.
  static absl::StatusOr<SignalFd> Open(const sigset_t& signals);

  // Readable while a signal waits.
  int fd() const { return fd_.get(); }
  // The next signal, if one waits.
  std::optional<signalfd_siginfo> Next();

 private:
  explicit SignalFd(ScopedFd fd) : fd_(std::move(fd)) {}

  ScopedFd fd_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_SIGNALS_H_
