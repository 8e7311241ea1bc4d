// RuntimeTest: a PerCpuRuntime of ListPolicy on two of four mock CPUs, stepped by the test.
//
// Threads: one.
#ifndef GHOST_LIB_TESTING_RUNTIME_TEST_H_
#define GHOST_LIB_TESTING_RUNTIME_TEST_H_

#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/testing/list_policy.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {

inline constexpr int64_t kA = MockGtid(100);
inline constexpr int64_t kB = MockGtid(200);
inline constexpr int64_t kC = MockGtid(300);

class RuntimeTest : public testing::Test {
 protected:
  RuntimeTest() : kernel_(/*num_cpus=*/4) {
    ListPolicy::place = 0;
    ListPolicy::slice_end = Time::Infinite();
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(2));
    mock_ = kernel_.enclave();
  }

  void Start(RuntimeOptions options = {}) {
    runtime_ = std::make_unique<PerCpuRuntime<ListPolicy>>(enclave_.get(), std::move(options));
    ASSERT_TRUE(runtime_->StartStepped().ok());
    mock_->ResetCalls();
  }
  StepResult Step(int cpu = 0, int64_t now = 1) { return runtime_->Step(cpu, Time::FromNanoseconds(now)); }
  // The task that was given the CPU by the last commit.
  int64_t Committed(int cpu = 0) {
    return mock_->txn(cpu).state == GHOST_TXN_COMPLETE ? mock_->txn(cpu).gtid : int64_t{-99};
  }
  RuntimeCounters Counters(int cpu = 0) { return runtime_->Counters(cpu); }
  // A task that is on `cpu`.
  void RunOn(int cpu, int64_t gtid) {
    ListPolicy::place = cpu;
    mock_->PostNew(gtid);
    if (cpu != 0) {
      EXPECT_EQ(Step(0), StepResult::kYielded);
    }
    EXPECT_EQ(Step(cpu), StepResult::kCommitted);
    EXPECT_EQ(Committed(cpu), gtid);
  }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_;
  std::unique_ptr<PerCpuRuntime<ListPolicy>> runtime_;
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_RUNTIME_TEST_H_
