// How CPUs of a per-CPU runtime share work: idle ones get tasks that wait elsewhere, by asking or by being seen.
#include <cerrno>
#include <memory>
#include <optional>
#include <set>

#include "gtest/gtest.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/list_policy.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

// ListPolicy with a hand that gives: the last task in line that may go.
class GivingPolicy : public ListPolicy {
 public:
  using ListPolicy::ListPolicy;
  static inline bool gives = true;
  bool GivesToIdle() const { return gives; }
  Task* PickToGive(int cpu, int to_cpu, int64_t most) {
    Task* last = nullptr;
    for (Task& task : queue(cpu)) {
      if (most >= 1 && task.allowed().Contains(to_cpu)) last = &task;
    }
    return last;
  }
};
// … and with loads: the number of tasks in line.
class BalancingPolicy : public GivingPolicy {
 public:
  using GivingPolicy::GivingPolicy;
  int64_t Load(int cpu) const { return static_cast<int64_t>(Length(cpu)); }
};
// … and one that chooses anew for whoever wakes.
class PlacingPolicy : public GivingPolicy {
 public:
  using GivingPolicy::GivingPolicy;
  static constexpr bool kPlacesWakeups = true;
};

template <typename Policy>
class ShareTestOf : public testing::Test {
 protected:
  ShareTestOf() : kernel_(/*num_cpus=*/3), enclave_(*Enclave::Create(&kernel_, CpuSet::FirstN(3))) {
    ListPolicy::place = 0;
    ListPolicy::slice_end = Time::Infinite();
    GivingPolicy::gives = true;
    mock_ = kernel_.enclave();
    runtime_ = std::make_unique<PerCpuRuntime<Policy>>(enclave_.get());
  }
  void SetUp() override {
    ASSERT_TRUE(runtime_->StartStepped().ok());
    mock_->ResetCalls();
  }
  StepResult Step(int cpu, int64_t now = 1) { return runtime_->Step(cpu, Time::FromNanoseconds(now)); }
  int64_t New() {
    const int64_t gtid = MockGtid(++tid_);
    mock_->PostNew(gtid);
    return gtid;
  }
  // So many tasks on CPU 0: one runs, the others wait.
  void Crowd(int num_tasks) {
    for (int i = 0; i < num_tasks; ++i) New();
    EXPECT_EQ(Step(0), StepResult::kCommitted);
  }
  int64_t Running(int cpu) { return mock_->txn(cpu).gtid; }
  int Pings(int cpu) const {
    int count = 0;
    for (int pinged : mock_->pinged()) count += pinged == cpu ? 1 : 0;
    return count;
  }
  uint64_t Runnable(int cpu) const { return runtime_->Counters(cpu).runnable; }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_;
  std::unique_ptr<PerCpuRuntime<Policy>> runtime_;
  int tid_ = 100;
};
using ShareTest = ShareTestOf<GivingPolicy>;
using PlacingTest = ShareTestOf<PlacingPolicy>;
using BalanceTest = ShareTestOf<BalancingPolicy>;

TEST_F(ShareTest, WhoBecomesIdleAsksTheCrowdedOne) {
  Crowd(3);
  EXPECT_EQ(Step(1), StepResult::kYielded);
  EXPECT_EQ(Pings(0), 1);
  EXPECT_EQ(Step(0), StepResult::kYielded);  // its task runs on
  EXPECT_EQ(Runnable(0), 2u);                // one of the two that waited
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  EXPECT_EQ(mock_->queue_of_task(Running(1)), mock_->queue_of_agent(1));
  EXPECT_EQ(Runnable(1), 1u);
}

TEST_F(ShareTest, WhoIsIdleIsSeenWhenSomebodyHasToWait) {
  EXPECT_EQ(Step(1), StepResult::kYielded);
  EXPECT_EQ(Step(2), StepResult::kYielded);
  Crowd(3);
  EXPECT_EQ(Pings(1), 1);
  EXPECT_EQ(Pings(2), 1);
  EXPECT_EQ(Pings(0), 0);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  EXPECT_EQ(Step(2), StepResult::kCommitted);
  for (int cpu : {0, 1, 2}) EXPECT_EQ(Runnable(cpu), 1u) << cpu;
}

