// A schedule pass of the FIFO agent allocates nothing, and asks the kernel for nothing but one commit or one yield.
#include <memory>

#include "gtest/gtest.h"
#include "lib/base/testing/allocation_counter.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/mock_kernel.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost {
namespace {

constexpr int kTasks = 100;
constexpr int kTid = 1000;

class FifoPassTest : public testing::Test {
 protected:
  FifoPassTest() : kernel_(2) {
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(2));
    runtime_ = std::make_unique<PerCpuRuntime<FifoPolicy>>(enclave_.get());
    mock_ = kernel_.enclave();
  }
  void SetUp() override {
    ASSERT_TRUE(runtime_->StartStepped().ok());
    for (int i = 0; i < kTasks; ++i) mock_->PostNew(MockGtid(kTid + i));
    // Everybody has got a place then.
    runtime_->Step(0, Time());
    runtime_->Step(1, Time());
  }
  // One step of a CPU, whose allocations and calls are counted.
  StepResult CountedStep(int cpu) {
    mock_->ResetCalls();
    AllocationCounter allocations;
    const StepResult result = runtime_->Step(cpu, Time());
    EXPECT_EQ(allocations.count(), 0);
    const MockEnclave::Calls& calls = mock_->calls();
    EXPECT_EQ(calls.Total(), 1);
    EXPECT_EQ(result == StepResult::kCommitted ? calls.commits : calls.yields, 1);
    return result;
  }
  int64_t Running(int cpu) { return mock_->txn(cpu).gtid; }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  std::unique_ptr<PerCpuRuntime<FifoPolicy>> runtime_;
  MockEnclave* mock_;
};

TEST_F(FifoPassTest, TheCountersCanFail) {
  AllocationCounter allocations;
  mock_->PostNew(MockGtid(kTid + kTasks));  // posts, which allocates in the mock
  runtime_->Step(0, Time());                // upkeep, which asks for the affinity
  EXPECT_GT(allocations.count(), 0);
  EXPECT_GT(mock_->calls().others + mock_->calls().associates, 0);
}

TEST_F(FifoPassTest, BlockingWakingYieldingPreempting) {
  for (int round = 0; round < 1000; ++round) {
    for (int cpu : {0, 1}) {
      const int64_t gtid = Running(cpu);
      ASSERT_GT(gtid, 0);
      switch (round % 4) {
        case 0:
          mock_->Post(TaskYield{.gtid = gtid});
          break;
        case 1:
          mock_->Post(TaskPreempt{.gtid = gtid});
          break;
        case 2:
          mock_->Post(TaskBlocked{.gtid = gtid});
          mock_->Post(TaskWakeup{.gtid = gtid, .deferrable = true});
          break;
        case 3:
          mock_->Post(TaskPriorityChanged{.gtid = gtid, .nice = 3});
          mock_->Post(TaskBlocked{.gtid = gtid});
          mock_->Post(TaskWakeup{.gtid = gtid});
          break;
      }
      EXPECT_EQ(CountedStep(cpu), StepResult::kCommitted);
    }
  }
  EXPECT_EQ(runtime_->TotalCounters().illegal_changes, 0u);
}

TEST_F(FifoPassTest, NothingToDoAndBoosted) {
  EXPECT_EQ(CountedStep(0), StepResult::kYielded);
  mock_->Post(TaskYield{.gtid = Running(1)});
  mock_->SetBoost(1, true);
  EXPECT_EQ(CountedStep(1), StepResult::kYielded);
}

TEST_F(FifoPassTest, CommitsThatFail) {
  for (int32_t state : {GHOST_TXN_AGENT_STALE, GHOST_TXN_TARGET_STALE, GHOST_TXN_TARGET_ONCPU}) {
    mock_->Post(TaskYield{.gtid = Running(0)});
    mock_->on_commit = [state](int, const ghost_txn&) { return state; };
    mock_->ResetCalls();
    AllocationCounter allocations;
    EXPECT_EQ(runtime_->Step(0, Time()), StepResult::kYielded);
    EXPECT_EQ(allocations.count(), 0);
    EXPECT_EQ(mock_->calls().Total(), 1);
    mock_->on_commit = nullptr;
    EXPECT_EQ(CountedStep(0), StepResult::kCommitted);
  }
}

TEST_F(FifoPassTest, NewTasksAreSpreadEvenly) {
  EXPECT_EQ(runtime_->Counters(0).tasks, uint64_t{kTasks / 2});
  EXPECT_EQ(runtime_->Counters(1).tasks, uint64_t{kTasks / 2});
}

}  // namespace
}  // namespace ghost
