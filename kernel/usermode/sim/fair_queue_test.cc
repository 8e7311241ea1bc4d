#include "kernel/usermode/sim/fair_queue.h"

#include "gtest/gtest.h"

namespace ghost::sim {
namespace {

constexpr uint64_t kMs = 1'000'000;

class FairQueueTest : public testing::Test {
 protected:
  // It has had `ns` of CPU time while it was first.
  void First(uint64_t ns) { queue_.Account(queue_.first().accounted_ns + ns); }
  bool Wake(Thread& thread, int64_t lag_ns) {
    thread.woken = true;
    return queue_.Add(thread, lag_ns, thread.accounted_ns);
  }

  FairQueue queue_;
};

TEST_F(FairQueueTest, EqualsTakeTurns) {
  Thread a, b, c;
  for (Thread* thread : {&a, &b, &c}) EXPECT_FALSE(queue_.Add(*thread, 0, 0));
  for (Thread* next : {&a, &b, &c, &a, &b, &c}) {
    EXPECT_EQ(&queue_.first(), next);
    First(3 * kMs);
    queue_.Turn(/*yields=*/false);
  }
}

TEST_F(FairQueueTest, TimeCountsByWeight) {
  Thread nice, urgent;
  nice.nice = 19;
  urgent.nice = -20;
  queue_.Add(nice, 0, 0);
  queue_.Add(urgent, 0, 0);
  First(3 * kMs);
  queue_.Turn(/*yields=*/false);
  for (int turn = 0; turn < 1000; ++turn) {
    EXPECT_EQ(&queue_.first(), &urgent) << turn;
    First(3 * kMs);
    queue_.Turn(/*yields=*/false);
  }
  queue_.Turn(/*yields=*/true);
  EXPECT_EQ(&queue_.first(), &nice);
}

TEST_F(FairQueueTest, WhoSleptTakesTheCpuFromWhoIsFarAhead) {
  Thread hog, sleeper, other;
  queue_.Add(hog, 0, 0);
  First(100 * kMs);
  // It may stand behind the hog by less than a wake-up granularity …
  EXPECT_FALSE(Wake(other, -3 * static_cast<int64_t>(kMs)));
  EXPECT_EQ(&queue_.first(), &hog);
  // … and by half a period at most, however long it slept.
  EXPECT_TRUE(Wake(sleeper, -90 * static_cast<int64_t>(kMs)));
  EXPECT_EQ(&queue_.first(), &sleeper);
  EXPECT_EQ(queue_.Lag(hog) - queue_.Lag(sleeper), FairQueue::kSleepersBonusNs);
}

TEST_F(FairQueueTest, WhoHasHadLeastFollowsTheFirst) {
  Thread a, b, c;
  queue_.Add(a, 0, 0);
  queue_.Add(b, 5000, 0);
  queue_.Add(c, 1000, 0);
  EXPECT_TRUE(queue_.Remove(a));
  EXPECT_FALSE(queue_.Remove(a));
  EXPECT_EQ(&queue_.first(), &c);
  EXPECT_TRUE(queue_.Remove(b));
  EXPECT_TRUE(queue_.Remove(c));
  EXPECT_TRUE(queue_.empty());
}

}  // namespace
}  // namespace ghost::sim
