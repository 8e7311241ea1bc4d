#include "lib/per_cpu_runtime.h"

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/testing/list_policy.h"
#include "lib/testing/mock_kernel.h"
#include "lib/testing/runtime_test.h"

namespace ghost {
namespace {

TEST_F(RuntimeTest, NothingToRunYields) {
  Start();
  EXPECT_EQ(Step(0), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  EXPECT_EQ(mock_->calls().Total(), 1);
  EXPECT_EQ(mock_->last_yield_flags(), 0);
}

TEST_F(RuntimeTest, NewTaskRuns) {
  Start();
  mock_->PostNew(kA);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
  EXPECT_EQ(mock_->txn(0).task_barrier, 1u);
  EXPECT_EQ(mock_->txn(0).commit_flags, COMMIT_AT_TXN_COMMIT);
  EXPECT_EQ(Counters().commits, 1u);
  EXPECT_EQ(runtime_->CountTasks(), 1);
  // While it runs there is nothing to decide.
  EXPECT_EQ(Step(), StepResult::kYielded);
}

// Those that still wait for a place are nobody's load: the first to come is the first to run.
TEST_F(RuntimeTest, NewTasksThatComeTogetherAreSpreadInTheirOrder) {
  Start();
  ListPolicy::place = -1;
  for (const int64_t gtid : {kA, kB, kC}) mock_->PostNew(gtid);
  EXPECT_EQ(Step(0), StepResult::kCommitted);
  EXPECT_EQ(Committed(0), kA);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kB);
  ASSERT_NE(runtime_->policy().Front(0), nullptr);
  EXPECT_EQ(runtime_->policy().Front(0)->gtid(), kC);
}

TEST_F(RuntimeTest, NewTaskThatSleepsRunsOnceAwake) {
  Start();
  mock_->PostNew(kA, /*runnable=*/false);
  EXPECT_EQ(Step(), StepResult::kYielded);
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
}

TEST_F(RuntimeTest, BlockedWakesAndReasonsReachThePolicy) {
  Start();
  RunOn(0, kA);
  mock_->Post(TaskBlocked{.gtid = kA, .runtime_ns = 700, .cpu = 0});
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(Counters().blocked, 1u);
  EXPECT_EQ(Counters().runnable, 0u);

  struct Case {
    Payload payload;
    EnqueueReason reason;
  };
  const Case kCases[] = {
      {TaskWakeup{.gtid = kA, .deferrable = false}, EnqueueReason::kWoken},
      {TaskYield{.gtid = kA}, EnqueueReason::kYielded},
      {TaskPreempt{.gtid = kA}, EnqueueReason::kPreempted},
  };
  for (const Case& c : kCases) {
    mock_->Post(c.payload);
    // Boosted: the agent looks, but must not commit.
    mock_->SetBoost(0, true);
    EXPECT_EQ(Step(), StepResult::kYielded);
    EXPECT_EQ(mock_->last_yield_flags(), RTLA_ON_IDLE);
    ASSERT_NE(runtime_->policy().Front(0), nullptr);
    EXPECT_EQ(runtime_->policy().Front(0)->last_reason, c.reason);
    EXPECT_EQ(runtime_->policy().Front(0)->state(), TaskState::kQueued);
    mock_->SetBoost(0, false);
    EXPECT_EQ(Step(), StepResult::kCommitted);
  }
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(RuntimeTest, DeferrableWakeup) {
  Start();
  mock_->PostNew(kA, false);
  Step();
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);  // placed for the first time
  mock_->Post(TaskBlocked{.gtid = kA});
  mock_->Post(TaskWakeup{.gtid = kA, .deferrable = true});
  mock_->SetBoost(0, true);
  Step();
  EXPECT_EQ(runtime_->policy().Front(0)->last_reason, EnqueueReason::kWokenDeferrable);
}

TEST_F(RuntimeTest, SliceThatIsUsedUp) {
  Start();
  ListPolicy::slice_end = Time::FromNanoseconds(1000);
  RunOn(0, kA);
  mock_->Post(TaskPreempt{.gtid = kA});
  mock_->SetBoost(0, true);
  Step(0, /*now=*/999);
  EXPECT_EQ(runtime_->policy().Front(0)->last_reason, EnqueueReason::kPreempted);
  mock_->SetBoost(0, false);
  Step(0, 1000);
  mock_->Post(TaskPreempt{.gtid = kA});
  mock_->SetBoost(0, true);
  Step(0, 1000);
  EXPECT_EQ(runtime_->policy().Front(0)->last_reason, EnqueueReason::kSliceExpired);
}

struct TimelyPolicy : ListPolicy {
  using ListPolicy::ListPolicy;
  static constexpr bool kTimelySlices = true;
};

// A timer for each slice, not for each pick: one that goes off before the slice ends is good enough.
TEST_F(RuntimeTest, ATimerEndsSlices) {
  PerCpuRuntime<TimelyPolicy> runtime(enclave_.get());
  ASSERT_TRUE(runtime.StartStepped().ok());
  struct Case {
    int64_t now_ns;
    Time slice_end;
    int64_t timer_ns;  // what it is set to, after the pick
    bool set_anew;
  };
  const Case kCases[] = {
      {1'000, Time::Infinite(), 0, false},
      {2'000, Time::FromNanoseconds(100'000), 100'000, true},
      {3'000, Time::FromNanoseconds(200'000), 100'000, false},
      {4'000, Time::FromNanoseconds(90'000), 90'000, true},
      {90'000, Time::FromNanoseconds(200'000), 200'000, true},   // it has gone off
      {100'000, Time::FromNanoseconds(100'001), 110'000, true},  // no shorter than 10 us
      {300'000, Time::Infinite(), 110'000, false},
  };
  mock_->PostNew(kA);
  for (const Case& c : kCases) {
    ListPolicy::slice_end = c.slice_end;
    mock_->ResetCalls();
    EXPECT_EQ(runtime.Step(0, Time::FromNanoseconds(c.now_ns)), StepResult::kCommitted);
    EXPECT_EQ(mock_->timer().when_ns, c.timer_ns) << c.now_ns;
    if (c.now_ns > 1'000) {  // the first one places the task
      EXPECT_EQ(mock_->calls().Total(), c.set_anew ? 2 : 1) << c.now_ns;
    }
    mock_->Post(TaskPreempt{.gtid = kA});
  }
  EXPECT_EQ(mock_->timer().cpu, 0);
}

TEST_F(RuntimeTest, BoostedAgentWithoutWorkYieldsPlainly) {
  Start();
  mock_->SetBoost(0, true);
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(mock_->last_yield_flags(), 0);
}

TEST_F(RuntimeTest, BarrierIsReadBeforeDraining) {
  Start();
  RunOn(0, kA);
  mock_->Post(TaskBlocked{.gtid = kA});
  // A message comes while the agent is about to sleep: between its draining and its yield.
  bool late = true;
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_RUN && late) {
      late = false;
      mock_->Post(TaskWakeup{.gtid = kA});
    }
    return std::nullopt;
  };
  EXPECT_EQ(Step(), StepResult::kYielded);  // -ESTALE
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
}

// ---- Homes ----

TEST_F(RuntimeTest, TaskIsPlacedOnAnotherCpu) {
  Start();
  ListPolicy::place = 1;
  mock_->PostNew(kA);
  EXPECT_EQ(Step(0), StepResult::kYielded);
  EXPECT_EQ(mock_->queue_of_task(kA), mock_->queue_of_agent(1));
  EXPECT_EQ(mock_->pinged(), std::vector<int>{1});
  EXPECT_EQ(Counters(0).moved, 1u);
  EXPECT_EQ(Counters(0).tasks, 0u);
  EXPECT_EQ(Counters(1).tasks, 1u);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
  mock_->Post(TaskBlocked{.gtid = kA});
  EXPECT_EQ(Step(1), StepResult::kYielded);
  EXPECT_EQ(Counters(1).runnable, 0u);
  EXPECT_EQ(Counters(0).runnable, 0u);
}

TEST_F(RuntimeTest, AnAgentThatCannotBePingedIsPingedAgain) {
  Start();
  ListPolicy::place = 1;
  mock_->PostNew(kA);
  int refused = 0;
  mock_->on_ioctl = [&](unsigned long number, void* argument) -> std::optional<int> {
    if (number != GHOST_IOC_RUN || static_cast<ghost_ioc_run*>(argument)->gtid != GHOST_AGENT_GTID) return std::nullopt;
    return ++refused <= 3 ? std::optional<int>(-EINVAL) : std::nullopt;  // its CPU is offline
  };
  Step(0);
  EXPECT_EQ(mock_->pinged(), std::vector<int>{});
  Step(0);
  Step(0);
  EXPECT_EQ(mock_->pinged(), std::vector<int>{1});
  Step(0);
  EXPECT_EQ(mock_->pinged(), std::vector<int>{1});
  EXPECT_EQ(refused, 4);
}

TEST_F(RuntimeTest, LoadsCountTasksOnTheirWay) {
  Start();
  ListPolicy::place = -1;
  for (int i = 0; i < 10; ++i) mock_->PostNew(MockGtid(1000 + i));
  Step(0);
  EXPECT_EQ(Counters(0).tasks, 5u);
  EXPECT_EQ(Counters(1).tasks, 5u);
  EXPECT_EQ(Counters(1).runnable, 0u);  // they are in the mail
  Step(1);
  EXPECT_EQ(Counters(1).runnable, 5u);
}

TEST_F(RuntimeTest, MoveIsRetriedWhenMessagesOvertakeIt) {
  Start();
  ListPolicy::place = 1;
  mock_->PostNew(kA);
  int refused = 0;
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_ASSOC_QUEUE && ++refused <= 2)
      mock_->Post(TaskPriorityChanged{.gtid = kA, .nice = refused});
    return std::nullopt;
  };
  Step(0);
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
  EXPECT_EQ(mock_->txn(1).task_barrier, 3u);
}