TEST_F(ShareTest, OneTaskAloneIsLeftWhereItIs) {
  Step(1);
  Crowd(1);
  Step(2);
  EXPECT_EQ(mock_->pinged().size(), 0u);
  EXPECT_EQ(Runnable(0), 1u);
}

TEST_F(ShareTest, HalfOfWhatWaitsGoesAtOnce) {
  Crowd(21);
  Step(1);
  Step(0);
  Step(1);
  EXPECT_EQ(Runnable(0), 11u);
  EXPECT_EQ(Runnable(1), 10u);
}

TEST_F(ShareTest, AskedInVainItIsNotAskedAgainUntilSomebodyCame) {
  for (int i = 0; i < 3; ++i) {
    const int64_t gtid = MockGtid(++tid_);
    mock_->AddTask(gtid);
    mock_->SetAffinity(gtid, CpuSet({0}));
    mock_->PostNew(gtid);
  }
  EXPECT_EQ(Step(0), StepResult::kCommitted);
  Step(1);
  EXPECT_EQ(Pings(0), 1);
  Step(0);
  EXPECT_EQ(Pings(1), 1);  // nothing for it: it may ask somebody else
  EXPECT_EQ(Runnable(0), 3u);
  for (int i = 0; i < 10; ++i) {
    Step(1);
    Step(0);
  }
  EXPECT_EQ(Pings(0), 1);
  New();  // and this one may go
  Step(0);
  Step(1);
  EXPECT_EQ(Runnable(0), 3u);
  EXPECT_EQ(Runnable(1), 1u);
}

TEST_F(ShareTest, ManyIdleCpusAskOnce) {
  Crowd(2);
  Step(1);
  Step(2);
  EXPECT_EQ(Pings(0), 1);
  Step(0);
  EXPECT_EQ(Runnable(0), 1u);
}

TEST_F(ShareTest, AffinityIsKept) {
  Crowd(1);
  const int64_t gtid = MockGtid(++tid_);
  mock_->AddTask(gtid);
  mock_->SetAffinity(gtid, CpuSet({0, 2}));
  mock_->PostNew(gtid);
  Step(0);
  Step(1);
  Step(0);
  Step(1);
  EXPECT_EQ(Runnable(1), 0u);
  EXPECT_EQ(Runnable(0), 2u);
  Step(2);
  Step(0);
  EXPECT_EQ(Step(2), StepResult::kCommitted);
  EXPECT_EQ(Running(2), gtid);
}

TEST_F(ShareTest, AMessageThatOvertakesKeepsTheTaskAtHome) {
  Crowd(2);
  Step(1);
  int refused = 0;
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number != GHOST_IOC_ASSOC_QUEUE) return std::nullopt;
    ++refused;
    return -ESTALE;
  };
  Step(0);
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(Runnable(0), 2u);
  EXPECT_EQ(Runnable(1), 0u);
  EXPECT_EQ(runtime_->policy().Length(0), 1u);  // it still waits
  EXPECT_EQ(runtime_->TotalCounters().illegal_changes, 0u);
}

TEST_F(ShareTest, ATaskThatDiesOnTheWayIsBuried) {
  Crowd(2);
  Step(1);
  int64_t dying = 0;
  mock_->on_ioctl = [&](unsigned long number, void* argument) -> std::optional<int> {
    if (number != GHOST_IOC_ASSOC_QUEUE) return std::nullopt;
    dying = static_cast<int64_t>(static_cast<ghost_ioc_assoc_queue*>(argument)->src.arg);
    if (mock_->HasTask(dying)) mock_->PostDead(dying);
    return -ENOENT;
  };
  Step(0);
  Step(0);
  EXPECT_NE(dying, 0);
  EXPECT_EQ(runtime_->CountTasks(), 1);
  EXPECT_EQ(Runnable(0), 1u);
}

TEST_F(ShareTest, TasksLeaveACpuThatAnotherClassHas) {
  Crowd(1);
  Step(1);
  mock_->SetBoost(0, true);
  mock_->Post(TaskPreempt{.gtid = Running(0)});
  EXPECT_EQ(Step(0), StepResult::kYielded);
  EXPECT_EQ(Runnable(0), 0u);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  // Not idle, though it has no tasks: none is sent there.
  New();
  EXPECT_EQ(Step(0), StepResult::kYielded);
  EXPECT_EQ(mock_->last_yield_flags(), RTLA_ON_IDLE);
}

