// The schedule pass of a centralized runtime: messages, plans, commits and what comes of them.
#include "lib/centralized_runtime.h"

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/centralized_test.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;

TEST_F(CentralizedTest, OneTaskRunsBlocksAndWakes) {
  Start();
  RunOn(1, kA);
  EXPECT_THAT(TakeLog(), ElementsAre("new 100", "run 1 100"));
  mock_->Post(TaskBlocked{.gtid = kA, .runtime_ns = 7, .cpu = 1});
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "block 100"));
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
  EXPECT_EQ(mock_->txn(1).task_barrier, 3u);
  EXPECT_THAT(TakeLog(), ElementsAre("woken 100", "run 1 100"));
  EXPECT_EQ(Counters().illegal_changes, 0u);
  EXPECT_EQ(Counters().tasks, 1u);
  EXPECT_EQ(Counters().runnable, 1u);
}

TEST_F(CentralizedTest, AWholePlanIsOneCall) {
  Start();
  for (int64_t gtid : {kA, kB, kC, kD}) mock_->PostNew(gtid);
  Step();
  mock_->ResetCalls();
  for (int64_t gtid : {kA, kB, kC}) mock_->Post(TaskYield{.gtid = gtid});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->calls().commits, 1);
  EXPECT_EQ(mock_->calls().Total(), 1);
  EXPECT_EQ(Committed(1), kD);
  EXPECT_EQ(Committed(2), kA);
  EXPECT_EQ(Committed(3), kB);
  EXPECT_EQ(mock_->txn(0).gtid, 0);  // the global agent's own CPU runs nothing
  for (int cpu : {1, 2, 3}) EXPECT_EQ(mock_->txn(cpu).commit_flags, COMMIT_AT_TXN_COMMIT);
  mock_->ResetCalls();
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(mock_->calls().Total(), 0);
}

TEST_F(CentralizedTest, SatellitesYield) {
  Start();
  EXPECT_EQ(StepSatellite(2), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  EXPECT_EQ(mock_->calls().Total(), 1);
}

TEST_F(CentralizedTest, ReasonsOfJoiningTheQueue) {
  Start();
  RunOn(1, kA);
  CentralPolicy::hold = true;
  const auto reason_after = [&](const Payload& payload) {
    mock_->Post(payload);
    Step();
    const EnqueueReason reason = runtime_->policy().Front()->last_reason;
    CentralPolicy::hold = false;
    Step();
    CentralPolicy::hold = true;
    return reason;
  };
  EXPECT_EQ(reason_after(TaskYield{.gtid = kA}), EnqueueReason::kYielded);
  EXPECT_EQ(reason_after(TaskPreempt{.gtid = kA}), EnqueueReason::kPreempted);
  EXPECT_EQ(reason_after(TaskLatchFailure{.gtid = kA}), EnqueueReason::kCommitFailed);
  mock_->Post(TaskBlocked{.gtid = kA});
  EXPECT_EQ(reason_after(TaskWakeup{.gtid = kA, .deferrable = true}), EnqueueReason::kWokenDeferrable);
  mock_->Post(TaskBlocked{.gtid = kA});
  EXPECT_EQ(reason_after(TaskWakeup{.gtid = kA}), EnqueueReason::kWoken);
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(CentralizedTest, PriorityAndAffinityAreTold) {
  Start();
  mock_->PostNew(kA, /*runnable=*/false, /*nice=*/5);
  Step();
  TakeLog();
  mock_->Post(TaskPriorityChanged{.gtid = kA, .nice = -3});
  mock_->SetAffinity(kA, CpuSet({2, 3, 9}));
  mock_->Post(TaskAffinityChanged{.gtid = kA});
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("nice 100 -3", "cpus 100 2-3"));
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kA);
}

TEST_F(CentralizedTest, LooksAgainWhenThePolicyWishes) {
  Start();
  CentralPolicy::look_again = Time::FromNanoseconds(500);
  EXPECT_EQ(Step(100), StepResult::kPolled);
  EXPECT_EQ(runtime_->look_again(), Time::FromNanoseconds(500));
  CentralPolicy::look_again = Time::Infinite();
  EXPECT_EQ(Step(200), StepResult::kPolled);
  EXPECT_EQ(runtime_->look_again(), Time::Infinite());
}

// ---- Replacing ----

TEST_F(CentralizedTest, ReplacedTaskComesBackWhenItIsOffTheCpu) {
  Start();
  RunOn(1, kA);
  CentralPolicy::hold = true;
  mock_->PostNew(kB);
  Step();
  TakeLog();
  CentralPolicy::replace = CpuSet({1});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kB);
  EXPECT_THAT(TakeLog(), ElementsAre("run 1 200"));
  CentralPolicy::replace.Clear();
  EXPECT_EQ(runtime_->policy().Length(), 0u);  // A is still on its way off
  PostPreempt(1, kA);
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "slice expired 100"));
  // B has the CPU: it is not given away.
  CentralPolicy::hold = false;
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kA);
  EXPECT_EQ(mock_->txn(1).gtid, kB);
}

