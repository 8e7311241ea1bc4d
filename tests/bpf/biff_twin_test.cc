// biff's BPF programs against their twin in C++ (twin_fixture.h).
#include "kernel/usermode/sim/biff_twin.h"

#include <memory>

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

}  // namespace
}  // namespace ghost
