// Asynchronous policies: commits whose outcomes are read in later passes.
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/ghost_uapi.h"
#include "lib/centralized_runtime.h"
#include "lib/testing/centralized_test.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AsyncTest : public CentralizedTestOf<CentralPolicyAsync> {
 protected:
  // A transaction for it is open on CPU 1, and its CPU has not taken it yet.
  void OpenFor(int64_t gtid) {
    mock_->PostNew(gtid);
    EXPECT_EQ(Step(), StepResult::kCommitted);
    EXPECT_EQ(mock_->txn(1).state, GHOST_TXN_READY);
    EXPECT_EQ(mock_->txn(1).gtid, gtid);
    TakeLog();
  }
};

TEST_F(AsyncTest, OutcomeIsReadInALaterPass) {
  Start();
  OpenFor(kA);
  EXPECT_EQ(mock_->txn(1).commit_flags, 0);
  mock_->ResetCalls();
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(runtime_->look_again(), Time::FromNanoseconds(1));
  EXPECT_THAT(TakeLog(), IsEmpty());
  EXPECT_EQ(mock_->calls().Total(), 0);
  mock_->CommitLater(1);
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_THAT(TakeLog(), ElementsAre("run 1 100"));
  EXPECT_EQ(Counters().commits, 1u);
  // Nothing is looked at again.
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(runtime_->look_again(), Time::Infinite());
}

TEST_F(AsyncTest, CpuIsNotPlannedForWhileItsOutcomeIsOpen) {
  Start();
  OpenFor(kA);
  CentralPolicyAsync::replace = CpuSet({1});
  mock_->PostNew(kB);
  Step();
  EXPECT_EQ(mock_->txn(1).gtid, kA);
  EXPECT_EQ(mock_->txn(2).gtid, kB);
}

TEST_F(AsyncTest, FailureComesBack) {
  Start();
  OpenFor(kA);
  mock_->on_commit = [](int, const ghost_txn&) { return GHOST_TXN_TARGET_ONCPU; };
  mock_->CommitLater(1);
  mock_->on_commit = nullptr;
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_THAT(TakeLog(), ElementsAre("commit failed 100"));
  mock_->CommitLater(1);
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("run 1 100"));
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

TEST_F(AsyncTest, MessagesOfATaskThatRanMeanwhile) {
  Start();
  CentralPolicyAsync::hold = false;
  struct Case {
    const char* name;
    Payload payload;
    std::vector<std::string> told;
  };
  const Case kCases[] = {
      {"blocked", TaskBlocked{.gtid = kA, .cpu = 1}, {"run 1 100", "stop 1 100", "block 100"}},
      {"yield", TaskYield{.gtid = kA, .cpu = 1}, {"run 1 100", "stop 1 100", "yielded 100"}},
      {"preempt", TaskPreempt{.gtid = kA, .cpu = 1}, {"run 1 100", "stop 1 100", "preempted 100"}},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    OpenFor(kA);
    mock_->CommitLater(1);
    mock_->Post(c.payload);
    CentralPolicyAsync::hold = true;
    Step();
    EXPECT_EQ(TakeLog(), c.told);
    CentralPolicyAsync::hold = false;
    mock_->PostDead(kA);
    Step();
    EXPECT_EQ(runtime_->CountTasks(), 0);
  }
  EXPECT_EQ(Counters().illegal_changes, 0u);
  EXPECT_EQ(Counters().runnable, 0u);
}

// The same, when the outcome stands there before the pass, and the message comes while it runs.
TEST_F(AsyncTest, TaskThatIsGoneBeforeItsTransactionIsTaken) {
  Start();
  OpenFor(kA);
  mock_->PostDead(kA);
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(mock_->txn(1).state, GHOST_TXN_ABORTED);
  EXPECT_EQ(runtime_->CountTasks(), 0);
  EXPECT_EQ(Counters().runnable, 0u);
  EXPECT_EQ(runtime_->policy().Length(), 0u);
  OpenFor(kB);  // CPU 1 is free
}

TEST_F(AsyncTest, TaskWhoseAffinityChangesIsPlannedAnew) {
  Start();
  OpenFor(kA);
  mock_->SetAffinity(kA, CpuSet({3}));
  mock_->Post(TaskAffinityChanged{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(1).state, GHOST_TXN_ABORTED);
  EXPECT_EQ(mock_->txn(3).gtid, kA);
  EXPECT_EQ(mock_->txn(3).task_barrier, 2u);
}

TEST_F(AsyncTest, TransactionThatNobodyTakesIsCutShort) {
  Start();
  OpenFor(kA);
  EXPECT_EQ(Step(50'000'000), StepResult::kPolled);
  EXPECT_EQ(Step(200'000'000), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(1).state, GHOST_TXN_ABORTED);
  EXPECT_EQ(mock_->txn(2).gtid, kA);
}

TEST_F(AsyncTest, ReplacedTaskBlocksWhileTheOutcomeIsOpen) {
  Start();
  OpenFor(kA);
  mock_->CommitLater(1);
  CentralPolicyAsync::hold = true;
  mock_->PostNew(kB);
  Step();
  CentralPolicyAsync::replace = CpuSet({1});
  Step();
  EXPECT_EQ(mock_->txn(1).gtid, kB);
  CentralPolicyAsync::replace.Clear();
  TakeLog();
  mock_->Post(TaskBlocked{.gtid = kA, .cpu = 1});
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "block 100"));
  mock_->on_commit = [](int, const ghost_txn&) { return GHOST_TXN_TARGET_ONCPU; };
  mock_->CommitLater(1);
  mock_->on_commit = nullptr;
  Step();
  EXPECT_THAT(TakeLog(), ElementsAre("commit failed 200"));
  CentralPolicyAsync::hold = false;
  Step();  // nobody runs on CPU 1
  EXPECT_EQ(mock_->txn(1).gtid, kB);
  EXPECT_EQ(mock_->txn(1).state, GHOST_TXN_READY);
}

TEST_F(AsyncTest, HandOffSettlesWhatIsOpenOnTheNewCpu) {
  Start();
  OpenFor(kA);
  for (int cpu : {2, 3}) {
    mock_->SetAvailable(cpu, false);
    mock_->Post(CpuBusy{.cpu = cpu});
  }
  Step();
  mock_->SetBoost(0, true);
  Step();
  EXPECT_EQ(mock_->pinged().back(), 1);
  EXPECT_EQ(mock_->txn(1).state, GHOST_TXN_ABORTED);
  EXPECT_THAT(TakeLog(), ElementsAre("commit failed 100"));
  StepSatellite(1);
  Step();
  EXPECT_EQ(runtime_->global_cpu(), 1);
}

}  // namespace
}  // namespace ghost