TEST_F(ShareTest, NothingIsGivenIfThePolicySaysSo) {
  GivingPolicy::gives = false;
  Step(2);
  Crowd(4);
  Step(1);
  Step(0);
  EXPECT_EQ(mock_->pinged().size(), 0u);
  EXPECT_EQ(Runnable(0), 4u);
}

TEST_F(PlacingTest, WhoWakesOnABusyCpuMayGoElsewhere) {
  Crowd(1);
  const int64_t sleeper = New();
  Step(0);
  mock_->Post(TaskBlocked{.gtid = sleeper});
  Step(0);
  ListPolicy::place = 2;
  mock_->Post(TaskWakeup{.gtid = sleeper});
  Step(0);
  EXPECT_EQ(mock_->queue_of_task(sleeper), mock_->queue_of_agent(2));
  mock_->SetBoost(2, true);  // so that it stays in line
  Step(2);
  EXPECT_EQ(runtime_->policy().Front(2)->last_reason, EnqueueReason::kWoken);  // why it came is not lost on the way
}

TEST_F(PlacingTest, WhoWakesOnAnIdleCpuStays) {
  Crowd(1);
  const int64_t gtid = Running(0);
  mock_->Post(TaskBlocked{.gtid = gtid});
  Step(0);
  ListPolicy::place = 2;
  mock_->Post(TaskWakeup{.gtid = gtid});
  EXPECT_EQ(Step(0), StepResult::kCommitted);
  EXPECT_EQ(mock_->queue_of_task(gtid), mock_->queue_of_agent(0));
}

TEST_F(PlacingTest, APlaceThatIsNotAllowedIsNotTaken) {
  Crowd(1);
  const int64_t sleeper = MockGtid(++tid_);
  mock_->AddTask(sleeper);
  mock_->SetAffinity(sleeper, CpuSet({0, 1}));
  mock_->PostNew(sleeper);
  Step(0);
  mock_->Post(TaskBlocked{.gtid = sleeper});
  Step(0);
  ListPolicy::place = 2;
  mock_->Post(TaskWakeup{.gtid = sleeper});
  Step(0);
  EXPECT_EQ(mock_->queue_of_task(sleeper), mock_->queue_of_agent(0));
  EXPECT_EQ(Runnable(0), 2u);
}

TEST_F(PlacingTest, WhoGoesToSleepOnTheWayIsPlacedAnewWhenItWakes) {
  Crowd(1);
  const int64_t sleeper = New();
  Step(0);
  mock_->Post(TaskBlocked{.gtid = sleeper});
  Step(0);
  ListPolicy::place = 2;
  mock_->Post(TaskWakeup{.gtid = sleeper});
  mock_->Post(TaskBlocked{.gtid = sleeper});  // as ghostd tells of one that was killed
  Step(0);
  EXPECT_EQ(mock_->queue_of_task(sleeper), mock_->queue_of_agent(0));
  ListPolicy::place = 1;
  mock_->Post(TaskWakeup{.gtid = sleeper});
  Step(0);
  EXPECT_EQ(mock_->queue_of_task(sleeper), mock_->queue_of_agent(1));
  EXPECT_EQ(runtime_->TotalCounters().illegal_changes, 0u);
}

TEST_F(BalanceTest, TheLighterCpuGetsSomeFromTimeToTime) {
  GivingPolicy::gives = false;  // what follows is no idle CPU's doing
  ListPolicy::place = 1;
  New();
  Step(0);
  EXPECT_EQ(Step(1), StepResult::kCommitted);
  ListPolicy::place = 2;
  New();
  Step(0);
  EXPECT_EQ(Step(2), StepResult::kCommitted);
  ListPolicy::place = 0;
  Crowd(9);
  EXPECT_EQ(Runnable(0), 9u);
  const int64_t later = 10 * kBalanceIntervalNs;
  Step(0, later);
  EXPECT_EQ(Runnable(0), 6u);  // 8 are in line here, 1 there as far as is known: 5 and 4
  Step(0, later + 1);
  EXPECT_EQ(Runnable(0), 6u);  // once an interval
}

}  // namespace
}  // namespace ghost
