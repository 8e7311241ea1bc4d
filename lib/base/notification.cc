#include "lib/base/notification.h"

#include "lib/base/futex.h"

namespace ghost {

void Notification::Notify() {
  // After the exchange a waiter may be gone, and this object with it: FutexWake copes with that.
  if (state_.exchange(kNotified, std::memory_order_acq_rel) == kAwaited) FutexWake(state_);
}

bool Notification::WaitUntil(Time deadline) {
  for (;;) {
    uint32_t state = state_.load(std::memory_order_acquire);
    if (state == kNotified) return true;
    if (state == kIdle && !state_.compare_exchange_strong(state, kAwaited, std::memory_order_acquire)) continue;
    if (FutexWait(state_, kAwaited, deadline) == FutexResult::kTimedOut) return HasBeenNotified();
  }
}

}  // namespace ghost
