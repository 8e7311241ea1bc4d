#include "experiments/rocksdb/mailbox.h"

#include <sched.h>

#include "lib/base/futex.h"
#include "lib/base/logging.h"
#include "lib/base/spin.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

// After so long on a CPU without work nobody reads this worker's hints: an agent that does takes some 10 us, or a ms
// where it sleeps in between.
constexpr int64_t kHintedNs = 2'000'000;

}  // namespace

void Mailbox::Set(State state) {
  if (state_.exchange(state, std::memory_order_acq_rel) == kSleeping) FutexWake(state_, 1);
}

void Mailbox::Put(int count) {
  GHOST_DCHECK(IsEmpty() && count > 0);
  count_ = count;
  Set(kFull);
}

bool Mailbox::Close() {
  if (state_.load(std::memory_order_acquire) == kClosed) return true;
  if (!IsEmpty()) return false;
  Set(kClosed);
  return true;
}

bool Mailbox::Wait(Waiting waiting) {
  if (waiting != Waiting::kSleep) SpinUntilFull(waiting);
  if (!IsFullOrClosed()) SleepUntilFull();
  return state_.load(std::memory_order_acquire) == kFull;
}

// With kHinted it may return without it.
void Mailbox::SpinUntilFull(Waiting waiting) {
  const Time start = waiting == Waiting::kHinted ? Time::Now() : Time();
  while (!IsFullOrClosed()) {
    if (waiting == Waiting::kSpin) {
      Pause();
      continue;
    }
    sched_yield();
    if (waiting == Waiting::kHinted && Time::NanosecondsBetween(start, Time::Now()) > kHintedNs) return;
  }
}

void Mailbox::SleepUntilFull() {
  uint32_t expected = kEmpty;
  state_.compare_exchange_strong(expected, kSleeping, std::memory_order_acq_rel);
  while (!IsFullOrClosed()) FutexWait(state_, kSleeping);
}

}  // namespace ghost
