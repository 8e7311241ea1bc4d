// A minimal event loop: file descriptors with a callback each, for one thread.
//
//     Poller poller;
//     poller.Watch(fd, [&] { … });
//     while (!done && poller.Wait(deadline)) {}
#ifndef GHOST_UTIL_CTL_POLLER_H_
#define GHOST_UTIL_CTL_POLLER_H_

#include <functional>
#include <map>

#include "lib/base/time.h"

namespace ghost::ctl {

class Poller {
 public:
  // `callback` runs whenever fd is readable or its other end has gone. It may watch and unwatch, also its own fd.
  void Watch(int fd, std::function<void()> callback) { callbacks_[fd] = std::move(callback); }
  void Unwatch(int fd) { callbacks_.erase(fd); }

  // Waits for at least one event and runs its callbacks. False: the deadline passed first.
  bool Wait(Time deadline = Time::Infinite());

 private:
  std::map<int, std::function<void()>> callbacks_;
};

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_POLLER_H_
