// Points in time of this project: CLOCK_MONOTONIC, in ns, as a type of its own. Durations are absl::Duration.
//
// Policies are given a Time and never read a clock; runtimes read it once a pass (about 22 ns).
#ifndef GHOST_LIB_BASE_TIME_H_
#define GHOST_LIB_BASE_TIME_H_

#include <time.h>

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace ghost {

// a + b, neither of which is negative, or INT64_MAX where that is too much.
constexpr int64_t SaturatedSum(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

class Time {
 public:
  constexpr Time() = default;
  static constexpr Time FromNanoseconds(int64_t ns) {
    Time time;
    time.ns_ = ns;
    return time;
  }
  // Later than every real time.
  static constexpr Time Infinite() { return FromNanoseconds(INT64_MAX); }
  static Time Now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return FromNanoseconds(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
  }

  constexpr int64_t ns() const { return ns_; }
  friend constexpr auto operator<=>(const Time&, const Time&) = default;
  // So much later, or Infinite() where that is too much. ns >= 0.
  constexpr Time PlusNanoseconds(int64_t ns) const { return FromNanoseconds(SaturatedSum(ns_, ns)); }
  // The difference in ns, for hot paths.
  static constexpr int64_t NanosecondsBetween(Time from, Time to) { return to.ns_ - from.ns_; }
  friend absl::Duration operator-(Time a, Time b) { return absl::Nanoseconds(a.ns_ - b.ns_); }
  // Saturates: an infinite time or duration gives Infinite().
  friend Time operator+(Time a, absl::Duration d) {
    const int64_t d_ns = absl::ToInt64Nanoseconds(d);
    int64_t ns;
    if (a == Infinite() || __builtin_add_overflow(a.ns_, d_ns, &ns)) {
      return a == Infinite() || d_ns > 0 ? Infinite() : FromNanoseconds(INT64_MIN);
    }
    return FromNanoseconds(ns);
  }

 private:
  int64_t ns_ = 0;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_TIME_H_
