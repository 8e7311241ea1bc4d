// Counts of values (times, mostly) in log-linear buckets: any percentile within 1/8 of the true value, in 4 KiB,
// without allocation. BasicHistogram<kSubBits> is the same within 1/2^kSubBits, in about 2^(kSubBits + 9) bytes: what
// experiments report is a BasicHistogram<7>'s, within 1 %.
//
// What it is not: thread-safe. Add is a handful of instructions, fit for a schedule pass. Each thread has its own, and
// Merge adds them up.
#ifndef GHOST_LIB_BASE_HISTOGRAM_H_
#define GHOST_LIB_BASE_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ghost {

template <int kSubBits>
class BasicHistogram {
 public:
  void Add(uint64_t value) {
    ++counts_[BucketOf(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  void Merge(const BasicHistogram& other) {
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) counts_[bucket] += other.counts_[bucket];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  // The value that the fraction `p` (0..1) of all values does not exceed: the upper end of its bucket, at most max().
  // 0 if there are no values.
  uint64_t Percentile(double p) const {
    if (count_ == 0) return 0;
    const auto rank = static_cast<uint64_t>(p * static_cast<double>(count_ - 1)) + 1;
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen >= rank) return std::min(UpperEnd(bucket), max_);
    }
    return max_;
  }

 private:
  // Values below kSub have a bucket each; then kSub buckets for each power of two.
  static constexpr size_t kSub = size_t{1} << kSubBits;

  static constexpr size_t BucketOf(uint64_t value) {
    if (value < kSub) return static_cast<size_t>(value);
    const int shift = std::bit_width(value) - 1 - kSubBits;
    return (static_cast<size_t>(shift) + 1) * kSub + static_cast<size_t>((value >> shift) & (kSub - 1));
  }
  static constexpr uint64_t UpperEnd(size_t bucket) {
    if (bucket < kSub) return bucket;
    const size_t shift = bucket / kSub - 1;
    return ((uint64_t{kSub + bucket % kSub} + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kSubBits + 1)* kSub> counts_ = {};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

using Histogram = BasicHistogram<3>;

}  // namespace ghost

#endif  // GHOST_LIB_BASE_HISTOGRAM_H_
