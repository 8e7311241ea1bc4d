#include "kernel/usermode/sim/fair_queue.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ghost::sim {
namespace {

// Linux has these powers in a table, rounded.
int64_t Weighted(int64_t ns, int nice) {
  static const auto kFactors = [] {
    std::array<double, 40> factors{};
    for (size_t i = 0; i < factors.size(); ++i) factors[i] = std::pow(1.25, static_cast<int>(i) - 20);
    return factors;
  }();
  return static_cast<int64_t>(static_cast<double>(ns) * kFactors[static_cast<size_t>(std::clamp(nice, -20, 19) + 20)]);
}

bool HasHadLess(const Thread* a, const Thread* b) { return a->vruntime_ns < b->vruntime_ns; }

}  // namespace

void FairQueue::Account(uint64_t runtime_ns) {
  if (threads_.empty()) return;
  Thread& thread = first();
  thread.vruntime_ns += Weighted(static_cast<int64_t>(runtime_ns - thread.accounted_ns), thread.nice);
  thread.accounted_ns = runtime_ns;
  least_ns_ = std::max(least_ns_, (*std::min_element(threads_.begin(), threads_.end(), HasHadLess))->vruntime_ns);
}

bool FairQueue::Add(Thread& thread, int64_t lag_ns, uint64_t runtime_ns) {
  thread.vruntime_ns = least_ns_ + std::max(lag_ns, thread.woken ? -kSleepersBonusNs : 0);
  thread.accounted_ns = runtime_ns;
  const bool goes_first =
      !threads_.empty() && thread.woken && Lag(first()) - Lag(thread) > Weighted(kWakeupGranularityNs, thread.nice);
  threads_.insert(goes_first ? threads_.begin() : threads_.end(), &thread);
  return goes_first;
}

bool FairQueue::Remove(Thread& thread) {
  const auto found = std::find(threads_.begin(), threads_.end(), &thread);
  if (found == threads_.end()) return false;
  const bool was_first = found == threads_.begin();
  threads_.erase(found);
  if (was_first && !threads_.empty()) {
    const auto next = std::min_element(threads_.begin(), threads_.end(), HasHadLess);
    std::rotate(threads_.begin(), next, next + 1);
  }
  return true;
}

void FairQueue::Turn(bool yields) {
  if (threads_.size() < 2) return;
  const auto next = std::min_element(threads_.begin() + 1, threads_.end(), HasHadLess);
  if (!yields && HasHadLess(threads_.front(), *next)) return;
  Thread* const before = threads_.front();
  threads_.front() = *next;
  threads_.erase(next);
  threads_.push_back(before);
}

}  // namespace ghost::sim