TEST_F(RuntimeTest, BarrierThatMovesWithoutAMessageIsLookedUp) {
  Start();
  ListPolicy::place = 1;
  mock_->PostNew(kA);
  mock_->BumpBarrier(kA);  // its message was lost
  Step(0);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(1).task_barrier, 2u);
}

TEST_F(RuntimeTest, DiesInTheMail) {
  Start();
  ListPolicy::place = 1;
  mock_->PostNew(kA);
  Step(0);
  mock_->PostDead(kA);
  EXPECT_EQ(Step(1), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().frees, 1);
  EXPECT_EQ(runtime_->CountTasks(), 0);
  EXPECT_EQ(Counters(1).runnable, 0u);
}

TEST_F(RuntimeTest, DiesBeforeItIsPlaced) {
  Start();
  ListPolicy::place = 1;
  mock_->PostNew(kA);
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number != GHOST_IOC_ASSOC_QUEUE) return std::nullopt;
    if (mock_->HasTask(kA)) mock_->PostDead(kA);
    return -ENOENT;
  };
  EXPECT_EQ(Step(0), StepResult::kYielded);
  EXPECT_EQ(runtime_->CountTasks(), 0);
  EXPECT_EQ(mock_->calls().frees, 1);
  EXPECT_EQ(Counters(0).runnable, 0u);
}

