#include "lib/base/time.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

constexpr Time At(int64_t ns) { return Time::FromNanoseconds(ns); }

TEST(Time, IsMonotonic) {
  const Time before = Time::Now();
  const Time after = Time::Now();
  EXPECT_LE(before, after);
  EXPECT_GT(before.ns(), 0);
  EXPECT_LT(after, Time::Infinite());
}

TEST(Time, Arithmetic) {
  EXPECT_EQ(At(1000) + absl::Nanoseconds(5), At(1005));
  EXPECT_EQ(At(1000) + -absl::Nanoseconds(5), At(995));
  EXPECT_EQ(At(1500) - At(500), absl::Microseconds(1));
  EXPECT_EQ(Time::NanosecondsBetween(At(5), At(7)), 2);
}

TEST(Time, InfiniteIsLaterThanAll) {
  EXPECT_EQ(At(1) + absl::InfiniteDuration(), Time::Infinite());
  EXPECT_EQ(Time::Infinite() + absl::Seconds(1), Time::Infinite());
  EXPECT_EQ(Time::Infinite() + -absl::Seconds(1), Time::Infinite());
  EXPECT_EQ(At(-5) + -absl::InfiniteDuration(), At(INT64_MIN));
}

}  // namespace
}  // namespace ghost
