// ghostd's one thread: an epoll loop over descriptors and pollers, and a set of timers behind one descriptor.
//
// What it is not: no threads, no priorities, no deferred work queue. All methods belong to the loop's thread (or to the
// thread that will call Run); callbacks run on it, one at a time, and may call any method, also Unwatch of themselves.
//
//     EventLoop loop;
//     loop.Watch(fuse_fd, [&] { server.ReadOne(); });
//     loop.AddPoller([&] { return ring.Drain() > 0; });
//     loop.Run();                       // until Stop()
#ifndef GHOST_KERNEL_USERMODE_LINUX_EVENT_LOOP_H_
#define GHOST_KERNEL_USERMODE_LINUX_EVENT_LOOP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/file.h"

namespace ghost::usermode {

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `on_readable` whenever `fd` is readable or broken (level triggered: as long as it stays so). One callback per
  // descriptor, replacing an earlier one. False: epoll refused the descriptor, errno says why. The caller keeps the fd
  // and calls Unwatch before closing it.
  bool Watch(int fd, std::function<void()> on_readable);
  // The callback will not be called again, not even for an event that epoll has already delivered.
  void Unwatch(int fd);

  // `poll` returns true if it found something to do. Pollers run before the first wait and after every batch of events,
  // round after round until all of them return false, or for kMaxRounds: then descriptors get their turn. So what is
  // polled must be readable at a watched descriptor, too, while there is more of it.
  static constexpr int kMaxRounds = 8;
  void AddPoller(std::function<bool()> poll);

  // Dispatches until Stop is called. May be called again afterwards.
  void Run();
  // Waits for at most one batch of events (timeout_ms < 0: for ever) and handles it. For tests.
  void RunOnce(int timeout_ms);
  // Run returns after the current round of pollers.
  void Stop() { stopped_ = true; }

 private:
  struct Watcher {
    int fd;
    bool dead = false;
    std::function<void()> on_readable;
  };

  void Poll();

  ScopedFd epoll_;
  bool stopped_ = false;
  absl::flat_hash_map<int, std::unique_ptr<Watcher>> watchers_;
  std::vector<std::unique_ptr<Watcher>> graveyard_;  // unwatched; kept until epoll's batch can no longer name them
  std::vector<std::function<bool()>> pollers_;
};

// Timers by number, earliest first, on one timerfd (CLOCK_MONOTONIC).
class TimerSet {
 public:
  // `on_expired(id)` is called from the loop, once per Arm, at or after its time; the timer is no longer armed then.
  TimerSet(EventLoop* loop, std::function<void(uint64_t id)> on_expired);
  ~TimerSet();
  TimerSet(const TimerSet&) = delete;
  TimerSet& operator=(const TimerSet&) = delete;

  // At `when_ns` (CLOCK_MONOTONIC; the past means at once, from the loop). Replaces an armed timer with this id. One
  // syscall if it becomes the earliest, none otherwise.
  void Arm(uint64_t id, int64_t when_ns);
  // Nothing happens if it is not armed. No syscall.
  void Disarm(uint64_t id);

  size_t size() const { return heap_.size(); }

 private:
  struct Timer {
    int64_t when_ns;
    uint64_t id;
  };

  void OnReadable();
  void Place(size_t index, const Timer& timer);
  void SiftUp(size_t index, Timer timer);
  void SiftDown(size_t index, Timer timer);
  void RemoveAt(size_t index);
  void Program();

  EventLoop* const loop_;
  const std::function<void(uint64_t)> on_expired_;
  ScopedFd timerfd_;
  std::vector<Timer> heap_;                          // binary min-heap by when_ns
  absl::flat_hash_map<uint64_t, size_t> positions_;  // id -> index in heap_
  int64_t programmed_ns_ = INT64_MAX;                // what the timerfd is set to; never later than heap_[0]
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_EVENT_LOOP_H_
