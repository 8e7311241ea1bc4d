// How the global agent leaves a CPU that another class wants, and how it sleeps.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/status.h"
#include "lib/centralized_runtime.h"
#include "lib/testing/centralized_test.h"
#include "lib/topology.h"

namespace ghost {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;

constexpr int64_t kMs = 1'000'000;

// CPU 0's sibling is 3, its L3 has 2, too, its node 1, too.
std::shared_ptr<const Topology> TestTopology() {
  std::vector<Topology::Record> records;
  for (int cpu : {0, 1, 2, 3}) {
    const CpuSet l3 = cpu == 1 ? CpuSet({1}) : CpuSet({0, 2, 3});
    records.push_back({.cpu = cpu, .siblings = CpuSet({cpu}), .l3_siblings = l3});
  }
  for (int cpu : {0, 3}) records[cpu].siblings = CpuSet({0, 3});
  return std::make_shared<const Topology>(*Topology::Custom(records));
}

class HandoffTest : public CentralizedTest {
 protected:
  void StartWithTopology(RuntimeOptions options = {}) {
    options.topology = TestTopology();
    Start(std::move(options));
  }
  // Until the hand-off that is wanted is over; returns the new global CPU.
  int HandOff() {
    const int old = runtime_->global_cpu();
    mock_->SetBoost(old, true);
    Step(now_);
    const int heir = mock_->pinged().back();
    StepSatellite(heir, ++now_);
    EXPECT_EQ(runtime_->global_cpu(), old);
    Step(++now_);
    EXPECT_EQ(runtime_->global_cpu(), heir);
    mock_->SetBoost(old, false);
    return heir;
  }
  void SetBusy(int cpu) {
    mock_->SetAvailable(cpu, false);
    mock_->Post(CpuBusy{.cpu = cpu});
    Step(++now_);
  }

