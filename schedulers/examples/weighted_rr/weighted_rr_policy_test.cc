#include "schedulers/examples/weighted_rr/weighted_rr_policy.h"

#include <array>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "lib/testing/task_test_peer.h"

namespace ghost {
namespace {

using Task = WeightedRrPolicy::Task;
using Reason = EnqueueReason;

constexpr int64_t kMs = 1'000'000;

// Three tasks of weights 20, 10 and 5. The test is the CPU.
class WeightedRrPolicyTest : public testing::Test {
 protected:
  WeightedRrPolicyTest() : policy_({.cpus = CpuSet::FirstN(2)}) {
    for (int i = 0; i < 3; ++i) {
      TaskTestPeer::SetGtid(&tasks_[i], i);
      TaskTestPeer::SetNice(&tasks_[i], std::array{0, 10, 15}[i]);
    }
  }
  void Enqueue(int i, Reason reason) { policy_.Enqueue(0, &tasks_[i], reason, now_); }
  // Who runs next; -1: nobody.
  int64_t PickNext() {
    pick_ = policy_.PickNext(0, now_);
    return pick_.task == nullptr ? -1 : pick_.task->gtid();
  }
  int64_t SliceMs() const { return (pick_.slice_end.ns() - now_.ns()) / kMs; }
  // The picked task runs for so long, and leaves the CPU.
  void Run(int64_t ms, Reason reason) {
    now_ = Time::FromNanoseconds(now_.ns() + ms * kMs);
    ran_[pick_.task->gtid()] += ms;
    TaskTestPeer::SetRuntimeNs(pick_.task, pick_.task->runtime_ns() + ms * kMs);
    policy_.Enqueue(0, pick_.task, reason, now_);
  }

  std::array<Task, 3> tasks_;
  std::array<int64_t, 3> ran_ = {};  // ms
  WeightedRrPolicy policy_;          // after the tasks: its queues go before what stands in them
  Pick<Task> pick_;
  Time now_;
};

TEST_F(WeightedRrPolicyTest, NobodyThere) { EXPECT_EQ(PickNext(), -1); }

TEST_F(WeightedRrPolicyTest, InTurnEachForItsWeight) {
  for (int i : {0, 1, 2}) Enqueue(i, Reason::kNew);
  for (int round = 0; round < 3; ++round) {
    for (int i : {0, 1, 2}) {
      EXPECT_EQ(PickNext(), i);
      EXPECT_EQ(SliceMs(), (std::array{20, 10, 5}[i]));
      Run(SliceMs(), Reason::kSliceExpired);
    }
  }
}

TEST_F(WeightedRrPolicyTest, APreemptedTaskGoesOnWithItsTurn) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  EXPECT_EQ(PickNext(), 0);
  Run(8, Reason::kPreempted);
  EXPECT_EQ(PickNext(), 0);
  EXPECT_EQ(SliceMs(), 12);
  Run(0, Reason::kCommitFailed);
  EXPECT_EQ(PickNext(), 0);
  EXPECT_EQ(SliceMs(), 12);
}

TEST_F(WeightedRrPolicyTest, WhoYieldsOrSleepsHasANewTurnAtTheBack) {
  for (Reason reason : {Reason::kYielded, Reason::kWoken, Reason::kWokenDeferrable}) {
    Enqueue(0, Reason::kNew);
    Enqueue(1, Reason::kNew);
    EXPECT_EQ(PickNext(), 0);
    Run(8, reason);
    EXPECT_EQ(PickNext(), 1);
    EXPECT_EQ(PickNext(), 0);
    EXPECT_EQ(SliceMs(), 20) << "what was left of the old turn is lost";
  }
}

// As the tick does it, every 4 ms: turns are too long, shares are right.
TEST_F(WeightedRrPolicyTest, TooLongATurnCountsForTheNextOnes) {
  policy_.Tunables()[0]->Set("100us").IgnoreError();
  for (int i : {0, 1, 2}) Enqueue(i, Reason::kNew);
  while (now_.ns() < 7000 * kMs) {
    PickNext();
    const bool over = 4 * kMs >= pick_.slice_end.ns() - now_.ns();
    Run(4, over ? Reason::kSliceExpired : Reason::kPreempted);
  }
  EXPECT_NEAR(ran_[0], 4000, 8);
  EXPECT_NEAR(ran_[1], 2000, 8);
  EXPECT_NEAR(ran_[2], 1000, 8);
}

TEST_F(WeightedRrPolicyTest, TheQuantumCountsFromTheNextTurnOn) {
  Enqueue(2, Reason::kNew);
  PickNext();
  EXPECT_TRUE(policy_.Tunables()[0]->Set("2ms").ok());
  Run(1, Reason::kPreempted);
  PickNext();
  EXPECT_EQ(SliceMs(), 4);
  Run(4, Reason::kSliceExpired);
  PickNext();
  EXPECT_EQ(SliceMs(), 10);
}

TEST_F(WeightedRrPolicyTest, OneThatRanElsewhereOwesNothing) {
  TaskTestPeer::SetRuntimeNs(&tasks_[0], 3600'000 * kMs);
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  EXPECT_EQ(PickNext(), 0);
  EXPECT_EQ(SliceMs(), 20);
}

TEST_F(WeightedRrPolicyTest, LeavesFromAnyPlace) {
  for (int i : {0, 1, 2}) Enqueue(i, Reason::kNew);
  policy_.Dequeue(0, &tasks_[1]);
  EXPECT_EQ(PickNext(), 0);
  EXPECT_EQ(PickNext(), 2);
  EXPECT_EQ(PickNext(), -1);
}

TEST_F(WeightedRrPolicyTest, PlacesWhereFewestWantToRun) {
  const CpuSet both = {0, 1};
  const CpuSet first = {0};
  CpuBoard board(both, std::make_shared<const Topology>(Topology::Flat(2)));
  board.row(0).runnable.Add(2);
  board.row(1).runnable.Add(1);
  EXPECT_EQ(policy_.PlaceTask(tasks_[0], CpuLoads(both, board)), 1);
  EXPECT_EQ(policy_.PlaceTask(tasks_[0], CpuLoads(first, board)), 0);
}

}  // namespace
}  // namespace ghost