TEST_F(RuntimeTest, AffinityLimitsThePolicy) {
  Start();
  struct Case {
    CpuSet affinity;
    int where;
  };
  const Case kCases[] = {{CpuSet({1}), 1}, {CpuSet({0, 3}), 0}, {CpuSet({3}), 0 /* none of its own: any */}};
  ListPolicy::place = 0;
  int tid = 1000;
  for (const Case& c : kCases) {
    const int64_t gtid = MockGtid(++tid);
    mock_->AddTask(gtid);
    mock_->SetAffinity(gtid, c.affinity);
    mock_->PostNew(gtid);
    Step(0);
    EXPECT_EQ(mock_->queue_of_task(gtid), mock_->queue_of_agent(c.where)) << ToCpuList(c.affinity);
  }
}

TEST_F(RuntimeTest, AffinityChangesOfQueuedRunningAndSleepingTasks) {
  Start();
  RunOn(0, kA);
  mock_->PostNew(kB);
  mock_->PostNew(kC, /*runnable=*/false);
  EXPECT_EQ(Step(), StepResult::kYielded);
  for (int64_t gtid : {kA, kB, kC}) {
    mock_->SetAffinity(gtid, CpuSet({1}));
    mock_->Post(TaskAffinityChanged{.gtid = gtid});
  }
  // Queued: it moves at once. Running: when it is off. Asleep: when it wakes.
  Step();
  EXPECT_EQ(mock_->queue_of_task(kA), mock_->queue_of_agent(0));
  EXPECT_EQ(mock_->queue_of_task(kB), mock_->queue_of_agent(1));
  EXPECT_EQ(mock_->queue_of_task(kC), mock_->queue_of_agent(0));
  mock_->Post(TaskPreempt{.gtid = kA});
  mock_->Post(TaskWakeup{.gtid = kC});
  Step();
  EXPECT_EQ(mock_->queue_of_task(kA), mock_->queue_of_agent(1));
  EXPECT_EQ(mock_->queue_of_task(kC), mock_->queue_of_agent(1));
  EXPECT_EQ(Counters(1).tasks, 3u);
  Step(1);
  EXPECT_EQ(Counters(1).runnable, 3u);
  EXPECT_EQ(Counters(0).illegal_changes + Counters(1).illegal_changes, 0u);
}

