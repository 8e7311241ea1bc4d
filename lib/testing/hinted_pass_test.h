// HintedPassTest: a centralized policy that reads hints, in its runtime on mock CPUs; passes are stepped, and their
// allocations and calls of the kernel counted. The cases are the same for all of them:
//
//     INSTANTIATE_TYPED_TEST_SUITE_P(Shinjuku, HintedPassTest, ShinjukuPolicy);
//
// Threads: one.
#ifndef GHOST_LIB_TESTING_HINTED_PASS_TEST_H_
#define GHOST_LIB_TESTING_HINTED_PASS_TEST_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/testing/allocation_counter.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/testing/mock_kernel.h"
#include "lib/work_hints.h"

namespace ghost {

// A test says what is written; the next Poll tells it.
class TestHints : public HintSource {
 public:
  TestHints() { written_.reserve(1000); }
  void Write(int64_t gtid, const WorkHint& hint) { written_.push_back({gtid, hint}); }
  int told_of_work() const { return told_of_work_; }

  void OnTaskNew(int64_t) override {}
  void OnTaskGone(int64_t) override {}
  bool Poll(Visitor* visitor) override {
    for (const auto& [gtid, hint] : written_) visitor->OnHint(gtid, hint);
    written_.clear();
    return true;
  }
  void Upkeep() override {}
  void SetHasWork(int64_t) override { ++told_of_work_; }

 private:
  std::vector<std::pair<int64_t, WorkHint>> written_;
  int told_of_work_ = 0;
};

template <typename Policy>
class HintedPassTest : public testing::Test {
 protected:
  static constexpr int kCpus = 8;
  static constexpr int kTasks = 100;
  static constexpr int kTid = 1000;

  HintedPassTest() : kernel_(kCpus), hints_(std::make_shared<TestHints>()) {
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    runtime_ = std::make_unique<CentralizedRuntime<Policy>>(enclave_.get(), RuntimeOptions{.hints = hints_},
                                                            PolicyOptions<Policy>{});
    mock_ = kernel_.enclave();
    mock_->remote_commits = true;
    mock_->on_commit = [this](int cpu, const ghost_txn& txn) {
      running_[cpu] = txn.gtid;
      return GHOST_TXN_COMPLETE;
    };
  }
  void SetUp() override {
    ASSERT_TRUE(runtime_->StartStepped().ok());
    for (int cpu = 0; cpu < kCpus; ++cpu) mock_->SetAvailable(cpu, true);
    for (int i = 0; i < kTasks; ++i) {
      // Every fourth may run on some CPUs only.
      mock_->PostNew(Gtid(i));
      if (i % 4 == 0) mock_->SetAffinity(Gtid(i), CpuSet({i % kCpus, i / kCpus % kCpus}));
    }
    Settle();
  }
  static int64_t Gtid(int index) { return MockGtid(kTid + index); }
  Time Now() const { return Time::FromNanoseconds(now_ns_); }

  // A step whose allocations and calls are counted.
  StepResult CountedStep() {
    mock_->ResetCalls();
    AllocationCounter allocations;
    const StepResult result = runtime_->Step(0, Now());
    EXPECT_EQ(allocations.count(), 0);
    EXPECT_EQ(mock_->calls().Total(), result == StepResult::kCommitted ? 1 : 0);
    EXPECT_EQ(mock_->calls().commits, result == StepResult::kCommitted ? 1 : 0);
    return result;
  }
  // Steps until nothing more happens; meanwhile the kernel says of tasks that were taken off their CPUs that they are.
  void Settle() {
    for (int steps = 0; steps < 20; ++steps) {
      std::copy(std::begin(running_), std::end(running_), std::begin(before_));
      if (CountedOrFirst() != StepResult::kCommitted) return;
      for (int cpu = 1; cpu < kCpus; ++cpu) {
        if (before_[cpu] > 0 && before_[cpu] != running_[cpu]) {
          mock_->Post(TaskPreempt{.gtid = before_[cpu], .cpu = cpu});
        }
      }
    }
    FAIL() << "it does not come to rest";
  }
  // The first has new tasks to admit.
  StepResult CountedOrFirst() { return std::exchange(first_, false) ? runtime_->Step(0, Now()) : CountedStep(); }

  MockKernel kernel_;
  std::shared_ptr<TestHints> hints_;
  std::unique_ptr<Enclave> enclave_;
  std::unique_ptr<CentralizedRuntime<Policy>> runtime_;
  MockEnclave* mock_;
  int64_t running_[kCpus] = {}, before_[kCpus] = {};  // by CPU: the task that the kernel has there
  bool first_ = true;
  int64_t now_ns_ = 1'000'000;
};

TYPED_TEST_SUITE_P(HintedPassTest);

TYPED_TEST_P(HintedPassTest, NothingToDo) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(this->CountedStep(), StepResult::kPolled);
}

// Tasks do whatever they may, and applications say whatever they like.
TYPED_TEST_P(HintedPassTest, AllocatesNothingAndCallsNothingButTheCommit) {
  std::mt19937 random(1);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<uint32_t>(below)); };
  std::vector<int64_t> asleep;
  asleep.reserve(this->kTasks);
  for (int round = 0; round < 2000; ++round) {
    this->now_ns_ += draw(30'000);
    const int cpu = 1 + draw(this->kCpus - 1);
    if (const int64_t gtid = this->running_[cpu]; gtid > 0) {
      this->running_[cpu] = 0;
      switch (draw(3)) {
        case 0:
          this->mock_->Post(TaskYield{.gtid = gtid, .cpu = cpu});
          break;
        case 1:
          this->mock_->Post(TaskPreempt{.gtid = gtid, .cpu = cpu});
          break;
        case 2:
          this->mock_->Post(TaskBlocked{.gtid = gtid, .cpu = cpu});
          asleep.push_back(gtid);
          break;
      }
    }
    if (asleep.size() > 20) {
      this->mock_->Post(TaskWakeup{.gtid = asleep.back(), .deferrable = draw(2) == 0});
      asleep.pop_back();
    }
    for (int i = draw(4); i > 0; --i) {
      this->hints_->Write(this->Gtid(draw(this->kTasks)), {.has_work = draw(4) != 0,
                                                           .repeating = draw(3) == 0,
                                                           .qos = static_cast<uint32_t>(draw(3)),
                                                           .deadline = this->Now() + absl::Nanoseconds(draw(100'000)),
                                                           .exec_ns = draw(10'000),
                                                           .period_ns = draw(100'000)});
    }
    this->Settle();
    if (this->HasFatalFailure()) return;
  }
  const RuntimeCounters counters = this->runtime_->TotalCounters();
  EXPECT_EQ(counters.illegal_changes, 0u);
  EXPECT_GT(counters.commits, 2000u);
  EXPECT_GT(this->hints_->told_of_work(), 10);
}

REGISTER_TYPED_TEST_SUITE_P(HintedPassTest, NothingToDo, AllocatesNothingAndCallsNothingButTheCommit);

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_HINTED_PASS_TEST_H_
