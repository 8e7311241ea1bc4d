// biff's BPF programs against their twin in C++ (twin_fixture.h).
#include "kernel/usermode/sim/biff_twin.h"

#include <cerrno>
#include <map>
#include <memory>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/twin_fixture.h"
#include "third_party/bpf/biff.h"
#include "third_party/bpf/biff_objects.h"

namespace ghost {
namespace {

class BiffTwinTest : public SchedulerTwinTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(Load("biff", BiffObjects()));
    state_ = programs_->Global<biff>();
    ASSERT_NE(state_, nullptr);
    // Real time goes on between the two: a slice is over at once, or never.
    const bool endless = GetParam() % 2 == 0;
    state_->slice_ns = endless ? uint64_t{1} << 60 : 0;
    state_->cpu_mask[0] = (1 << kCpus) - 1;
    state_->initialized = 1;
    twin_ = std::make_unique<sim::BiffTwin>(
        sim::BiffTwin::Options{.cpus = CpuSet::FirstN(kCpus),
                               .slice_ns = endless ? int64_t{1} << 60 : 0,
                               .now_ns = [this] { return driver_->now_ns; },
                               .affinity = [this](int64_t gtid) { return driver_->Affinity(gtid); }});
    twin_->StartScheduling();
    affinity_cpus_ = kCpus + 1;  // some tasks may run nowhere
    Start([this] { return twin_->Program(); });
  }

  // Both hold the same of each task.
  void Compare() {
    size_t tasks = 0, waiting = 0;
    for (const biff_task& task : state_->tasks) tasks += task.gtid != 0;
    for (const ghost_list& list : state_->lists) waiting += list.count;
    EXPECT_EQ(tasks, twin_->tasks());
    EXPECT_EQ(waiting, twin_->waiting());
    EXPECT_EQ(state_->counters.picks, twin_->picks());
  }

  biff* state_ = nullptr;
  std::unique_ptr<sim::BiffTwin> twin_;
};

TEST_P(BiffTwinTest, ProgramAndTwinAreTheSame) {
  for (int step = 0; step < 3000 && !HasFailure(); ++step) {
    Step();
    if (step % 100 == 0) Compare();
  }
  EXPECT_GT(runs(), 3000u);
  EXPECT_GT(twin_->picks(), 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, BiffTwinTest, testing::Range(1, 13));

// Where tasks wait that may not run everywhere; nobody's slice ends.
class BiffHomesTest : public BiffTwinTest {
 protected:
  void SetUp() override {
    BiffTwinTest::SetUp();
    ParkAll();
  }
  void ParkAll() {
    for (auto& agent : agents_) {
      while (agent->Yield() == -ESTALE) {
      }
    }
  }
  int64_t Enter(const CpuSet& affinity) {
    const CpuSet others = std::exchange(driver_->other_affinity, affinity);
    const int64_t gtid = harness_->Enter(1, next_tid_++);
    driver_->affinities[gtid] = std::exchange(driver_->other_affinity, others);
    return gtid;
  }
  void Block(int64_t gtid) {
    driver_->Forget(gtid);
    harness_->core.OnTaskBlocked(gtid);
  }
  void FireTimers() {
    for (auto timers = std::exchange(driver_->timers, {}); const auto& timer : timers) {
      harness_->core.OnTimer(timer.first);
    }
  }
};

TEST_P(BiffHomesTest, ACpuThatWouldIdleTakesATaskThatWaitsForAnother) {
  const int64_t first = Enter(CpuSet({1})), second = Enter(CpuSet({2}));
  const int64_t either = Enter(CpuSet({1, 2})), other = Enter(CpuSet({1, 2}));
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{first, 1}, {second, 2}}));
  Block(second);
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{first, 1}, {either, 2}}));
  Block(either);
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{first, 1}, {other, 2}}));
  EXPECT_EQ(state_->counters.moved, 2u) << "both had CPU 1 as their home";
  Compare();
}

TEST_P(BiffHomesTest, WhoIsFirstNextGoesToAnIdleCpuThatMayRunIt) {
  const int64_t first = Enter(CpuSet({1})), second = Enter(CpuSet({2}));
  const int64_t pinned = Enter(CpuSet({1})), either = Enter(CpuSet({1, 2}));
  Block(second);  // CPU 2 sees only the pinned one, who stands before
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{first, 1}}));
  Block(first);
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{pinned, 1}, {either, 2}}));
  Compare();
}

TEST_P(BiffHomesTest, WhoWakesIsHandedOnByAHomeThatIsTaken) {
  const int64_t either = Enter(CpuSet({1, 2}));
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{either, 1}}));
  Block(either);
  const int64_t pinned = Enter(CpuSet({1}));
  harness_->core.OnTaskReady(either, {});
  EXPECT_EQ(driver_->running, (std::map<int64_t, int>{{either, 2}, {pinned, 1}}));
  Compare();
}

TEST_P(BiffHomesTest, ATaskThatNoCpuMayRunIsParkedUntilItsAffinityChanges) {
  const int64_t gtid = Enter(CpuSet({kCpus}));
  for (int i = 0; i < 5; ++i) FireTimers();
  EXPECT_THAT(driver_->running, testing::IsEmpty());
  EXPECT_EQ(state_->counters.elsewhere, 1u) << "looked at once";
  EXPECT_EQ(state_->lists[BIFF_PARKED_LIST].count, 1u);
  const int64_t next = Enter(CpuSet::FirstN(kCpus));
  EXPECT_EQ(driver_->running.count(next), 1u) << "who comes later does not wait for it";
  driver_->affinities[gtid] = CpuSet({2});
  harness_->core.OnTaskAffinityChanged(gtid);
  EXPECT_EQ(driver_->running[gtid], 2);
  EXPECT_EQ(state_->lists[BIFF_PARKED_LIST].count, 0u);
  Compare();
}

INSTANTIATE_TEST_SUITE_P(Endless, BiffHomesTest, testing::Values(2));

// … and slices that are over at once.
class BiffSliceTest : public BiffHomesTest {};

TEST_P(BiffSliceTest, WhoWakesEndsATurnThatIsOver) {
  driver_->attach[50] = {.state = usermode::AttachResult::State::kBlocked};
  harness_->Write("enclave_1/tasks", "50");
  const int64_t sleeper = harness_->GtidOf(50);
  for (int i = 0; i < kCpus; ++i) Enter(CpuSet::FirstN(kCpus));
  ParkAll();
  EXPECT_EQ(driver_->running.size(), size_t{kCpus});
  EXPECT_THAT(driver_->preempted, testing::IsEmpty());
  harness_->core.OnTaskReady(sleeper, {});
  ASSERT_EQ(driver_->preempted.size(), 1u) << "without a tick";
  driver_->GatePreempted(&harness_->core);
  ParkAll();  // the agent was woken, too
  EXPECT_EQ(driver_->running.count(sleeper), 1u);
  Compare();
}

INSTANTIATE_TEST_SUITE_P(AtOnce, BiffSliceTest, testing::Values(1));

}  // namespace
}  // namespace ghost