// ---- Ends ----

TEST_F(RuntimeTest, DeathInEachState) {
  Start();
  RunOn(0, kA);               // on cpu
  mock_->PostNew(kB);         // queued
  mock_->PostNew(kC, false);  // asleep
  Step();
  EXPECT_EQ(runtime_->CountTasks(), 3);
  for (int64_t gtid : {kA, kB, kC}) mock_->PostDead(gtid);
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(runtime_->CountTasks(), 0);
  EXPECT_EQ(Counters().runnable, 0u);
  EXPECT_EQ(mock_->calls().frees, 3);
  EXPECT_EQ(runtime_->policy().Length(0), 0u);
}

// As ghostd tells of a task that was killed while it waited for a CPU.
TEST_F(RuntimeTest, BlocksAndDiesInTheQueue) {
  Start();
  RunOn(0, kA);
  mock_->PostNew(kB);
  Step();
  mock_->Post(TaskBlocked{.gtid = kB});
  mock_->PostDead(kB);
  Step();
  EXPECT_EQ(runtime_->CountTasks(), 1);
  EXPECT_EQ(runtime_->policy().Length(0), 0u);
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(RuntimeTest, DepartsAndComesBackWithTheSameGtid) {
  Start();
  for (int i = 0; i < 3; ++i) {
    RunOn(0, kA);
    mock_->PostDead(kA);  // as DEPARTED: its status word can be freed
    EXPECT_EQ(Step(), StepResult::kYielded);
  }
  EXPECT_EQ(mock_->calls().frees, 3);
  EXPECT_EQ(runtime_->CountTasks(), 0);
}

TEST_F(RuntimeTest, TwoTasksWithOneThreadId) {
  Start();
  const int64_t old_one = MockGtid(50, 1), new_one = MockGtid(50, 2);
  mock_->PostNew(old_one);
  mock_->PostNew(new_one);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), old_one);
  mock_->PostDead(old_one);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), new_one);
  EXPECT_EQ(runtime_->CountTasks(), 1);
}

