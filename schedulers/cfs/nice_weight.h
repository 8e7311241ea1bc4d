// NiceWeight: what share of a CPU a nice value stands for.
//
// Each step of nice is worth a factor of 1.25, so about 10 % of a CPU between two tasks; nice 0 is 1024. What it is
// not: the kernel's table, which is the same rule rounded by hand here and there.
//
// Threads: any.
#ifndef GHOST_SCHEDULERS_CFS_NICE_WEIGHT_H_
#define GHOST_SCHEDULERS_CFS_NICE_WEIGHT_H_

#include <algorithm>
#include <array>
#include <cstdint>

namespace ghost {

inline constexpr int kLeastNice = -20;
inline constexpr int kGreatestNice = 19;
inline constexpr int64_t kNice0Weight = 1024;

inline constexpr auto kNiceWeights = [] {
  std::array<int64_t, kGreatestNice - kLeastNice + 1> weights = {};
  double up = static_cast<double>(kNice0Weight);
  for (int nice = 0; nice >= kLeastNice; --nice, up *= 1.25) {
    weights[static_cast<size_t>(nice - kLeastNice)] = static_cast<int64_t>(up + 0.5);
  }
  double down = static_cast<double>(kNice0Weight);
  for (int nice = 0; nice <= kGreatestNice; ++nice, down /= 1.25) {
    weights[static_cast<size_t>(nice - kLeastNice)] = static_cast<int64_t>(down + 0.5);
  }
  return weights;
}();
static_assert(kNiceWeights[-kLeastNice] == kNice0Weight && kNiceWeights.front() == 88818 && kNiceWeights.back() == 15);

// Values outside of what nice may be count as the nearest that is inside: they come from messages.
constexpr int64_t NiceWeight(int nice) {
  return kNiceWeights[static_cast<size_t>(std::clamp(nice, kLeastNice, kGreatestNice) - kLeastNice)];
}

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_CFS_NICE_WEIGHT_H_
