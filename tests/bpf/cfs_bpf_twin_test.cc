// cfs_bpf's BPF programs against their twin in C++ (twin_fixture.h).
#include "kernel/usermode/sim/cfs_bpf_twin.h"

#include <memory>

#include "gtest/gtest.h"
#include "schedulers/cfs/nice_weight.h"
#include "tests/bpf/twin_fixture.h"
#include "third_party/bpf/cfs_bpf.h"
#include "third_party/bpf/cfs_bpf_objects.h"

namespace ghost {
namespace {

class CfsBpfTwinTest : public SchedulerTwinTest {
 protected:
  explicit CfsBpfTwinTest(int cpus = kCpus) : SchedulerTwinTest(cpus) {}
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(Load("cfs_bpf", CfsBpfObjects()));
    state_ = programs_->Global<cfs_bpf>();
    ASSERT_NE(state_, nullptr);
    const sim::CfsBpfTwin::Options options = {.cpus = CpuSet::FirstN(cpus_),
                                              .latency_ns = 20'000'000,
                                              .min_granularity_ns = GetParam() % 2 == 0 ? 100'000 : 3'000'000,
                                              .wakeup_granularity_ns = GetParam() % 3 == 0 ? 0 : 1'000'000,
                                              .now_ns = [this] { return driver_->now_ns; },
                                              .affinity = [this](int64_t gtid) { return driver_->Affinity(gtid); }};
    state_->latency_ns = static_cast<uint64_t>(options.latency_ns);
    state_->min_granularity_ns = static_cast<uint64_t>(options.min_granularity_ns);
    state_->wakeup_granularity_ns = static_cast<uint64_t>(options.wakeup_granularity_ns);
    state_->balance_ns = state_->latency_ns;
    state_->idle_balancing = 1;
    for (size_t i = 0; i < kNiceWeights.size(); ++i) state_->weights[i] = static_cast<uint32_t>(kNiceWeights[i]);
    for (int cpu = 0; cpu < cpus_; ++cpu) state_->cpu_mask[cpu / 64] |= uint64_t{1} << (cpu % 64);
    state_->initialized = 1;
    twin_ = std::make_unique<sim::CfsBpfTwin>(options);
    twin_->StartScheduling();
    before_run_ = [this] { state_->fixed_now_ns = static_cast<uint64_t>(driver_->now_ns); };
    affinity_cpus_ = cpus_ + 1;  // some tasks may run nowhere
    Start([this] { return twin_->Program(); });
  }

  // Both hold the same of each CPU and task.
  void Compare() {
    for (int cpu = 0; cpu < cpus_; ++cpu) {
      EXPECT_EQ(int64_t{state_->cpus[cpu].count}, twin_->waiting(cpu)) << "cpu " << cpu;
      EXPECT_EQ(static_cast<int64_t>(state_->cpus[cpu].min_vruntime), twin_->min_vruntime(cpu)) << "cpu " << cpu;
    }
    EXPECT_EQ(state_->tasks_now, twin_->tasks());
    EXPECT_EQ(state_->counters.picks, twin_->picks());
  }

  cfs_bpf* state_ = nullptr;
  std::unique_ptr<sim::CfsBpfTwin> twin_;
};

TEST_P(CfsBpfTwinTest, ProgramAndTwinAreTheSame) {
  for (int step = 0; step < 5000 && !HasFailure(); ++step) {
    Step();
    if (step % 20 == 0) Compare();
  }
  EXPECT_GT(runs(), 5000u);
  // Everything that it can do has been done.
  const cfs_bpf_counters& counted = state_->counters;
  for (uint64_t count : {counted.picks, counted.slices, counted.challenges, counted.pulled_idle, counted.pulled_busy,
                         counted.placed_idle, counted.elsewhere, counted.nowhere}) {
    EXPECT_GT(count, 0u);
  }
}

// Sets of CPUs of more than one word.
class CfsBpfManyCpusTest : public CfsBpfTwinTest {
 protected:
  CfsBpfManyCpusTest() : CfsBpfTwinTest(70) {}
};

TEST_P(CfsBpfManyCpusTest, ProgramAndTwinAreTheSame) {
  for (int step = 0; step < 5000 && !HasFailure(); ++step) {
    Step();
    if (step % 20 == 0) Compare();
  }
  EXPECT_GT(runs(), 5000u);
  EXPECT_GT(state_->counters.elsewhere, 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CfsBpfManyCpusTest, testing::Range(1, 5));
INSTANTIATE_TEST_SUITE_P(Seeds, CfsBpfTwinTest, testing::Range(1, 13));

}  // namespace
}  // namespace ghost
