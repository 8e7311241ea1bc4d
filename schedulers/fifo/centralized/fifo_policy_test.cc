#include "schedulers/fifo/centralized/fifo_policy.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/plan_runner.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using Reason = EnqueueReason;

constexpr int64_t kNone = -1;
constexpr int64_t kSliceNs = 1'000'000;

class CentralizedFifoTest : public testing::Test {
 protected:
  explicit CentralizedFifoTest(int64_t slice_ns = INT64_MAX)
      : policy_({.cpus = CpuSet::FirstN(4)}, {.slice_ns = slice_ns}), run_(&policy_, CpuSet({1, 2, 3})) {}

  // All of what waits, in the order in which CPU 1 would run it.
  std::vector<int64_t> OrderOnCpu1() {
    std::vector<int64_t> order;
    for (;;) {
      run_.Pass();
      const int64_t id = run_.Running(1);
      if (id == kNone) return order;
      order.push_back(id);
      run_.Block(id);
    }
  }
  void OccupyAll() {
    for (int64_t id : {101, 102, 103}) run_.New(id);
    run_.Pass();
    ASSERT_THAT(run_.Running(), ElementsAre(101, 102, 103));
  }

  CentralizedFifoPolicy policy_;
  PlanRunner<CentralizedFifoPolicy> run_;
};

TEST_F(CentralizedFifoTest, FirstComeFirstServed) {
  for (int64_t id : {1, 2, 3, 4, 5}) run_.New(id);
  EXPECT_EQ(run_.Pass(), 3);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 2, 3));
  EXPECT_EQ(run_.Pass(), 0);
  run_.Block(2);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(1, 4, 3));
  run_.Yield(1);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(5, 4, 3));
  run_.Block(4);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(5, 1, 3));
}

TEST_F(CentralizedFifoTest, ReasonsThatGoInFront) {
  struct Case {
    Reason reason;
    bool front;
  };
  const Case kCases[] = {{Reason::kWoken, true}, {Reason::kWokenDeferrable, false}};
  for (const Case& c : kCases) {
    run_.New(1);
    run_.Pass();
    run_.Block(1);
    OccupyAll();
    run_.New(2);
    run_.Wake(1, c.reason);
    for (int64_t id : {102, 103, 101}) run_.Exit(id);
    run_.Pass();
    EXPECT_EQ(run_.Running(1), c.front ? 1 : 2) << EnqueueReasonName(c.reason);
    for (int64_t id : {1, 2}) run_.Exit(id);
  }
}

TEST_F(CentralizedFifoTest, PreemptedTasksGoOnFirstAndYieldedLast) {
  OccupyAll();
  for (int64_t id : {1, 2}) run_.New(id);
  run_.KernelPreempts(102);
  run_.Yield(103);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(101, 102, 1));
}

TEST_F(CentralizedFifoTest, FailedCommitsComeFirstAgain) {
  for (int64_t id : {1, 2, 3, 4}) run_.New(id);
  run_.fail_commits = CpuSet({1});
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(kNone, 2, 3));
  run_.fail_commits.Clear();
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(1, 2, 3));
}

TEST_F(CentralizedFifoTest, TasksRunWhereTheyMay) {
  run_.New(1, CpuSet({2}));
  run_.New(2, CpuSet({2}));
  run_.New(3, CpuSet({2, 3}));
  run_.New(4);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(4, 1, 3));
  // One that may run nowhere now holds nobody up.
  run_.New(5);
  run_.Block(4);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(5, 1, 3));
  run_.Block(1);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(5, 2, 3));
}

TEST_F(CentralizedFifoTest, ItsLastCpuIfThatIsFree) {
  OccupyAll();
  run_.Block(103);
  TaskTestPeer::SetHome(run_.task(103), 3);
  run_.Block(101);
  run_.Wake(103);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(kNone, 102, 103));
}

