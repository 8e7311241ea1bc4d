// Latencies: what a stage of many requests took, so that any percentile of it can be told afterwards.
//
// Add is O(1) and the memory bounded, however many requests there are: a histogram with buckets that are 1/128 wide, so
// that a percentile is at most 0.8 % above the true value; the smallest, the greatest and the sum are exact. Threads:
// each has its own; Merge adds them up at the end.
#ifndef GHOST_EXPERIMENTS_COMMON_LATENCIES_H_
#define GHOST_EXPERIMENTS_COMMON_LATENCIES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lib/base/histogram.h"

namespace ghost {

class Latencies {
 public:
  // A negative latency is a clock's, of a few ns between two CPUs: it counts as 0.
  void Add(int64_t ns) {
    const uint64_t value = static_cast<uint64_t>(std::max<int64_t>(ns, 0));
    histogram_.Add(value);
    min_ns_ = std::min(min_ns_, value);
    sum_ns_ += value;
  }
  void Merge(const Latencies& other) {
    histogram_.Merge(other.histogram_);
    min_ns_ = std::min(min_ns_, other.min_ns_);
    sum_ns_ += other.sum_ns_;
  }

  uint64_t count() const { return histogram_.count(); }
  // All are 0 if there are none.
  uint64_t min_ns() const { return count() == 0 ? 0 : min_ns_; }
  uint64_t max_ns() const { return histogram_.max(); }
  uint64_t mean_ns() const { return count() == 0 ? 0 : sum_ns_ / count(); }
  uint64_t sum_ns() const { return sum_ns_; }
  // What the fraction `p` (0..1) of all does not exceed, at least: of ten the tenth is their 99 %.
  uint64_t percentile_ns(double p) const {
    const double n = static_cast<double>(count());
    const double rank = std::clamp(std::ceil(p * n - 1e-9), 1.0, std::max(n, 1.0));
    // The histogram takes the value whose index, from 0, is its fraction of n - 1, rounded down.
    return std::max(histogram_.Percentile(n < 2 ? 0 : (rank - 0.5) / (n - 1)), min_ns());
  }

 private:
  BasicHistogram<7> histogram_;
  uint64_t min_ns_ = UINT64_MAX;
  uint64_t sum_ns_ = 0;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_LATENCIES_H_
