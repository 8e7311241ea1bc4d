#include "experiments/common/doorbell.h"

#include <thread>

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(DoorbellTest, SleepEndsAtItsDeadline) {
  Doorbell bell;
  const Time deadline = Time::Now() + absl::Milliseconds(2);
  while (Time::Now() < deadline) {
    bell.Prepare();
    bell.Sleep(deadline);
  }
  EXPECT_GE(Time::Now(), deadline);
}

TEST(DoorbellTest, ARingBetweenPrepareAndSleepEndsTheSleep) {
  Doorbell bell;
  bell.Prepare();
  bell.Ring();
  const Time before = Time::Now();
  bell.Sleep(before + absl::Seconds(60));
  EXPECT_LT(Time::Now() - before, absl::Seconds(30));
}

// Two threads hand a number to and fro; a lost ring would end in the deadline.
TEST(DoorbellTest, NoRingIsLost) {
  constexpr int kRounds = 50'000;
  std::atomic<int> number = 0;
  Doorbell bells[2];
  std::atomic<int> timeouts = 0;
  const auto play = [&](int me) {
    for (int turn = me; turn < kRounds; turn += 2) {
      while (number.load(std::memory_order_acquire) != turn) {
        bells[me].Prepare();
        if (number.load(std::memory_order_acquire) == turn) {
          bells[me].Cancel();
          break;
        }
        const Time deadline = Time::Now() + absl::Seconds(30);
        bells[me].Sleep(deadline);
        if (Time::Now() >= deadline) ++timeouts;
      }
      number.store(turn + 1, std::memory_order_release);
      bells[1 - me].Ring();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(number, kRounds);
  EXPECT_EQ(timeouts, 0);
}

}  // namespace
}  // namespace ghost
