#include "lib/per_cpu_runtime.h"

#include <cerrno>
#include <memory>

#include "gtest/gtest.h"
#include "lib/enclave.h"
#include "lib/testing/list_policy.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

constexpr int64_t kA = MockGtid(100);
constexpr int64_t kB = MockGtid(200);
constexpr int64_t kC = MockGtid(300);

class RuntimeTest : public testing::Test {
 protected:
  RuntimeTest() : kernel_(/*num_cpus=*/4) {
    ListPolicy::place = 0;
    ListPolicy::slice_end = Time::Infinite();
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(2));
    mock_ = kernel_.enclave();
  }

  void Start(RuntimeOptions options = {}) {
    runtime_ = std::make_unique<PerCpuRuntime<ListPolicy>>(enclave_.get(), std::move(options));
    ASSERT_TRUE(runtime_->StartStepped().ok());
    mock_->ResetCalls();
  }
  StepResult Step(int cpu = 0, int64_t now = 1) { return runtime_->Step(cpu, Time::FromNanoseconds(now)); }
  // The task that was given the CPU by the last commit.
  int64_t Committed(int cpu = 0) {
    return mock_->txn(cpu).state == GHOST_TXN_COMPLETE ? mock_->txn(cpu).gtid : int64_t{-99};
  }
  RuntimeCounters Counters(int cpu = 0) { return runtime_->Counters(cpu); }
  // A task that is on `cpu`.
  void RunOn(int cpu, int64_t gtid) {
    ListPolicy::place = cpu;
    mock_->PostNew(gtid);
    if (cpu != 0) {
      EXPECT_EQ(Step(0), StepResult::kYielded);
    }
    EXPECT_EQ(Step(cpu), StepResult::kCommitted);
    EXPECT_EQ(Committed(cpu), gtid);
  }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_;
  std::unique_ptr<PerCpuRuntime<ListPolicy>> runtime_;
};

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

// ---- Lost and odd messages ----

TEST_F(RuntimeTest, OverflowIsRecoveredFromStatusWords) {
  RuntimeOptions options;
  options.queue_elements = 64;
  Start(std::move(options));
  for (int i = 0; i < 4; ++i) mock_->PostNew(MockGtid(1000 + i), /*runnable=*/false);
  Step();
  // 12 messages of 5 slots fit into 64; the rest is lost: wake-ups, deaths, and new tasks.
  const int64_t sleeper = MockGtid(1000), woken = MockGtid(1001), dead = MockGtid(1002), newcomer = MockGtid(1004);
  int lost = 0;
  for (int i = 0; i < 6; ++i) {
    lost += mock_->Post(TaskWakeup{.gtid = sleeper}) ? 0 : 1;
    lost += mock_->Post(TaskBlocked{.gtid = sleeper}) ? 0 : 1;
  }
  lost += mock_->Post(TaskWakeup{.gtid = woken}) ? 0 : 1;
  ASSERT_TRUE(mock_->Post(TaskAffinityChanged{.gtid = sleeper}));  // leaves two slots
  EXPECT_FALSE(mock_->PostNew(newcomer));
  mock_->PostDead(dead);
  ASSERT_GT(lost, 0);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Counters().lost_messages, static_cast<uint64_t>(lost + 2));
  EXPECT_EQ(Committed(), woken);
  EXPECT_EQ(runtime_->CountTasks(), 4);  // three of the four, and the newcomer
  EXPECT_EQ(Counters().runnable, 2u);
  mock_->Post(TaskBlocked{.gtid = woken});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), newcomer);
}

TEST_F(RuntimeTest, GarbageInTheRingIsRecoveredFromStatusWords) {
  Start();
  mock_->PostNew(kA, false);
  Step();
  mock_->Post(TaskWakeup{.gtid = kA});
  MockQueue& queue = mock_->queue(mock_->queue_of_agent(0));
  const uint32_t index = (queue.ring().head - 5) % queue.num_elements();
  std::memset(queue.slots() + index * sizeof(ghost_msg), 0xff, 5 * sizeof(ghost_msg));
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
  EXPECT_EQ(Counters().corrupt_messages, 1u);
}

TEST_F(RuntimeTest, MessagesAboutStrangers) {
  Start();
  mock_->AddTask(kA);
  mock_->Post(TaskWakeup{.gtid = kA});
  mock_->Post(CpuTick{.cpu = 0});
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(Counters().unknown_tasks, 1u);
  EXPECT_EQ(Counters().messages, 2u);
}