// ---- Commits that fail ----

TEST_F(RuntimeTest, EachOutcomeOfACommit) {
  struct Case {
    int32_t state;
    StepResult result;
    bool retried;  // the same task is committed by a later step
  };
  const Case kCases[] = {
      {GHOST_TXN_AGENT_STALE, StepResult::kYielded, true},
      {GHOST_TXN_POISONED, StepResult::kYielded, true},
      {GHOST_TXN_TARGET_STALE, StepResult::kYielded, true},
      {GHOST_TXN_TARGET_NOT_RUNNABLE, StepResult::kYielded, true},
      {GHOST_TXN_TARGET_ONCPU, StepResult::kYielded, true},
      {GHOST_TXN_CPU_UNAVAIL, StepResult::kYielded, true},
      {GHOST_TXN_CPU_OFFLINE, StepResult::kYielded, true},
      {GHOST_TXN_TARGET_NOT_FOUND, StepResult::kYielded, false},
      {GHOST_TXN_INVALID_TARGET, StepResult::kYielded, false},
      {GHOST_TXN_NO_AGENT, StepResult::kKernelGone, true},
      {GHOST_TXN_INVALID_FLAGS, StepResult::kKernelGone, true},
  };
  Start();
  int tid = 1000;
  for (const Case& c : kCases) {
    SCOPED_TRACE(TxnStateName(c.state));
    const int64_t gtid = MockGtid(++tid);
    const uint64_t failed_before = Counters().commits_failed;
    mock_->PostNew(gtid);
    mock_->on_commit = [&](int, const ghost_txn&) { return c.state; };
    EXPECT_EQ(Step(), c.result);
    EXPECT_EQ(Counters().commits_failed, failed_before + 1);
    mock_->on_commit = nullptr;
    EXPECT_EQ(Step(), c.retried ? StepResult::kCommitted : StepResult::kYielded);
    if (c.retried) {
      EXPECT_EQ(Committed(), gtid);
    }
    mock_->PostDead(gtid);
    Step();
    EXPECT_EQ(runtime_->CountTasks(), 0);
    EXPECT_EQ(Counters().runnable, 0u);
  }
}

TEST_F(RuntimeTest, TaskWhoseWakeupWasLostIsFound) {
  Start();
  RunOn(0, kA);
  mock_->Post(TaskYield{.gtid = kA});
  mock_->BumpBarrier(kA);  // stale from now on, and no message says so
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
}

TEST_F(RuntimeTest, KernelGoneIsReportedOnce) {
  int reports = 0;
  RuntimeOptions options;
  options.on_kernel_gone = [&](const absl::Status& status) {
    EXPECT_FALSE(status.ok());
    ++reports;
  };
  Start(std::move(options));
  mock_->on_ioctl = [](unsigned long, void*) { return -ENODEV; };
  EXPECT_EQ(Step(0), StepResult::kKernelGone);
  EXPECT_EQ(Step(1), StepResult::kKernelGone);
  EXPECT_EQ(reports, 1);
}

struct TunedPolicy : ListPolicy {
  using ListPolicy::ListPolicy;
  std::vector<Tunable*> Tunables() { return {&slice}; }
  Tunable slice{"slice", "", Tunable::Unit::kNanoseconds, 1000, 1, INT64_MAX};
};

TEST_F(RuntimeTest, ThePolicysTunablesAreTheRuntimes) {
  PerCpuRuntime<TunedPolicy> tuned(enclave_.get());
  const std::vector<Tunable*> tunables = tuned.Tunables();
  ASSERT_EQ(tunables.size(), 1u);
  EXPECT_TRUE(tunables[0]->Set("5us").ok());
  EXPECT_EQ(tuned.policy().slice.Get(), 5000);

  PerCpuRuntime<ListPolicy> plain(enclave_.get());
  EXPECT_TRUE(plain.Tunables().empty());
}

}  // namespace
}  // namespace ghost
