// CentralizedTest: a CentralizedRuntime of CentralPolicy on four mock CPUs, stepped by the test. CPU 0 is the global
// agent's at first.
//
// Threads: one.
#ifndef GHOST_LIB_TESTING_CENTRALIZED_TEST_H_
#define GHOST_LIB_TESTING_CENTRALIZED_TEST_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/testing/central_policy.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {

inline constexpr int64_t kA = MockGtid(100);
inline constexpr int64_t kB = MockGtid(200);
inline constexpr int64_t kC = MockGtid(300);
inline constexpr int64_t kD = MockGtid(400);

template <typename Policy>
class CentralizedTestOf : public testing::Test {
 protected:
  static constexpr int kCpus = 4;

  explicit CentralizedTestOf(uint32_t abi = kNewestAbi) : kernel_(kCpus, abi) {
    CentralPolicy::replace.Clear();
    CentralPolicy::hold = false;
    CentralPolicy::look_again = Time::Infinite();
    CentralPolicy::log = &log_;
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(kCpus));
    mock_ = kernel_.enclave();
    mock_->remote_commits = true;
  }
  ~CentralizedTestOf() override { CentralPolicy::log = nullptr; }

  void Start(RuntimeOptions options = {}) {
    runtime_ = std::make_unique<CentralizedRuntime<Policy>>(enclave_.get(), std::move(options));
    ASSERT_TRUE(runtime_->StartStepped().ok());
    for (int cpu = 0; cpu < kCpus; ++cpu) mock_->SetAvailable(cpu, true);
    mock_->ResetCalls();
  }
  // A step of the global agent, and of a satellite.
  StepResult Step(int64_t now = 1) { return runtime_->Step(runtime_->global_cpu(), Time::FromNanoseconds(now)); }
  StepResult StepSatellite(int cpu, int64_t now = 1) { return runtime_->Step(cpu, Time::FromNanoseconds(now)); }
  // The task that was given the CPU by the last commit there.
  int64_t Committed(int cpu) {
    return mock_->txn(cpu).state == GHOST_TXN_COMPLETE ? mock_->txn(cpu).gtid : int64_t{-99};
  }
  RuntimeCounters Counters() { return runtime_->TotalCounters(); }
  // What the policy was told since the last call.
  std::vector<std::string> TakeLog() { return std::exchange(log_, {}); }

  // A new task, which gets the lowest CPU that is idle.
  void RunOn(int cpu, int64_t gtid) {
    mock_->PostNew(gtid);
    EXPECT_EQ(Step(), StepResult::kCommitted);
    EXPECT_EQ(Committed(cpu), gtid);
  }
  // As a kernel after a task was replaced, or another class or the agent took its CPU.
  void PostPreempt(int cpu, int64_t gtid) { mock_->Post(TaskPreempt{.gtid = gtid, .cpu = cpu}); }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_;
  std::unique_ptr<CentralizedRuntime<Policy>> runtime_;
  std::vector<std::string> log_;
};

using CentralizedTest = CentralizedTestOf<CentralPolicy>;

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_CENTRALIZED_TEST_H_
