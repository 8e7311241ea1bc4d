// Agent threads of a centralized runtime against a test that plays a kernel's tasks: they run, block, wake, yield, are
// preempted, change their affinity, come and die, at random, while the global agent moves from CPU to CPU; and no one
// is lost. Fit for TSan.
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/poll_until.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/testing/blocking_kernel.h"
#include "lib/testing/central_policy.h"

namespace ghost {
namespace {

constexpr int kCpus = 4;
constexpr absl::Duration kPatience = absl::Seconds(60);

class CentralizedStressTest : public testing::TestWithParam<int> {
 protected:
  CentralizedStressTest() : kernel_(kCpus), random_(GetParam()) {
    CentralPolicy::log = nullptr;
    CentralPolicy::replace.Clear();
    CentralPolicy::hold = false;
    CentralPolicy::look_again = Time::Infinite();
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    mock_ = kernel_.blocking_enclave();
    mock_->remote_commits = true;
  }
  ~CentralizedStressTest() override { runtime_->Stop(); }

  void Start(int queue_elements) {
    // It sleeps now and then, and shares this machine's CPUs with whoever else is there.
    runtime_ = std::make_unique<CentralizedRuntime<CentralPolicy>>(
        enclave_.get(), RuntimeOptions{.queue_elements = queue_elements, .idle_poll = absl::Microseconds(20)});
    ASSERT_TRUE(runtime_->Start().ok());
    for (int cpu = 0; cpu < kCpus; ++cpu) mock_->SetAvailable(cpu, true);
  }
  void Born() {
    ++next_tid_;
    const int64_t gtid = MockGtid(1000 + next_tid_ % 50, next_tid_);  // thread ids repeat
    mock_->AddTask(gtid);
    affinity_[gtid] = CpuSet::FirstN(kCpus);
    mock_->PostNew(gtid, /*runnable=*/true);
  }
  // At least two CPUs: one is the global agent's.
  void ChangeAffinity(int64_t gtid) {
    CpuSet cpus = CpuSet::FirstN(kCpus);
    cpus.Remove(static_cast<int>(random_() % kCpus));
    affinity_[gtid] = cpus;
    mock_->SetAffinity(gtid, cpus);
    mock_->Post(TaskAffinityChanged{.gtid = gtid});
  }
  // What a task that was given a CPU does next. False: it died.
  bool Act(int64_t gtid, int cpu) {
    switch (random_() % 8) {
      case 0:
      case 1:
        mock_->Post(TaskBlocked{.gtid = gtid, .cpu = cpu});
        mock_->Post(TaskWakeup{.gtid = gtid, .deferrable = random_() % 2 == 0});
        return true;
      case 2:
      case 3:
        mock_->Post(TaskBlocked{.gtid = gtid, .cpu = cpu});
        sleepers_.push_back(gtid);
        return true;
      case 4:
        mock_->Post(TaskYield{.gtid = gtid, .cpu = cpu});
        return true;
      case 5:
        mock_->Post(TaskPreempt{.gtid = gtid, .cpu = cpu});
        return true;
      case 6:
        ChangeAffinity(gtid);
        mock_->Post(TaskPreempt{.gtid = gtid, .cpu = cpu});
        return true;
      default:
        if (random_() % 4 != 0) {
          mock_->Post(TaskYield{.gtid = gtid, .cpu = cpu});
          return true;
        }
        affinity_.erase(gtid);
        mock_->Post(TaskBlocked{.gtid = gtid, .cpu = cpu});
        mock_->PostDead(gtid);
        return false;
    }
  }
  void WakeSomebody() {
    if (sleepers_.empty()) return;
    const size_t index = random_() % sleepers_.size();
    const int64_t gtid = sleepers_[index];
    sleepers_.erase(sleepers_.begin() + static_cast<ptrdiff_t>(index));
    mock_->Post(TaskWakeup{.gtid = gtid});
  }
  // Another class wants the global agent's CPU; it goes elsewhere.
  void WantGlobalCpu() {
    const uint64_t before = runtime_->TotalCounters().handoffs;
    const int cpu = runtime_->global_cpu();
    mock_->SetBoost(cpu, true);
    mock_->Post(CpuTick{.cpu = cpu});  // whatever wakes it
    EXPECT_TRUE(PollUntil(kPatience, [&] { return runtime_->TotalCounters().handoffs > before; }))
        << runtime_->DumpState(absl::Seconds(1));
    mock_->SetBoost(cpu, false);
  }
  // Plays until `births` tasks were born and all are dead.
  void Play(int at_once, int births) {
    int alive = 0;
    while (births > 0 || alive > 0) {
      while (births > 0 && alive < at_once) {
        Born();
        --births;
        ++alive;
      }
      if (random_() % 2 == 0) WakeSomebody();
      if (random_() % 64 == 0) WantGlobalCpu();
      if (static_cast<int>(sleepers_.size()) == alive) {
        WakeSomebody();
        continue;
      }
      const auto started = mock_->NextStarted(kPatience);
      ASSERT_TRUE(started.has_value()) << alive << " alive, " << sleepers_.size() << " asleep\n"
                                       << runtime_->DumpState(absl::Seconds(1));
      ASSERT_EQ(affinity_.count(started->gtid), 1u) << "ran after its death";
      EXPECT_TRUE(affinity_[started->gtid].Contains(started->cpu));
      if (!Act(started->gtid, started->cpu)) --alive;
    }
  }
  bool AllGone() {
    return PollUntil(kPatience, [this] { return runtime_->CountTasks() == 0; });
  }

  BlockingKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  BlockingEnclave* mock_;
  std::unique_ptr<CentralizedRuntime<CentralPolicy>> runtime_;
  std::mt19937 random_;
  int next_tid_ = 0;
  std::map<int64_t, CpuSet> affinity_;  // of the living
  std::vector<int64_t> sleepers_;
};

TEST_P(CentralizedStressTest, NobodyIsLost) {
  Start(16384);
  Play(/*at_once=*/30, /*births=*/200);
  EXPECT_TRUE(AllGone()) << runtime_->DumpState(absl::Seconds(1));
  const RuntimeCounters total = runtime_->TotalCounters();
  EXPECT_EQ(total.illegal_changes, 0u);
  EXPECT_EQ(total.unknown_tasks, 0u);
  EXPECT_EQ(total.lost_messages, 0u);
  EXPECT_EQ(total.runnable, 0u);
  EXPECT_GT(total.handoffs, 0u);
}

// A queue of 64 slots holds a dozen messages: bursts overflow it.
TEST_P(CentralizedStressTest, NobodyIsLostThoughMessagesAre) {
  Start(64);
  Play(/*at_once=*/60, /*births=*/200);
  EXPECT_TRUE(AllGone()) << runtime_->DumpState(absl::Seconds(1));
  EXPECT_GT(runtime_->TotalCounters().lost_messages, 0u);
}

TEST_P(CentralizedStressTest, EndsInTheMiddle) {
  Start(16384);
  for (int i = 0; i < 40; ++i) Born();
  for (int i = 0; i < 200; ++i) {
    const auto started = mock_->NextStarted(kPatience);
    ASSERT_TRUE(started.has_value());
    mock_->Post(TaskYield{.gtid = started->gtid, .cpu = started->cpu});
    if (i % 50 == 0) {
      EXPECT_EQ(runtime_->DumpState(kPatience).find("does not answer"), std::string::npos);
      WantGlobalCpu();
    }
  }
  runtime_->Stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, CentralizedStressTest, testing::Range(1, 5));

}  // namespace
}  // namespace ghost