TEST_F(RuntimeTest, NewAgainIsNoSecondTask) {
  Start();
  RunOn(0, kA);
  mock_->PostNew(kA);  // `discover tasks`
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(runtime_->CountTasks(), 1);
  mock_->Post(TaskBlocked{.gtid = kA});
  mock_->PostNew(kA, /*runnable=*/false);
  EXPECT_EQ(Step(), StepResult::kYielded);
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(0).task_barrier, 5u);
}

TEST_F(RuntimeTest, ChainsOfSwitchtoWakeTheAgentOfTheirCpu) {
  Start();
  RunOn(1, kB);
  RunOn(0, kA);
  mock_->PostNew(kC, false);
  Step();
  // b gave cpu 1 to c directly; c, at home on cpu 0, leaves it.
  mock_->Post(TaskSwitchto{.gtid = kB, .cpu = 1});
  EXPECT_EQ(Step(1), StepResult::kYielded);
  mock_->ResetCalls();
  mock_->Post(TaskBlocked{.gtid = kC, .cpu = 1, .from_switchto = true});
  Step(0);
  EXPECT_EQ(mock_->pinged().back(), 1);
  EXPECT_EQ(mock_->calls().pings, 1);
  EXPECT_EQ(Counters(0).illegal_changes, 0u);
}

TEST_F(RuntimeTest, LatchFailureQueuesTheTaskAgain) {
  Start();
  RunOn(0, kA);
  mock_->Post(TaskLatchFailure{.gtid = kA, .error = EBUSY});
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, false);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
}

// ---- Taking over ----

TEST_F(RuntimeTest, TasksOfAnOldAgentAreTakenOver) {
  for (int i = 0; i < 4; ++i) mock_->AddTask(MockGtid(1000 + i), /*runnable=*/i != 1);
  mock_->SetFlag(MockGtid(1002), GHOST_SW_TASK_ONCPU, true);
  mock_->SetFlag(MockGtid(1003), GHOST_SW_F_CANFREE, true);  // died unseen
  // They had an agent once, which got their TASK_NEW.
  Channel old_channel = *Channel::Create(mock_, 1024, 0, {});
  ASSERT_TRUE(old_channel.SetDefault().ok());
  for (int i = 0; i < 4; ++i) {
    mock_->AddTask(MockGtid(2000 + i));
    mock_->PostNew(MockGtid(2000 + i), /*runnable=*/i != 1);
  }
  mock_->SetFlag(MockGtid(2001), GHOST_SW_TASK_RUNNABLE, false);
  mock_->SetFlag(MockGtid(2002), GHOST_SW_TASK_ONCPU, true);
  ListPolicy::place = 0;
  Start();
  EXPECT_EQ(runtime_->CountTasks(), 4);  // those that are brand new tell of themselves
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), MockGtid(2000));
  mock_->Post(TaskPreempt{.gtid = MockGtid(2002)});
  mock_->Post(TaskWakeup{.gtid = MockGtid(2001)});
  mock_->Post(TaskBlocked{.gtid = MockGtid(2000)});
  for (int64_t gtid : {MockGtid(2003), MockGtid(2002), MockGtid(2001)}) {
    EXPECT_EQ(Step(), StepResult::kCommitted);
    EXPECT_EQ(Committed(), gtid);
    mock_->Post(TaskBlocked{.gtid = gtid});
  }
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

// ---- What people see ----

TEST_F(RuntimeTest, DumpIsWrittenByEachAgentBetweenPasses) {
  Start();
  RunOn(0, kA);
  EXPECT_NE(runtime_->DumpState(absl::ZeroDuration()).find("does not answer"), std::string::npos);
  mock_->Post(TaskBlocked{.gtid = kA});
  Step(0);
  Step(1);
  // The agents have answered too late; the next question is answered by their next steps.
  const std::string text = runtime_->DumpState(absl::ZeroDuration());
  EXPECT_NE(text.find("cpu 0"), std::string::npos);
}

TEST_F(RuntimeTest, CountersAddUp) {
  Start();
  RunOn(0, kA);
  RunOn(1, kB);
  const RuntimeCounters total = runtime_->TotalCounters();
  EXPECT_EQ(total.tasks, 2u);
  EXPECT_EQ(total.runnable, 2u);
  EXPECT_EQ(total.commits, 2u);
  EXPECT_EQ(total.placed, 2u);
}

}  // namespace
}  // namespace ghost
