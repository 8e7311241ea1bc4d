// The agent threads of a per-CPU runtime under stress.
#include "gtest/gtest.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/list_policy.h"
#include "lib/testing/runtime_stress.h"

namespace ghost {
namespace {

// CPUs share work, and whoever wakes is placed anew: as many moves between CPUs as there can be.
class SharingPolicy : public ListPolicy {
 public:
  using ListPolicy::ListPolicy;
  static constexpr bool kPlacesWakeups = true;
  Task* PickToGive(int cpu, int to_cpu, int64_t) {
    for (Task& task : queue(cpu)) {
      if (task.allowed().Contains(to_cpu)) return &task;
    }
    return nullptr;
  }
};

class StressTest : public RuntimeStress<PerCpuRuntime<SharingPolicy>> {
 protected:
  StressTest() {
    ListPolicy::place = -1;
    ListPolicy::slice_end = Time::Infinite();
  }
};

TEST_P(StressTest, NobodyIsLost) {
  Start({.queue_elements = kManyElements});
  Play(/*at_once=*/30, /*births=*/300);
  const RuntimeCounters total = runtime_->TotalCounters();
  EXPECT_EQ(total.illegal_changes, 0u);
  EXPECT_EQ(total.unknown_tasks, 0u);
  EXPECT_EQ(total.lost_messages, 0u);
  EXPECT_GT(total.moved, 0u);
}

// Queues of 64 slots hold a dozen messages: most bursts overflow them.
TEST_P(StressTest, NobodyIsLostThoughMessagesAre) {
  Start({.queue_elements = 64});
  // Where agents happen to keep up, once more.
  for (int round = 0; round < 20 && runtime_->TotalCounters().lost_messages == 0; ++round) {
    Play(/*at_once=*/60, /*births=*/200);
  }
  EXPECT_GT(runtime_->TotalCounters().lost_messages, 0u);
}

TEST_P(StressTest, EndsInTheMiddle) {
  Start({.queue_elements = kManyElements});
  StopAmidYields();
}

INSTANTIATE_TEST_SUITE_P(Seeds, StressTest, testing::Range(1, 5));

}  // namespace
}  // namespace ghost