TEST_F(CentralizedTest, FailedReplacementKeepsTheRunningTaskKnown) {
  Start();
  RunOn(1, kA);
  CentralPolicy::hold = true;
  mock_->PostNew(kB);
  Step();
  TakeLog();
  CentralPolicy::replace = CpuSet({1});
  mock_->on_commit = [](int, const ghost_txn&) { return GHOST_TXN_TARGET_ONCPU; };
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_THAT(TakeLog(), ElementsAre("commit failed 200"));
  CentralPolicy::replace.Clear();
  mock_->on_commit = nullptr;
  // It is preempted by somebody else now: not what the policy wished.
  PostPreempt(1, kA);
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "preempted 100"));
  CentralPolicy::hold = false;
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kB);
  EXPECT_EQ(Committed(2), kA);
}

TEST_F(CentralizedTest, UnscheduledTaskBlocksInsteadOfBeingPreempted) {
  Start();
  RunOn(1, kA);
  CentralPolicy::replace = CpuSet({1});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(1).gtid, 0);
  CentralPolicy::replace.Clear();
  TakeLog();
  mock_->Post(TaskBlocked{.gtid = kA, .cpu = 1});
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "block 100", "woken 100", "run 1 100"));
  PostPreempt(1, kA);
  CentralPolicy::hold = true;
  Step();
  EXPECT_EQ(runtime_->policy().Front()->last_reason, EnqueueReason::kPreempted);
}

TEST_F(CentralizedTest, TaskLeavesACpuThatItMayNotUseAnyMore) {
  Start();
  RunOn(1, kA);
  mock_->SetAffinity(kA, CpuSet({3}));
  mock_->Post(TaskAffinityChanged{.gtid = kA});
  TakeLog();
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(1).gtid, 0);
  EXPECT_THAT(TakeLog(), ElementsAre("cpus 100 3"));
  PostPreempt(1, kA);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(3), kA);
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "preempted 100", "run 3 100"));
}

// ---- Commits that fail ----

TEST_F(CentralizedTest, EachOutcomeOfACommit) {
  struct Case {
    int32_t state;
    bool retried;   // the task comes back to the policy
    bool same_cpu;  // and may have that CPU again
    bool gone;      // the kernel is
  };
  const Case kCases[] = {
      {GHOST_TXN_ABORTED, true, true, false},
      {GHOST_TXN_AGENT_STALE, true, true, false},
      {GHOST_TXN_POISONED, true, true, false},
      {GHOST_TXN_TARGET_STALE, true, true, false},
      {GHOST_TXN_TARGET_NOT_RUNNABLE, true, true, false},
      {GHOST_TXN_TARGET_ONCPU, true, true, false},
      {GHOST_TXN_CPU_UNAVAIL, true, false, false},
      {GHOST_TXN_CPU_OFFLINE, true, false, false},
      {GHOST_TXN_NO_AGENT, true, false, false},
      {GHOST_TXN_TARGET_NOT_FOUND, false, true, false},
      {GHOST_TXN_INVALID_TARGET, false, true, false},
      {GHOST_TXN_INVALID_FLAGS, true, true, true},
  };
  Start();
  int tid = 1000;
  int64_t now = 1;
  for (const Case& c : kCases) {
    SCOPED_TRACE(TxnStateName(c.state));
    const int64_t gtid = MockGtid(++tid);
    const uint64_t failed_before = Counters().commits_failed;
    mock_->PostNew(gtid);
    mock_->on_commit = [&](int, const ghost_txn&) { return c.state; };
    now += 100'000'000;
    EXPECT_EQ(Step(now), c.gone ? StepResult::kKernelGone : StepResult::kCommitted);
    EXPECT_EQ(Counters().commits_failed, failed_before + 1);
    EXPECT_EQ(runtime_->policy().Length(), c.retried ? 1u : 0u);
    mock_->on_commit = nullptr;
    EXPECT_EQ(Step(now + 1), c.retried ? StepResult::kCommitted : StepResult::kPolled);
    if (c.retried) {
      EXPECT_EQ(Committed(c.same_cpu ? 1 : 2), gtid);
    }
    mock_->PostDead(gtid);
    Step(now + 2);
    // A CPU that could not be had is found to be free again.
    for (int i = 0; i < 4; ++i) Step(now + 50'000'000 + i * 1'000'000);
    EXPECT_EQ(runtime_->CountTasks(), 0);
    EXPECT_EQ(Counters().runnable, 0u);
  }
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(CentralizedTest, FailuresOfOnePlanComeBackInOrder) {
  Start();
  CentralPolicy::hold = true;
  for (int64_t gtid : {kA, kB, kC, kD}) mock_->PostNew(gtid);
  Step();
  CentralPolicy::hold = false;
  TakeLog();
  mock_->on_commit = [](int cpu, const ghost_txn&) {
    return cpu == 2 ? std::nullopt : std::optional<int32_t>(GHOST_TXN_TARGET_STALE);
  };
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("run 2 200", "commit failed 300", "commit failed 100"));
  mock_->on_commit = nullptr;
  Step();
  EXPECT_EQ(Committed(1), kA);
  EXPECT_EQ(Committed(3), kC);
}

