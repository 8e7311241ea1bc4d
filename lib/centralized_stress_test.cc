// The agent threads of a centralized runtime under stress, while the global agent moves from CPU to CPU.
#include "gtest/gtest.h"
#include "lib/base/poll_until.h"
#include "lib/centralized_runtime.h"
#include "lib/testing/central_policy.h"
#include "lib/testing/runtime_stress.h"

namespace ghost {
namespace {

class CentralizedStressTest : public RuntimeStress<CentralizedRuntime<CentralPolicy>> {
 protected:
  CentralizedStressTest() {
    CentralPolicy::log = nullptr;
    CentralPolicy::replace.Clear();
    CentralPolicy::hold = false;
    CentralPolicy::look_again = Time::Infinite();
    mock_->remote_commits = true;
    // One is the global agent's, another one may seem taken until a timer has passed, which this kernel has not.
    least_cpus_ = kCpus - 1;
  }
  void StartWith(int queue_elements) {
    // It sleeps now and then, and shares this machine's CPUs with whoever else is there.
    Start({.queue_elements = queue_elements, .idle_poll = absl::Microseconds(20)});
    for (int cpu = 0; cpu < kCpus; ++cpu) mock_->SetAvailable(cpu, true);
  }
  // Another class wants the global agent's CPU; it goes elsewhere.
  void Disturb() override {
    const uint64_t before = runtime_->TotalCounters().handoffs;
    const int cpu = runtime_->global_cpu();
    mock_->SetBoost(cpu, true);
    mock_->Post(CpuTick{.cpu = cpu});  // whatever wakes it
    EXPECT_TRUE(PollUntil(kPatience, [&] { return runtime_->TotalCounters().handoffs > before; }))
        << runtime_->DumpState(absl::Seconds(1));
    mock_->SetBoost(cpu, false);
  }
};

TEST_P(CentralizedStressTest, NobodyIsLost) {
  StartWith(kManyElements);
  Play(/*at_once=*/30, /*births=*/200);
  const RuntimeCounters total = runtime_->TotalCounters();
  EXPECT_EQ(total.illegal_changes, 0u);
  EXPECT_EQ(total.unknown_tasks, 0u);
  EXPECT_EQ(total.lost_messages, 0u);
  EXPECT_EQ(total.runnable, 0u);
  EXPECT_GT(total.handoffs, 0u);
}

// A queue of 64 slots holds a dozen messages: bursts overflow it.
TEST_P(CentralizedStressTest, NobodyIsLostThoughMessagesAre) {
  StartWith(64);
  // Where agents happen to keep up, once more.
  for (int round = 0; round < 20 && runtime_->TotalCounters().lost_messages == 0; ++round) {
    Play(/*at_once=*/60, /*births=*/200);
  }
  EXPECT_GT(runtime_->TotalCounters().lost_messages, 0u);
}

TEST_P(CentralizedStressTest, EndsInTheMiddle) {
  StartWith(kManyElements);
  StopAmidYields();
}

INSTANTIATE_TEST_SUITE_P(Seeds, CentralizedStressTest, testing::Range(1, 5));

}  // namespace
}  // namespace ghost
