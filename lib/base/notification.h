// An event that one side announces and others wait for. It works between processes: put it in shared memory (zeroed
// memory is an event that has not happened).
//
// Not a counter: Notify twice is as once. Any thread may call anything, but Reset only when nobody waits any more.
//
//     Notification done;
//     std::thread worker([&] { …; done.Notify(); });
//     done.Wait();                     // everything before Notify() is visible now
#ifndef GHOST_LIB_BASE_NOTIFICATION_H_
#define GHOST_LIB_BASE_NOTIFICATION_H_

#include <atomic>
#include <cstdint>

#include "lib/base/time.h"

namespace ghost {

class Notification {
 public:
  Notification() = default;
  Notification(const Notification&) = delete;
  Notification& operator=(const Notification&) = delete;

  // A system call only if somebody sleeps.
  void Notify();
  bool HasBeenNotified() const { return state_.load(std::memory_order_acquire) == kNotified; }
  void Wait() { WaitUntil(Time::Infinite()); }
  // Whether it was notified, at `deadline` at the latest.
  bool WaitUntil(Time deadline);
  // Back to "has not happened".
  void Reset() { state_.store(kIdle, std::memory_order_relaxed); }

 private:
  enum State : uint32_t {
    kIdle = 0,
    kAwaited = 1,  // somebody sleeps, or is about to
    kNotified = 2,
  };
  std::atomic<uint32_t> state_ = kIdle;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_NOTIFICATION_H_
