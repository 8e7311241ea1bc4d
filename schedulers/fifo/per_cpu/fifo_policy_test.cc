#include "schedulers/fifo/per_cpu/fifo_policy.h"

#include <array>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/testing/task_test_peer.h"

namespace ghost {
namespace {

using Task = FifoPolicy::Task;
using Reason = EnqueueReason;

class FifoPolicyTest : public testing::Test {
 protected:
  FifoPolicyTest() : policy_({.cpus = CpuSet::FirstN(4)}) {
    for (int i = 0; i < 8; ++i) TaskTestPeer::SetGtid(&tasks_[i], i);
  }
  void Enqueue(int index, Reason reason, int cpu = 0) { policy_.Enqueue(cpu, &tasks_[index], reason, Time()); }
  // Takes all tasks of a CPU's queue, in the order in which they would run.
  std::vector<int64_t> Drain(int cpu = 0) {
    std::vector<int64_t> order;
    while (Task* task = policy_.PickNext(cpu, Time()).task) order.push_back(task->gtid());
    return order;
  }

  std::array<Task, 8> tasks_;
  FifoPolicy policy_;  // after the tasks: its queues go before what stands in them
};

TEST_F(FifoPolicyTest, EmptyQueueHasNothingToRun) { EXPECT_EQ(policy_.PickNext(0, Time()).task, nullptr); }

TEST_F(FifoPolicyTest, FirstInFirstOut) {
  for (int i = 0; i < 4; ++i) Enqueue(i, Reason::kNew);
  EXPECT_EQ(Drain(), (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST_F(FifoPolicyTest, ReasonsThatGoInFrontAndToTheBack) {
  struct Case {
    Reason reason;
    bool front;
  };
  const Case kCases[] = {{Reason::kNew, false},        {Reason::kWoken, true},    {Reason::kWokenDeferrable, false},
                         {Reason::kPreempted, true},   {Reason::kYielded, false}, {Reason::kSliceExpired, false},
                         {Reason::kCommitFailed, true}};
  for (const Case& c : kCases) {
    Enqueue(0, Reason::kNew);
    Enqueue(1, c.reason);
    EXPECT_EQ(Drain(), c.front ? (std::vector<int64_t>{1, 0}) : (std::vector<int64_t>{0, 1}))
        << EnqueueReasonName(c.reason);
  }
}

TEST_F(FifoPolicyTest, ATaskRunsUntilItBlocks) {
  Enqueue(0, Reason::kNew);
  EXPECT_EQ(policy_.PickNext(0, Time()).slice_end, Time::Infinite());
}

TEST_F(FifoPolicyTest, LeavesFromAnyPlace) {
  for (int i = 0; i < 4; ++i) Enqueue(i, Reason::kNew);
  for (int i : {1, 0, 3}) policy_.Dequeue(0, &tasks_[i]);
  EXPECT_EQ(Drain(), std::vector<int64_t>{2});
}

TEST_F(FifoPolicyTest, CpusDoNotShareQueues) {
  Enqueue(0, Reason::kNew, 1);
  Enqueue(1, Reason::kNew, 3);
  EXPECT_EQ(Drain(0), std::vector<int64_t>{});
  EXPECT_EQ(Drain(1), std::vector<int64_t>{0});
  EXPECT_EQ(Drain(3), std::vector<int64_t>{1});
}

TEST_F(FifoPolicyTest, PlacesWhereLeastIsToDo) {
  struct Case {
    const char* name;
    CpuSet allowed;
    std::vector<CpuLoads::Load> loads;
    int home;
    int expected;
  };
  const Case kCases[] = {
      {"fewest runnable tasks", {0, 1, 2, 3}, {{3, 3}, {2, 9}, {1, 9}, {2, 2}}, 0, 2},
      {"then fewest tasks", {0, 1, 2, 3}, {{1, 5}, {1, 4}, {1, 6}, {2, 2}}, 0, 1},
      {"then where it is", {0, 1, 2, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 2, 2},
      {"then the lowest", {0, 1, 2, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, -1, 0},
      {"only where it may", {1, 3}, {{0, 0}, {8, 8}, {0, 0}, {7, 9}}, 0, 3},
      {"one choice", {1}, {{0, 0}, {8, 8}, {0, 0}, {0, 0}}, 0, 1},
  };
  for (const Case& c : kCases) {
    TaskTestPeer::SetHome(&tasks_[0], c.home);
    CpuBoard board(CpuSet::FirstN(4), nullptr);
    for (size_t cpu = 0; cpu < c.loads.size(); ++cpu) {
      board.row(static_cast<int>(cpu)).runnable.Add(c.loads[cpu].runnable);
      board.row(static_cast<int>(cpu)).tasks = c.loads[cpu].tasks;
    }
    EXPECT_EQ(policy_.PlaceTask(tasks_[0], CpuLoads(c.allowed, board)), c.expected) << c.name;
  }
}

TEST_F(FifoPolicyTest, GivesTheSecondInLineAndTheFirstOnlyIfNobodyElseMay) {
  EXPECT_EQ(policy_.PickToGive(0, 1, INT64_MAX), nullptr);
  for (int i = 0; i < 4; ++i) {
    TaskTestPeer::SetAllowed(&tasks_[i], CpuSet({0, 1}));
    Enqueue(i, Reason::kNew);
  }
  TaskTestPeer::SetAllowed(&tasks_[1], CpuSet({0}));
  EXPECT_EQ(policy_.PickToGive(0, 1, INT64_MAX), &tasks_[2]);
  EXPECT_EQ(policy_.PickToGive(0, 3, INT64_MAX), nullptr);
  for (int i : {2, 3}) policy_.Dequeue(0, &tasks_[i]);
  EXPECT_EQ(policy_.PickToGive(0, 1, INT64_MAX), &tasks_[0]);
}

TEST_F(FifoPolicyTest, DumpSaysWhoWentInFront) {
  Enqueue(0, Reason::kPreempted);
  TaskTestPeer::SetState(&tasks_[0], TaskState::kQueued);
  std::string line;
  policy_.Describe(tasks_[0], &line);
  EXPECT_EQ(line, " boosted");
  TaskTestPeer::SetState(&tasks_[0], TaskState::kOnCpu);
  line.clear();
  policy_.Describe(tasks_[0], &line);
  EXPECT_EQ(line, "");
}

}  // namespace
}  // namespace ghost
