// Signals as calls on an ordinary thread: nothing at all is done in a signal handler.
//
// A SignalThread blocks the signals it is given, in the thread that makes it and in every thread started after that (so
// make it first thing in main), and one thread of its own waits for them and calls the callbacks, one at a time.
//
// Children inherit blocked signals, through exec too: a child calls UnblockSignals() before exec.
//
//     Notification stop;
//     SignalThread signals({{SIGINT, [&](int) { stop.Notify(); }}, {SIGUSR1, [&](int) { Dump(); }}});
//     stop.Wait();
#ifndef GHOST_LIB_BASE_SIGNALS_H_
#define GHOST_LIB_BASE_SIGNALS_H_

#include <signal.h>

#include <functional>
#include <map>
#include <thread>

#include "lib/base/file.h"

namespace ghost {

class SignalThread {
 public:
  // By signal number. A callback gets the signal, may block, and must not destroy the SignalThread.
  using Callbacks = std::map<int, std::function<void(int signal)>>;

  explicit SignalThread(Callbacks callbacks);
  // Waits for a callback that is running. The signals stay blocked: one that comes during the end of a program does not
  // kill it half-way.
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void Loop();

  const Callbacks callbacks_;
  ScopedFd signal_fd_;
  ScopedFd stop_fd_;  // an eventfd
  std::thread thread_;
};

// Unblocks every signal in the calling thread and gives SIGINT, SIGTERM, SIGQUIT, SIGHUP and SIGPIPE back their default
// actions: what a program expects that is started by exec. Async-signal-safe.
void UnblockSignals();

}  // namespace ghost

#endif  // GHOST_LIB_BASE_SIGNALS_H_
