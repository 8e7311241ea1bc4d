// A stress test of a runtime with its agents' threads: the test plays a kernel's tasks, which run, block, wake, yield,
// are preempted, change their affinity, come and die, at random; nobody is lost. Fit for TSan.
//
// A fixture derives from it, makes the runtime in Start, and says by Disturb what else happens. Threads: the test's
// one.
#ifndef GHOST_LIB_TESTING_RUNTIME_STRESS_H_
#define GHOST_LIB_TESTING_RUNTIME_STRESS_H_

#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"
#include "lib/base/poll_until.h"
#include "lib/enclave.h"
#include "lib/runtime.h"
#include "lib/testing/blocking_kernel.h"

namespace ghost {

// The parameter is the seed.
template <typename RuntimeUnderTest>
class RuntimeStress : public testing::TestWithParam<int> {
 protected:
  static constexpr int kCpus = 4;
  static constexpr int kManyElements = 16384;
  static constexpr absl::Duration kPatience = absl::Seconds(60);

  RuntimeStress() : kernel_(kCpus), random_(GetParam()) {
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    mock_ = kernel_.blocking_enclave();
  }
  ~RuntimeStress() override { runtime_->Stop(); }

  // Something besides what tasks do; called now and then.
  virtual void Disturb() {}

  void Start(RuntimeOptions options) {
    runtime_ = std::make_unique<RuntimeUnderTest>(enclave_.get(), std::move(options));
    ASSERT_TRUE(runtime_->Start().ok());
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
      if (random_() % 64 == 0) Disturb();
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
    EXPECT_TRUE(PollUntil(kPatience, [this] { return runtime_->CountTasks() == 0; }))
        << runtime_->DumpState(absl::Seconds(1));
  }
  // Everybody yields all the time; it is stopped in the middle of that.
  void StopAmidYields() {
    for (int i = 0; i < 40; ++i) Born();
    for (int i = 0; i < 200; ++i) {
      const auto started = mock_->NextStarted(kPatience);
      ASSERT_TRUE(started.has_value());
      mock_->Post(TaskYield{.gtid = started->gtid, .cpu = started->cpu});
      if (i % 50 != 0) continue;
      EXPECT_EQ(runtime_->DumpState(kPatience).find("does not answer"), std::string::npos);
      Disturb();
    }
    runtime_->Stop();
  }

  BlockingKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  BlockingEnclave* mock_;
  std::unique_ptr<RuntimeUnderTest> runtime_;
  int least_cpus_ = 1;  // that a task may run on

 private:
  void Born() {
    ++next_tid_;
    const int64_t gtid = MockGtid(1000 + next_tid_ % 50, next_tid_);  // thread ids repeat
    mock_->AddTask(gtid);
    affinity_[gtid] = CpuSet::FirstN(kCpus);
    mock_->PostNew(gtid, /*runnable=*/true);
  }
  void ChangeAffinity(int64_t gtid) {
    CpuSet cpus;
    while (cpus.size() < least_cpus_) cpus.Add(static_cast<int>(random_() % kCpus));
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
    if (random_() % 4 == 0) ChangeAffinity(gtid);
    mock_->Post(TaskWakeup{.gtid = gtid});
  }

  std::mt19937 random_;
  int next_tid_ = 0;
  std::map<int64_t, CpuSet> affinity_;  // of the living
  std::vector<int64_t> sleepers_;
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_RUNTIME_STRESS_H_
