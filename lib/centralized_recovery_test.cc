// A centralized runtime after lost messages, unreadable ones, and another agent's end.
#include <memory>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/ghost_uapi.h"
#include "lib/centralized_runtime.h"
#include "lib/testing/centralized_test.h"

namespace ghost {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CentralizedRecoveryTest : public CentralizedTest {
 protected:
  MockQueue& queue() { return mock_->queue(mock_->default_queue()); }
  // Messages from now on find no room.
  void FillQueue() {
    while (mock_->Post(CpuTick{.cpu = 0})) {
    }
  }
};

TEST_F(CentralizedRecoveryTest, LostMessagesAreMadeUpForByTheStatusWords) {
  Start({.queue_elements = 64});
  RunOn(1, kA);
  RunOn(2, kB);
  mock_->PostNew(kC, /*runnable=*/false);
  Step();
  CentralPolicy::hold = true;
  TakeLog();
  FillQueue();
  EXPECT_FALSE(mock_->Post(TaskBlocked{.gtid = kB, .cpu = 2}));
  EXPECT_FALSE(mock_->Post(TaskWakeup{.gtid = kC}));
  EXPECT_FALSE(mock_->PostNew(kD));
  Step();
  EXPECT_GT(Counters().lost_messages, 2u);
  EXPECT_EQ(runtime_->CountTasks(), 4);
  EXPECT_EQ(Counters().runnable, 3u);
  CentralPolicy::hold = false;
  Step();
  // A stays where it is, B sleeps, C and D get a CPU.
  EXPECT_EQ(mock_->txn(1).gtid, kA);
  EXPECT_EQ(Committed(2), kC);
  EXPECT_EQ(Committed(3), kD);
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(CentralizedRecoveryTest, TaskThatWasGivenACpuAndIsNotThereYetKeepsIt) {
  Start({.queue_elements = 64});
  RunOn(1, kA);
  RunOn(2, kB);
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, false);  // latched
  TakeLog();
  for (int i = 0; i < 40; ++i) mock_->Post(TaskPriorityChanged{.gtid = kB, .nice = i});
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_GT(Counters().lost_messages, 0u);
  // All that is asked about it is where it may run.
  for (const std::string& line : TakeLog()) {
    EXPECT_TRUE(line.rfind("cpus ", 0) == 0 || line.find(" 100") == std::string::npos) << line;
  }
}

TEST_F(CentralizedRecoveryTest, PreemptionThatWasLostIsSeenThoughALaterMessageWasNot) {
  Start({.queue_elements = 64});
  RunOn(1, kA);
  RunOn(2, kB);
  CentralPolicy::hold = true;
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, false);
  mock_->BumpBarrier(kA);  // its PREEMPT found no room
  mock_->Post(TaskPriorityChanged{.gtid = kA, .nice = 1});
  for (int i = 0; i < 40; ++i) mock_->Post(TaskPriorityChanged{.gtid = kB, .nice = i});
  TakeLog();
  Step();
  EXPECT_GT(Counters().lost_messages, 0u);
  EXPECT_THAT(TakeLog(), Contains("preempted 100"));
  CentralPolicy::hold = false;
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
}

TEST_F(CentralizedRecoveryTest, TaskOfAnOlderAgentWhosePreemptionWasLostIsSeenToBeOff) {
  Start();
  RunOn(1, kA);
  enclave_->WithdrawOnline();
  runtime_.reset();
  for (int cpu = 0; cpu < kCpus; ++cpu) mock_->RemoveAgent(cpu);
  Start({.queue_elements = 64});
  mock_->PostNew(kB, /*runnable=*/false);
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, false);
  for (int i = 0; i < 40; ++i) mock_->Post(TaskPriorityChanged{.gtid = kB, .nice = i});
  mock_->BumpBarrier(kA);
  Step();
  EXPECT_EQ(Committed(1), kA);
}

TEST_F(CentralizedRecoveryTest, DeathAndAvailabilityThatWereLost) {
  Start({.queue_elements = 64});
  RunOn(1, kA);
  RunOn(2, kB);
  FillQueue();
  mock_->PostDead(kA);
  mock_->SetAvailable(3, false);
  EXPECT_FALSE(mock_->Post(CpuBusy{.cpu = 3}));
  Step();
  EXPECT_EQ(runtime_->CountTasks(), 1);
  RunOn(1, kC);
  mock_->PostNew(kD);
  EXPECT_EQ(Step(), StepResult::kPolled);  // CPU 3 is not to be had
  EXPECT_EQ(Counters().commits_failed, 0u);
}

TEST_F(CentralizedRecoveryTest, GarbageInTheQueue) {
  Start();
  RunOn(1, kA);
  const std::byte garbage[16] = {std::byte{65}, std::byte{0}, std::byte{16}, std::byte{0}};  // BLOCKED, too short
  ASSERT_TRUE(queue().Produce(garbage));
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(Counters().corrupt_messages, 1u);
  queue().ring().head += 100'000;  // more than it can hold
  mock_->BumpBarrier(kA);
  Step();
  EXPECT_EQ(Counters().corrupt_messages, 2u);
  RunOn(2, kB);
  EXPECT_EQ(mock_->txn(1).gtid, kA);
}

TEST_F(CentralizedRecoveryTest, TakesOverTheTasksOfAnOlderAgent) {
  Start();
  RunOn(1, kA);
  mock_->PostNew(kB, /*runnable=*/false);
  Step();
  CentralPolicy::hold = true;
  mock_->PostNew(kC);
  Step();
  CentralPolicy::hold = false;
  enclave_->WithdrawOnline();
  runtime_.reset();
  for (int cpu = 0; cpu < kCpus; ++cpu) mock_->RemoveAgent(cpu);
  TakeLog();

  runtime_ = std::make_unique<CentralizedRuntime<CentralPolicy>>(enclave_.get());
  ASSERT_TRUE(runtime_->StartStepped().ok());
  EXPECT_EQ(*mock_->ReadFile("ctl"), "discover tasks");  // the policy wants to know nice values
  EXPECT_EQ(runtime_->CountTasks(), 3);
  EXPECT_THAT(TakeLog(), ElementsAre("new 300"));
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kC);
  // A was on a CPU when its agent went; wherever that was, it is off it now.
  TakeLog();
  PostPreempt(1, kA);
  mock_->Post(TaskWakeup{.gtid = kB});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_THAT(TakeLog(), ElementsAre("preempted 100", "woken 200", "run 2 100", "run 3 200"));
  EXPECT_EQ(mock_->txn(1).gtid, kC);
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(CentralizedRecoveryTest, TaskThatIsToldAgainStaysOne) {
  Start();
  RunOn(1, kA);
  CentralPolicy::hold = true;
  mock_->PostNew(kB);
  mock_->PostNew(kC, false);
  Step();
  TakeLog();
  // As `discover tasks` does.
  mock_->PostNew(kA, true);
  mock_->PostNew(kB, true);
  mock_->PostNew(kC, false);
  Step();
  EXPECT_THAT(TakeLog(), IsEmpty());
  EXPECT_EQ(runtime_->CountTasks(), 3);
  CentralPolicy::hold = false;
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(2), kB);
  EXPECT_EQ(mock_->txn(2).task_barrier, 2u);
}

}  // namespace
}  // namespace ghost
