#include "lib/centralized_runtime.h"

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/centralized_test.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(CentralizedTest, OneTaskRunsBlocksAndWakes) {
  Start();
  RunOn(1, kA);
  EXPECT_THAT(TakeLog(), ElementsAre("new 100", "run 1 100"));
  mock_->Post(TaskBlocked{.gtid = kA, .runtime_ns = 7, .cpu = 1});
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_THAT(TakeLog(), ElementsAre("stop 1 100", "block 100"));
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(1), kA);
  EXPECT_EQ(mock_->txn(1).task_barrier, 3u);
  EXPECT_THAT(TakeLog(), ElementsAre("woken 100", "run 1 100"));
  EXPECT_EQ(Counters().illegal_changes, 0u);
  EXPECT_EQ(Counters().tasks, 1u);
  EXPECT_EQ(Counters().runnable, 1u);
}

TEST_F(CentralizedTest, AWholePlanIsOneCall) {
  Start();
  for (int64_t gtid : {kA, kB, kC, kD}) mock_->PostNew(gtid);
  mock_->ResetCalls();
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->calls().commits, 1);
  EXPECT_EQ(Committed(1), kA);
  EXPECT_EQ(Committed(2), kB);
  EXPECT_EQ(Committed(3), kC);
  EXPECT_EQ(mock_->txn(0).state, GHOST_TXN_COMPLETE);
  EXPECT_EQ(mock_->txn(0).gtid, 0);  // the global agent's own CPU runs nothing
  mock_->ResetCalls();
  EXPECT_EQ(Step(), StepResult::kPolled);
  EXPECT_EQ(mock_->calls().Total(), 0);
}

TEST_F(CentralizedTest, SatellitesYield) {
  Start();
  EXPECT_EQ(StepSatellite(2), StepResult::kYielded);
  EXPECT_EQ(mock_->calls().yields, 1);
  EXPECT_EQ(mock_->calls().Total(), 1);
}

}  // namespace
}  // namespace ghost