TEST_F(CentralizedTest, KernelGoneIsReportedOnce) {
  int reports = 0;
  RuntimeOptions options;
  options.on_kernel_gone = [&](const absl::Status& status) {
    EXPECT_FALSE(status.ok());
    ++reports;
  };
  Start(std::move(options));
  mock_->PostNew(kA);
  mock_->on_ioctl = [](unsigned long, void*) { return -ENODEV; };
  EXPECT_EQ(Step(), StepResult::kKernelGone);
  EXPECT_EQ(StepSatellite(1), StepResult::kKernelGone);
  EXPECT_EQ(reports, 1);
}

// ---- What the kernel knows and we do not ----

TEST_F(CentralizedTest, TasksWithUnreadMessagesAreDeferred) {
  Start();
  CentralPolicy::hold = true;
  mock_->PostNew(kA);
  mock_->PostNew(kB);
  Step();
  CentralPolicy::hold = false;
  mock_->BumpBarrier(kA);  // its message is not in the queue yet
  TakeLog();
  mock_->ResetCalls();
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kB);  // CPU 1 was offered to A
  EXPECT_THAT(TakeLog(), ElementsAre("run 2 200", "commit failed 100"));
  EXPECT_EQ(Counters().deferred, 1u);
  mock_->Post(TaskPriorityChanged{.gtid = kA, .nice = 1});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
  EXPECT_EQ(mock_->txn(1).task_barrier, 3u);
}

TEST_F(CentralizedTest, TasksThatAreStillOnACpuAreDeferred) {
  Start();
  mock_->PostNew(kA);
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, true);
  EXPECT_EQ(Step(1000), StepResult::kPolled);
  EXPECT_EQ(Counters().commits_failed, 0u);
  EXPECT_LT(runtime_->look_again(), Time::FromNanoseconds(1'000'000));
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, false);
  EXPECT_EQ(Step(2000), StepResult::kCommitted);
}

TEST_F(CentralizedTest, TaskWhoseMessageWasLostIsLookedUp) {
  Start();
  RunOn(1, kA);
  mock_->Post(TaskYield{.gtid = kA});
  mock_->BumpBarrier(kA);  // a message that never comes
  int64_t now = 1;
  int steps = 0;
  while (Step(now) != StepResult::kCommitted && ++steps < 100) now += 1'000'000;
  EXPECT_EQ(Committed(1), kA);
  EXPECT_GT(steps, 5);
  EXPECT_EQ(mock_->txn(1).task_barrier, 3u);
}

TEST_F(CentralizedTest, NewsOfUnknownTasksAreCounted) {
  Start();
  mock_->AddTask(kA);
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(Counters().unknown_tasks, 1u);
}

// ---- Ends ----

TEST_F(CentralizedTest, DeathInEachState) {
  Start();
  RunOn(1, kA);
  CentralPolicy::hold = true;
  mock_->PostNew(kB);         // queued
  mock_->PostNew(kC, false);  // asleep
  Step();
  EXPECT_EQ(runtime_->CountTasks(), 3);
  TakeLog();
  for (int64_t gtid : {kA, kB, kC}) mock_->PostDead(gtid);
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "gone 100", "gone 200", "gone 300"));
  EXPECT_EQ(runtime_->CountTasks(), 0);
  EXPECT_EQ(Counters().runnable, 0u);
  EXPECT_EQ(mock_->calls().frees, 3);
  EXPECT_EQ(runtime_->policy().Length(), 0u);
  // CPU 1 is free again.
  CentralPolicy::hold = false;
  RunOn(1, kD);
}

TEST_F(CentralizedTest, DepartsAndComesBackWithTheSameGtid) {
  Start();
  for (int i = 0; i < 3; ++i) {
    RunOn(1, kA);
    mock_->PostDead(kA);  // as DEPARTED: its status word can be freed
    EXPECT_EQ(Step(), StepResult::kPolled);
  }
  EXPECT_EQ(mock_->calls().frees, 3);
  EXPECT_EQ(runtime_->CountTasks(), 0);
}

TEST_F(CentralizedTest, DiesWhileItsAffinityIsToBeRead) {
  Start();
  RunOn(1, kA);
  mock_->Post(TaskAffinityChanged{.gtid = kA});
  mock_->PostDead(kA);
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(mock_->calls().frees, 1);
  EXPECT_EQ(runtime_->CountTasks(), 0);
}

TEST_F(CentralizedTest, TwoTasksWithOneThreadId) {
  Start();
  const int64_t old_one = MockGtid(50, 1), new_one = MockGtid(50, 2);
  RunOn(1, old_one);
  RunOn(2, new_one);
  mock_->PostDead(old_one);
  Step();
  EXPECT_EQ(runtime_->CountTasks(), 1);
  mock_->Post(TaskYield{.gtid = new_one});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), new_one);
}

}  // namespace
}  // namespace ghost