// … but not before one that may run only there and came first.
TEST_F(CentralizedFifoTest, WarmCachesDoNotGoBeforeTheOrder) {
  OccupyAll();
  TaskTestPeer::SetHome(run_.task(103), 3);
  run_.New(1, CpuSet({3}));
  run_.Block(102);
  run_.Yield(103);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(101, 103, 1));
}

TEST_F(CentralizedFifoTest, WaitingTaskKeepsItsTurnWhenItsAffinityChanges) {
  OccupyAll();
  for (int64_t id : {1, 2, 3}) run_.New(id);
  run_.SetAllowed(2, CpuSet({1}));
  run_.SetAllowed(3, CpuSet({1}));
  run_.SetAllowed(3, CpuSet::FirstN(4));
  for (int64_t id : {102, 103}) run_.Block(id);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(101, 1, 3));
  run_.SetAllowed(1, CpuSet({1}));  // it leaves its CPU, and queues in front
  for (int64_t id : {101, 3}) run_.Block(id);
  EXPECT_THAT(OrderOnCpu1(), ElementsAre(1, 2));
}

TEST_F(CentralizedFifoTest, LeavesFromAnyPlace) {
  OccupyAll();
  for (int64_t id : {1, 2, 3, 4}) run_.New(id);
  for (int64_t id : {2, 1, 4}) run_.Exit(id);
  for (int64_t id : {101, 102, 103}) run_.Block(id);
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(3, kNone, kNone));
}

TEST_F(CentralizedFifoTest, WithoutASliceNobodyIsReplaced) {
  OccupyAll();
  run_.New(1);
  run_.Advance(1'000'000'000'000);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::Infinite());
}

class SliceTest : public CentralizedFifoTest {
 protected:
  SliceTest() : CentralizedFifoTest(kSliceNs) {}
};

TEST_F(SliceTest, ATaskGivesItsCpuToTheFirstThatWaits) {
  OccupyAll();
  run_.New(1);
  run_.Advance(kSliceNs - 1);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::FromNanoseconds(run_.now().ns() + 1));
  run_.Advance(1);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 102, 103));
  // The one that had to leave is last, and the next in turn.
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 101, 103));
}

TEST_F(SliceTest, AloneItRunsOn) {
  OccupyAll();
  run_.Advance(10 * kSliceNs);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::Infinite());
  // Whoever comes finds it expired.
  run_.New(1);
  EXPECT_EQ(run_.Pass(), 1);
}

TEST_F(SliceTest, OnlyWhoMayRunThereReplaces) {
  OccupyAll();
  run_.New(1, CpuSet({3}));
  run_.Advance(kSliceNs);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(101, 102, 1));
}

TEST_F(SliceTest, FailedReplacementLeavesTheTaskWhereItIs) {
  OccupyAll();
  run_.New(1);
  run_.Advance(kSliceNs);
  run_.fail_commits = CpuSet({1});
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(101, 102, 103));
  run_.fail_commits.Clear();
  run_.Pass();
  EXPECT_THAT(run_.Running(), ElementsAre(1, 102, 103));
}

TEST_F(SliceTest, CanBeChangedWhileItRuns) {
  OccupyAll();
  run_.New(1);
  run_.Advance(kSliceNs / 10);
  EXPECT_EQ(run_.Pass(), 0);
  ASSERT_EQ(policy_.Tunables().size(), 1u);
  EXPECT_STREQ(policy_.Tunables()[0]->name(), "preemption_time_slice");
  ASSERT_TRUE(policy_.Tunables()[0]->Set("50us").ok());
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_FALSE(policy_.Tunables()[0]->Set("0").ok());
}

TEST_F(SliceTest, DumpSaysWhoWentInFront) {
  OccupyAll();
  run_.KernelPreempts(101);
  std::string line;
  policy_.Describe(*run_.task(101), &line);
  EXPECT_EQ(line, " boosted");
}

}  // namespace
}  // namespace ghost
