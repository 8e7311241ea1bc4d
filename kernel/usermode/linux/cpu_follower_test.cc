#include "kernel/usermode/linux/cpu_follower.h"

#include <sched.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"
#include "lib/base/process.h"

namespace ghost::usermode {
namespace {

CpuSet Mask() {
  cpu_set_t mask;
  sched_getaffinity(0, sizeof(mask), &mask);
  return CpuSet::FromCpuSetT(mask);
}

void SetMask(Tid tid, const CpuSet& cpus) {
  const cpu_set_t mask = cpus.ToCpuSetT();
  ASSERT_EQ(sched_setaffinity(tid, sizeof(mask), &mask), 0);
}

class CpuFollowerTest : public testing::Test {
 protected:
  void SetUp() override {
    all_ = Mask();
    if (all_.size() < 2) GTEST_SKIP() << "with one CPU there is nowhere to follow to";
    a_ = all_.First();
    b_ = all_.Next(a_);
  }
  void TearDown() override { SetMask(0, all_); }

  // A process with this mask.
  Tid Start(const CpuSet& mask) {
    auto child = ChildProcess::Fork([] {
      for (;;) pause();
      return 0;
    });
    EXPECT_TRUE(child.ok());
    children_.push_back(*std::move(child));
    SetMask(children_.back().pid(), mask);
    return children_.back().pid();
  }
  void Requests(Tid tid, int count) {
    for (int i = 0; i < count; ++i) follower_.OnRequest(tid);
  }

  CpuSet all_;
  int a_ = 0, b_ = 0;
  CpuFollower follower_;
  std::vector<ChildProcess> children_;
};

TEST_F(CpuFollowerTest, FollowsAStreakOfOnePinnedThread) {
  const Tid agent = Start({b_});
  Requests(agent, CpuFollower::kStreak - 1);
  EXPECT_EQ(Mask(), all_);
  Requests(agent, 1);
  EXPECT_EQ(Mask(), CpuSet{b_});
  EXPECT_EQ(follower_.cpu(), b_);
}

TEST_F(CpuFollowerTest, ThreadsThatFloatAreNotFollowed) {
  Requests(Start(all_), 10 * CpuFollower::kStreak);
  Requests(0, 10 * CpuFollower::kStreak);  // of another PID namespace
  EXPECT_EQ(Mask(), all_);
}

TEST_F(CpuFollowerTest, AgentsThatTakeTurnsDoNotDragItToAndFro) {
  const Tid on_a = Start({a_}), on_b = Start({b_}), floating = Start(all_);
  Requests(on_a, CpuFollower::kStreak);
  ASSERT_EQ(follower_.cpu(), a_);
  for (int i = 0; i < 100; ++i) {
    Requests(on_b, CpuFollower::kStreak - 1);
    Requests(on_a, 1);
  }
  EXPECT_EQ(follower_.cpu(), a_);
  // Alone, it is followed; what floating threads do in between does not matter.
  for (int i = 0; i < CpuFollower::kStreak; ++i) {
    Requests(on_b, 1);
    Requests(floating, 1);
  }
  EXPECT_EQ(follower_.cpu(), b_);
  EXPECT_EQ(Mask(), CpuSet{b_});
}

TEST_F(CpuFollowerTest, SeesThatAThreadHasMoved) {
  const Tid agent = Start({a_});
  Requests(agent, CpuFollower::kStreak);
  ASSERT_EQ(follower_.cpu(), a_);
  SetMask(agent, {b_});  // as a global agent that hands over
  Requests(agent, 3000);
  EXPECT_EQ(follower_.cpu(), b_);
}

}  // namespace
}  // namespace ghost::usermode
