#include "lib/base/poll_until.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(PollUntil, AsksOnceWhenThereIsNoTime) {
  int asked = 0;
  EXPECT_TRUE(PollUntil(absl::ZeroDuration(), [&] { return ++asked == 1; }));
  EXPECT_FALSE(PollUntil(absl::ZeroDuration(), [&] { return ++asked == 1; }));
  EXPECT_EQ(asked, 2);
}

TEST(PollUntil, StopsAtTheFirstYes) {
  int asked = 0;
  EXPECT_TRUE(PollUntil(absl::InfiniteDuration(), [&] { return ++asked == 5; }));
  EXPECT_EQ(asked, 5);
}

TEST(PollUntil, GivesUpWhenTimeIsUp) {
  const Time start = Time::Now();
  EXPECT_FALSE(PollUntil(absl::Milliseconds(3), [] { return false; }));
  EXPECT_GE(Time::Now() - start, absl::Milliseconds(3));
}

}  // namespace
}  // namespace ghost
