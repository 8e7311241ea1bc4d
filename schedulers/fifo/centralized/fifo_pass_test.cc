// A schedule pass of the centralized FIFO agent allocates nothing, and asks the kernel for nothing but one commit for
// all CPUs; with nothing to do, for nothing at all.
#include <memory>

#include "gtest/gtest.h"
#include "lib/base/testing/allocation_counter.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/testing/mock_kernel.h"
#include "schedulers/fifo/centralized/fifo_policy.h"

namespace ghost {
namespace {

constexpr int kCpus = 8;
constexpr int kTasks = 100;
constexpr int kTid = 1000;
constexpr int64_t kSliceNs = 50'000;

class CentralizedFifoPassTest : public testing::Test {
 protected:
  CentralizedFifoPassTest() : kernel_(kCpus) {
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    runtime_ = std::make_unique<CentralizedRuntime<CentralizedFifoPolicy>>(
        enclave_.get(), RuntimeOptions{}, CentralizedFifoPolicy::Options{.slice_ns = kSliceNs});
    mock_ = kernel_.enclave();
    mock_->remote_commits = true;
  }
  void SetUp() override {
    ASSERT_TRUE(runtime_->StartStepped().ok());
    for (int cpu = 0; cpu < kCpus; ++cpu) mock_->SetAvailable(cpu, true);
    for (int i = 0; i < kTasks; ++i) mock_->PostNew(MockGtid(kTid + i));
    runtime_->Step(0, Now());
  }
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
  int64_t Running(int cpu) { return mock_->txn(cpu).gtid; }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  std::unique_ptr<CentralizedRuntime<CentralizedFifoPolicy>> runtime_;
  MockEnclave* mock_;
  int64_t now_ns_ = 1;
};

TEST_F(CentralizedFifoPassTest, TheCountersCanFail) {
  AllocationCounter allocations;
  mock_->PostNew(MockGtid(kTid + kTasks));  // allocates in the mock
  mock_->ResetCalls();
  mock_->Post(TaskBlocked{.gtid = Running(1), .cpu = 1});
  runtime_->Step(0, Now());
  EXPECT_GT(allocations.count(), 0);
  EXPECT_EQ(mock_->calls().Total(), 1);
}

TEST_F(CentralizedFifoPassTest, NothingToDo) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(CountedStep(), StepResult::kPolled);
}

TEST_F(CentralizedFifoPassTest, BlockingWakingYieldingPreempting) {
  for (int round = 0; round < 1000; ++round) {
    now_ns_ += 1000;
    for (int cpu = 1; cpu < kCpus; ++cpu) {
      const int64_t gtid = Running(cpu);
      ASSERT_GT(gtid, 0);
      switch ((round + cpu) % 4) {
        case 0:
          mock_->Post(TaskYield{.gtid = gtid, .cpu = cpu});
          break;
        case 1:
          mock_->Post(TaskPreempt{.gtid = gtid, .cpu = cpu});
          break;
        case 2:
          mock_->Post(TaskBlocked{.gtid = gtid, .cpu = cpu});
          mock_->Post(TaskWakeup{.gtid = gtid, .deferrable = true});
          break;
        case 3:
          mock_->Post(TaskPriorityChanged{.gtid = gtid, .nice = 3});
          mock_->Post(TaskBlocked{.gtid = gtid, .cpu = cpu});
          mock_->Post(TaskWakeup{.gtid = gtid});
          break;
      }
    }
    EXPECT_EQ(CountedStep(), StepResult::kCommitted);
  }
  EXPECT_EQ(runtime_->TotalCounters().illegal_changes, 0u);
}

TEST_F(CentralizedFifoPassTest, SlicesThatEnd) {
  for (int round = 0; round < 100; ++round) {
    now_ns_ += kSliceNs;
    int64_t before[kCpus];
    for (int cpu = 1; cpu < kCpus; ++cpu) before[cpu] = Running(cpu);
    EXPECT_EQ(CountedStep(), StepResult::kCommitted);
    for (int cpu = 1; cpu < kCpus; ++cpu) mock_->Post(TaskPreempt{.gtid = before[cpu], .cpu = cpu});
    EXPECT_EQ(CountedStep(), StepResult::kPolled);
  }
}

TEST_F(CentralizedFifoPassTest, CommitsThatFailAndTasksThatAreDeferred) {
  ASSERT_TRUE(runtime_->Tunables()[0]->Set("inf").ok());
  for (int32_t state : {GHOST_TXN_TARGET_STALE, GHOST_TXN_TARGET_ONCPU, GHOST_TXN_CPU_UNAVAIL}) {
    for (int cpu = 1; cpu < kCpus; ++cpu) mock_->Post(TaskYield{.gtid = Running(cpu), .cpu = cpu});
    mock_->on_commit = [state](int, const ghost_txn&) { return state; };
    EXPECT_EQ(CountedStep(), StepResult::kCommitted);
    mock_->on_commit = nullptr;
    now_ns_ += 1'000'000'000;
    for (int i = 0; i < kCpus; ++i) {
      CountedStep();
      now_ns_ += 1'000'000;
    }
  }
  for (int cpu = 1; cpu < kCpus; ++cpu) {
    mock_->Post(TaskYield{.gtid = Running(cpu), .cpu = cpu});
  }
  for (int i = 0; i < kTasks; ++i) mock_->SetFlag(MockGtid(kTid + i), GHOST_SW_TASK_ONCPU, true);
  EXPECT_EQ(CountedStep(), StepResult::kPolled);
  EXPECT_GE(runtime_->TotalCounters().deferred, 50u);
}

}  // namespace
}  // namespace ghost
