// Agent threads of a per-CPU runtime against a test that plays a kernel's tasks: they run, block, wake, yield, are
// preempted, change their affinity, come and die, at random, and no one is lost. Fit for TSan.
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/poll_until.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/blocking_kernel.h"
#include "lib/testing/list_policy.h"

namespace ghost {
namespace {

constexpr int kCpus = 4;
constexpr absl::Duration kPatience = absl::Seconds(60);

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

class StressTest : public testing::TestWithParam<int> {
 protected:
  StressTest() : kernel_(kCpus), random_(GetParam()) {
    ListPolicy::place = -1;
    ListPolicy::slice_end = Time::Infinite();
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    mock_ = kernel_.blocking_enclave();
  }
  ~StressTest() override { runtime_->Stop(); }

  void Start(int queue_elements) {
    runtime_ = std::make_unique<PerCpuRuntime<SharingPolicy>>(enclave_.get(),
                                                              RuntimeOptions{.queue_elements = queue_elements});
    ASSERT_TRUE(runtime_->Start().ok());
  }
  void Born() {
    ++next_tid_;
    const int64_t gtid = MockGtid(1000 + next_tid_ % 50, next_tid_);  // thread ids repeat
    mock_->AddTask(gtid);
    affinity_[gtid] = CpuSet::FirstN(kCpus);
    mock_->PostNew(gtid, /*runnable=*/true);
  }
  CpuSet RandomAffinity() {
    CpuSet cpus;
    while (cpus.empty()) {
      for (int cpu = 0; cpu < kCpus; ++cpu) {
        if (random_() % 2 == 0) cpus.Add(cpu);
      }
    }
    return cpus;
  }
  void ChangeAffinity(int64_t gtid) {
    affinity_[gtid] = RandomAffinity();
    mock_->SetAffinity(gtid, affinity_[gtid]);
    mock_->Post(TaskAffinityChanged{.gtid = gtid});
  }
  // What a task that was given a CPU does next. False: it died.
  bool Act(int64_t gtid) {
    switch (random_() % 8) {
      case 0:
      case 1:
        mock_->Post(TaskBlocked{.gtid = gtid});
        mock_->Post(TaskWakeup{.gtid = gtid, .deferrable = random_() % 2 == 0});
        return true;
      case 2:
      case 3:
        mock_->Post(TaskBlocked{.gtid = gtid});
        sleepers_.push_back(gtid);
        return true;
      case 4:
        mock_->Post(TaskYield{.gtid = gtid});
        return true;
      case 5:
        mock_->Post(TaskPreempt{.gtid = gtid});
        return true;
      case 6:
        ChangeAffinity(gtid);
        mock_->Post(TaskPreempt{.gtid = gtid});
        return true;
      default:
        if (random_() % 4 != 0) {
          mock_->Post(TaskYield{.gtid = gtid});
          return true;
        }
        affinity_.erase(gtid);
        mock_->Post(TaskBlocked{.gtid = gtid});
        mock_->PostDead(gtid);
        return false;
    }
  }
  void WakeSomebody() {
    if (sleepers_.empty()) return;
    const size_t index = random_() % sleepers_.size();
    const int64_t gtid = sleepers_[index];
    sleepers_.erase(sleepers_.begin() + static_cast<ptrdiff_t>(index));
    if (random_() % 4 == 0) ChangeAffinity(gtid);
    mock_->Post(TaskWakeup{.gtid = gtid});
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
      const bool all_asleep = static_cast<int>(sleepers_.size()) == alive;
      if (all_asleep) {
        WakeSomebody();
        continue;
      }
      const auto started = mock_->NextStarted(kPatience);
      ASSERT_TRUE(started.has_value()) << alive << " alive, " << sleepers_.size() << " asleep\n"
                                       << runtime_->DumpState(absl::Seconds(1));
      ASSERT_EQ(affinity_.count(started->gtid), 1u) << "ran after its death";
      EXPECT_TRUE(affinity_[started->gtid].Contains(started->cpu));
      if (!Act(started->gtid)) --alive;
    }
  }
  bool AllGone() {
    return PollUntil(kPatience, [this] { return runtime_->CountTasks() == 0; });
  }

  BlockingKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  BlockingEnclave* mock_;
  std::unique_ptr<PerCpuRuntime<SharingPolicy>> runtime_;
  std::mt19937 random_;
  int next_tid_ = 0;
  std::map<int64_t, CpuSet> affinity_;  // of the living
  std::vector<int64_t> sleepers_;
};

TEST_P(StressTest, NobodyIsLost) {
  Start(16384);
  Play(/*at_once=*/30, /*births=*/300);
  EXPECT_TRUE(AllGone()) << runtime_->DumpState(absl::Seconds(1));
  const RuntimeCounters total = runtime_->TotalCounters();
  EXPECT_EQ(total.illegal_changes, 0u);
  EXPECT_EQ(total.unknown_tasks, 0u);
  EXPECT_EQ(total.lost_messages, 0u);
  EXPECT_GT(total.moved, 0u);
}

// Queues of 64 slots hold a dozen messages: most bursts overflow them.
TEST_P(StressTest, NobodyIsLostThoughMessagesAre) {
  Start(64);
  Play(/*at_once=*/60, /*births=*/200);
  EXPECT_TRUE(AllGone()) << runtime_->DumpState(absl::Seconds(1));
  EXPECT_GT(runtime_->TotalCounters().lost_messages, 0u);
}

TEST_P(StressTest, EndsInTheMiddle) {
  Start(16384);
  for (int i = 0; i < 40; ++i) Born();
  for (int i = 0; i < 200; ++i) {
    const auto started = mock_->NextStarted(kPatience);
    ASSERT_TRUE(started.has_value());
    mock_->Post(TaskYield{.gtid = started->gtid});
    if (i % 50 == 0) {
      EXPECT_EQ(runtime_->DumpState(kPatience).find("does not answer"), std::string::npos);
    }
  }
  runtime_->Stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, StressTest, testing::Range(1, 5));

}  // namespace
}  // namespace ghost
