#include "util/ctl/poller.h"

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ghost::ctl {
namespace {

// Rounded up, so that a wait that times out is over.
int MillisecondsUntil(Time deadline) {
  if (deadline == Time::Infinite()) return -1;
  const int64_t ns = std::max<int64_t>(0, Time::NanosecondsBetween(Time::Now(), deadline));
  constexpr int64_t kMaxMs = 24 * 3600 * 1000;
  return static_cast<int>(std::min(kMaxMs, (ns + 999'999) / 1'000'000));
}

}  // namespace

bool Poller::Wait(Time deadline) {
  std::vector<pollfd> fds;
  for (const auto& [fd, callback] : callbacks_) fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  int ready;
  do {
    ready = poll(fds.data(), fds.size(), MillisecondsUntil(deadline));
  } while (ready < 0);  // EINTR: the deadline is looked at again
  for (const pollfd& polled : fds) {
    if (polled.revents == 0) continue;
    // An earlier callback may have taken this one away.
    auto found = callbacks_.find(polled.fd);
    if (found == callbacks_.end()) continue;
    const std::function<void()> callback = found->second;
    callback();
  }
  return ready > 0;
}

}  // namespace ghost::ctl
