// Doorbell: how a thread sleeps until somebody has something for it, when that is said elsewhere (in mailboxes, in
// counters) and mostly while it is awake.
//
//     sleeper                                        ringer
//     bell.Prepare();                                publish something
//     if (nothing to do) bell.Sleep(deadline);       bell.Ring();
//     else bell.Cancel();
//
// What was published before Ring is either seen between Prepare and Sleep, or it ends the sleep. Ring is a fence and a
// load while nobody sleeps, and a system call only if somebody does. One sleeper, any ringers.
#ifndef GHOST_EXPERIMENTS_COMMON_DOORBELL_H_
#define GHOST_EXPERIMENTS_COMMON_DOORBELL_H_

#include <atomic>
#include <cstdint>

#include "lib/base/futex.h"
#include "lib/base/time.h"

namespace ghost {

class alignas(64) Doorbell {
 public:
  void Prepare() {
    state_.store(kSleeping, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void Cancel() { state_.store(kAwake, std::memory_order_relaxed); }
  // May also return early, for nothing.
  void Sleep(Time deadline) {
    FutexWait(state_, kSleeping, deadline);
    Cancel();
  }

  void Ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (state_.load(std::memory_order_relaxed) != kSleeping) return;
    if (state_.exchange(kAwake, std::memory_order_relaxed) == kSleeping) FutexWake(state_, 1);
  }

 private:
  static constexpr uint32_t kAwake = 0;
  static constexpr uint32_t kSleeping = 1;  // or about to

  std::atomic<uint32_t> state_ = kAwake;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_DOORBELL_H_
