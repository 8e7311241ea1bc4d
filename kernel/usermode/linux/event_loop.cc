#include "kernel/usermode/linux/event_loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/logging.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

constexpr int kBatch = 32;
constexpr size_t kExpectedTimers = 1024;

}  // namespace

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) { GHOST_CHECK(epoll_.valid()) << "errno " << errno; }

EventLoop::~EventLoop() = default;

bool EventLoop::Watch(int fd, std::function<void()> on_readable) {
  Unwatch(fd);
  auto watcher = std::make_unique<Watcher>();
  watcher->fd = fd;
  watcher->on_readable = std::move(on_readable);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = watcher.get();
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return false;
  watchers_[fd] = std::move(watcher);
  return true;
}

void EventLoop::Unwatch(int fd) {
  auto it = watchers_.find(fd);
  if (it == watchers_.end()) return;
  // Fails only if the descriptor was closed before, which removed it, too.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  it->second->dead = true;
  graveyard_.push_back(std::move(it->second));
  watchers_.erase(it);
}

void EventLoop::AddPoller(std::function<bool()> poll) { pollers_.push_back(std::move(poll)); }

void EventLoop::Poll() {
  bool busy = true;
  for (int round = 0; busy && round < kMaxRounds; ++round) {
    busy = false;
    // By index: a poller may add pollers.
    for (size_t i = 0; i < pollers_.size(); ++i) busy |= pollers_[i]();
  }
}

void EventLoop::Run() {
  stopped_ = false;
  Poll();
  while (!stopped_) RunOnce(-1);
}

void EventLoop::RunOnce(int timeout_ms) {
  epoll_event events[kBatch];
  int count = epoll_wait(epoll_.get(), events, kBatch, timeout_ms);
  GHOST_CHECK(count >= 0 || errno == EINTR) << "epoll_wait: errno " << errno;
  for (int i = 0; i < count; ++i) {
    auto* watcher = static_cast<Watcher*>(events[i].data.ptr);
    if (!watcher->dead) watcher->on_readable();
  }
  graveyard_.clear();
  Poll();
}

TimerSet::TimerSet(EventLoop* loop, std::function<void(uint64_t id)> on_expired)
    : loop_(loop),
      on_expired_(std::move(on_expired)),
      timerfd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  GHOST_CHECK(timerfd_.valid()) << "errno " << errno;
  heap_.reserve(kExpectedTimers);
  positions_.reserve(kExpectedTimers);
  GHOST_CHECK(loop_->Watch(timerfd_.get(), [this] { OnReadable(); })) << "errno " << errno;
}

TimerSet::~TimerSet() { loop_->Unwatch(timerfd_.get()); }

void TimerSet::Place(size_t index, const Timer& timer) {
  heap_[index] = timer;
  positions_[timer.id] = index;
}

void TimerSet::SiftUp(size_t index, Timer timer) {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent].when_ns <= timer.when_ns) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, timer);
}

void TimerSet::SiftDown(size_t index, Timer timer) {
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].when_ns < heap_[child].when_ns) ++child;
    if (heap_[child].when_ns >= timer.when_ns) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, timer);
}

void TimerSet::RemoveAt(size_t index) {
  positions_.erase(heap_[index].id);
  const Timer last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && last.when_ns < heap_[(index - 1) / 2].when_ns) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

void TimerSet::Arm(uint64_t id, int64_t when_ns) {
  const Timer timer = {std::max<int64_t>(when_ns, 1), id};  // an all-zero time would stop the timerfd
  auto it = positions_.find(id);
  if (it == positions_.end()) {
    heap_.push_back(timer);
    SiftUp(heap_.size() - 1, timer);
  } else if (timer.when_ns < heap_[it->second].when_ns) {
    SiftUp(it->second, timer);
  } else {
    SiftDown(it->second, timer);
  }
  if (heap_[0].when_ns < programmed_ns_) Program();
}

void TimerSet::Disarm(uint64_t id) {
  auto it = positions_.find(id);
  // The timerfd stays as it is: an expiry for nothing is cheaper than a syscall for every disarmed timer.
  if (it != positions_.end()) RemoveAt(it->second);
}

void TimerSet::Program() {
  programmed_ns_ = heap_[0].when_ns;
  itimerspec when = {};
  when.it_value.tv_sec = programmed_ns_ / 1'000'000'000;
  when.it_value.tv_nsec = programmed_ns_ % 1'000'000'000;
  GHOST_CHECK(timerfd_settime(timerfd_.get(), TFD_TIMER_ABSTIME, &when, nullptr) == 0) << "errno " << errno;
}

void TimerSet::OnReadable() {
  uint64_t expirations;
  if (read(timerfd_.get(), &expirations, sizeof(expirations)) < 0) return;  // re-armed since: EAGAIN
  programmed_ns_ = INT64_MAX;
  // What a callback arms for now waits for the next turn of the loop, so that others get theirs.
  const int64_t now_ns = Time::Now().ns();
  size_t budget = heap_.size();
  while (budget-- > 0 && !heap_.empty() && heap_[0].when_ns <= now_ns) {
    const uint64_t id = heap_[0].id;
    RemoveAt(0);
    on_expired_(id);
  }
  if (!heap_.empty() && heap_[0].when_ns < programmed_ns_) Program();
}

}  // namespace ghost::usermode