  int64_t now_ = 1;
};

TEST_F(HandoffTest, GoesToTheNearestCpuThatCanBeHad) {
  struct Case {
    CpuSet busy;
    int heir;
  };
  const Case kCases[] = {{{}, 3}, {{3}, 2}, {{3, 2}, 1}, {{2}, 3}};
  for (const Case& c : kCases) {
    SCOPED_TRACE(ToCpuList(c.busy));
    StartWithTopology();
    for (int cpu : c.busy) SetBusy(cpu);
    EXPECT_EQ(HandOff(), c.heir);
    EXPECT_EQ(Counters().handoffs, 1u);
    runtime_.reset();
    for (int cpu = 0; cpu < kCpus; ++cpu) mock_->RemoveAgent(cpu);
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    mock_ = kernel_.enclave();
    mock_->remote_commits = true;
  }
}

// Nothing need have happened before.
TEST_F(HandoffTest, MessagesWakeTheNewOne) {
  StartWithTopology();
  EXPECT_EQ(mock_->wakeup_of(mock_->default_queue()), 0);
  const int heir = HandOff();
  Step(++now_);
  EXPECT_EQ(mock_->wakeup_of(mock_->default_queue()), heir);
}

TEST_F(HandoffTest, OfEquallyNearOnesAnIdleOne) {
  Start();  // flat: all are as near
  RunOn(1, kA);
  EXPECT_EQ(HandOff(), 2);
}

TEST_F(HandoffTest, TheOldOneSchedulesUntilTheNewOneIsAwake) {
  StartWithTopology();
  mock_->SetBoost(0, true);
  Step();
  EXPECT_THAT(mock_->pinged(), ElementsAre(3));
  EXPECT_EQ(runtime_->look_again(), Time::FromNanoseconds(1));  // it polls for the answer
  mock_->PostNew(kA);
  EXPECT_EQ(Step(2), StepResult::kPolled);
  EXPECT_EQ(Committed(1), kA);
  // The heir's CPU gets no task any more.
  mock_->PostNew(kB);
  mock_->PostNew(kC);
  Step(3);
  EXPECT_EQ(Committed(2), kB);
  EXPECT_EQ(runtime_->policy().Length(), 1u);
  EXPECT_EQ(StepSatellite(3, 4), StepResult::kPolled);
  EXPECT_EQ(mock_->calls().yields, 0);  // it waits for its turn
  Step(5);
  EXPECT_EQ(runtime_->global_cpu(), 3);
  EXPECT_THAT(mock_->pinged(), ElementsAre(3, 3));
  // From here on the old one is a satellite, and its CPU another class's.
  EXPECT_EQ(StepSatellite(0, 6), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  EXPECT_EQ(Step(7), StepResult::kPolled);
  EXPECT_EQ(mock_->wakeup_of(mock_->default_queue()), 3);
  EXPECT_EQ(runtime_->Counters(0).handoffs, 1u);
  EXPECT_EQ(runtime_->Counters(3).tasks, 3u);
  EXPECT_EQ(runtime_->Counters(0).tasks, 0u);
  // Until it is seen to be free.
  mock_->SetBoost(0, false);
  Step(5 * kMs);
  Step(6 * kMs);
  EXPECT_EQ(Committed(0), kC);
}

TEST_F(HandoffTest, TaskOfTheNewGlobalCpuIsTakenElsewhere) {
  StartWithTopology();
  for (int cpu : {1, 2, 3}) RunOn(cpu, MockGtid(100 * cpu));
  mock_->SetBoost(0, true);
  Step();
  PostPreempt(3, MockGtid(300));  // as the ping does
  StepSatellite(3);
  Step();
  EXPECT_EQ(runtime_->global_cpu(), 3);
  EXPECT_EQ(runtime_->policy().Front()->gtid(), MockGtid(300));
  EXPECT_EQ(runtime_->policy().Front()->last_reason, EnqueueReason::kPreempted);
  mock_->Post(TaskBlocked{.gtid = MockGtid(200), .cpu = 2});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), MockGtid(300));
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(HandoffTest, OfferThatNobodyAnswersIsWithdrawn) {
  StartWithTopology();
  mock_->SetBoost(0, true);
  Step();
  EXPECT_THAT(mock_->pinged(), ElementsAre(3));
  Step(50 * kMs);
  // The next one is asked.
  Step(50 * kMs + 1);
  EXPECT_EQ(mock_->pinged().back(), 2);
  // The first one wakes too late: it sleeps again.
  EXPECT_EQ(StepSatellite(3, 50 * kMs + 2), StepResult::kYielded);
  EXPECT_EQ(runtime_->global_cpu(), 0);
  StepSatellite(2, 50 * kMs + 3);
  Step(50 * kMs + 4);
  EXPECT_EQ(runtime_->global_cpu(), 2);
}

TEST_F(HandoffTest, HeirThatIsNotLetInSleepsAndIsPinged) {
  StartWithTopology();
  mock_->SetBoost(0, true);
  Step();
  EXPECT_EQ(StepSatellite(3, 1), StepResult::kPolled);
  EXPECT_EQ(StepSatellite(3, 10 * kMs), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  Step(10 * kMs + 1);
  EXPECT_EQ(runtime_->global_cpu(), 3);
  EXPECT_THAT(mock_->pinged(), ElementsAre(3, 3));
}

TEST_F(HandoffTest, WithNowhereToGoItYieldsForATurnAtATime) {
  StartWithTopology();
  for (int cpu : {1, 2, 3}) SetBusy(cpu);
  mock_->SetBoost(0, true);
  mock_->ResetCalls();
  EXPECT_EQ(Step(1000), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  EXPECT_EQ(mock_->last_yield_flags(), RTLA_ON_IDLE);
  EXPECT_EQ(mock_->timer().cpu, 0);
  EXPECT_EQ(mock_->timer().when_ns, 1000 + kMs);
  // Messages are read all the time.
  mock_->PostNew(kA);
  EXPECT_EQ(Step(2000), StepResult::kYielded);
  EXPECT_EQ(runtime_->CountTasks(), 1);
  EXPECT_EQ(Counters().handoffs, 0u);
  // A CPU has become free.
  mock_->SetAvailable(2, true);
  mock_->Post(CpuAvailable{.cpu = 2});
  Step(3000);
  EXPECT_EQ(Committed(2), kA);
  EXPECT_EQ(mock_->pinged().back(), 2);
}

TEST_F(HandoffTest, ThereAndBack) {
  StartWithTopology();
  RunOn(1, kA);
  for (int i = 0; i < 20; ++i) {
    now_ += 10 * kMs;
    const int heir = HandOff();
    now_ += 10 * kMs;
    // CPUs that were left are seen to be free.
    for (int step = 0; step < 4; ++step) Step(now_ += kMs);
    EXPECT_EQ(runtime_->global_cpu(), heir);
  }
  EXPECT_EQ(Counters().handoffs, 20u);
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(HandoffTest, StartsWhereItIsTold) {
  Start({.global_cpu = 2});
  EXPECT_EQ(runtime_->global_cpu(), 2);
  EXPECT_EQ(mock_->wakeup_of(mock_->default_queue()), 2);
  RunOn(0, kA);
}

TEST_F(HandoffTest, WrongSetsOfCpusAreRefused) {
  CentralizedRuntime<CentralPolicy> elsewhere(enclave_.get(), {.global_cpu = 9});
  const absl::Status status = elsewhere.StartStepped();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << status;
  EXPECT_NE(HintOf(status), "");
  auto one = *Enclave::Create(&kernel_, CpuSet({1}));
  CentralizedRuntime<CentralPolicy> alone(one.get());
  EXPECT_EQ(ExitCodeOf(alone.StartStepped()), ExitCode::kUsage);
}

// ---- Sleep ----

TEST_F(HandoffTest, WhoMayOnlyRunOnTheGlobalCpuRunsAnywhere) {
  StartWithTopology();
  for (int64_t gtid : {kA, kB}) mock_->PostNew(gtid, false);
  mock_->SetAffinity(kA, CpuSet({0}));
  mock_->SetAffinity(kB, CpuSet({3}));
  TakeLog();
  Step(now_);
  for (int64_t gtid : {kA, kB}) mock_->Post(TaskAffinityChanged{.gtid = gtid});
  Step(++now_);
  EXPECT_THAT(TakeLog(), AllOf(Contains("cpus 100 0-3"), Contains("cpus 200 3")));
  ASSERT_EQ(HandOff(), 3);
  Step(++now_);
  EXPECT_THAT(TakeLog(), AllOf(Contains("cpus 100 0"), Contains("cpus 200 0-3")));
}

class SleepTest : public HandoffTest {
 protected:
  void StartSleepy() {
    Start({.idle_poll = absl::Microseconds(50)});
    EXPECT_EQ(Step(1), StepResult::kPolled);
    mock_->ResetCalls();
  }
};

TEST_F(SleepTest, PollsForSomeTimeThenSleepsUntilAMessageComes) {
  StartSleepy();
  EXPECT_EQ(Step(40'000), StepResult::kPolled);
  EXPECT_EQ(Step(60'000), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  EXPECT_EQ(mock_->last_yield_flags(), 0);
  EXPECT_EQ(mock_->calls().Total(), 1);  // no timer
  RunOn(1, kA);
}

TEST_F(SleepTest, WhatItHandlesKeepsItAwake) {
  StartSleepy();
  mock_->PostNew(kA, false);
  EXPECT_EQ(Step(60'000), StepResult::kPolled);
  EXPECT_EQ(Step(100'000), StepResult::kPolled);
  EXPECT_EQ(Step(120'000), StepResult::kYielded);
}

TEST_F(SleepTest, MessageThatComesMeanwhileKeepsItFromSleeping) {
  StartSleepy();
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_RUN && !mock_->HasTask(kA)) mock_->PostNew(kA);
    return std::nullopt;
  };
  EXPECT_EQ(Step(60'000), StepResult::kYielded);  // -ESTALE
  EXPECT_EQ(Step(60'001), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
}

TEST_F(SleepTest, TimerWakesItWhenThePolicyWantsToLook) {
  StartSleepy();
  CentralPolicy::look_again = Time::FromNanoseconds(500'000);
  EXPECT_EQ(Step(60'000), StepResult::kYielded);
  EXPECT_EQ(mock_->timer().cpu, 0);
  EXPECT_EQ(mock_->timer().when_ns, 500'000);
  // It is armed already.
  mock_->ResetCalls();
  EXPECT_EQ(Step(70'000), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().Total(), 1);
  EXPECT_EQ(Step(500'000), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().Total(), 1);  // the time is now: no sleep
}

TEST_F(SleepTest, WithoutATimerItPolls) {
  StartSleepy();
  CentralPolicy::look_again = Time::FromNanoseconds(500'000);
  mock_->on_ioctl = [](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_TIMERFD_SETTIME) return -ENOTTY;
    return std::nullopt;
  };
  EXPECT_EQ(Step(60'000), StepResult::kPolled);
  EXPECT_EQ(mock_->calls().yields, 0);
}

TEST_F(SleepTest, HowLongItPollsCanBeSet) {
  StartSleepy();
  std::vector<std::string> names;
  for (Tunable* tunable : runtime_->Tunables()) {
    names.push_back(tunable->name());
    ASSERT_TRUE(tunable->Set("inf").ok());
  }
  EXPECT_THAT(names, ElementsAre("idle_poll"));
  EXPECT_EQ(Step(kMs), StepResult::kPolled);
}

}  // namespace
}  // namespace ghost
