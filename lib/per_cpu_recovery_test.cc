// What a per-CPU runtime makes of lost, repeated and odd messages, and of an older agent's tasks.
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "lib/testing/list_policy.h"
#include "lib/testing/mock_kernel.h"
#include "lib/testing/runtime_test.h"

namespace ghost {
namespace {

// ---- Lost and odd messages ----

TEST_F(RuntimeTest, OverflowIsRecoveredFromStatusWords) {
  RuntimeOptions options;
  options.queue_elements = 64;
  Start(std::move(options));
  for (int i = 0; i < 4; ++i) mock_->PostNew(MockGtid(1000 + i), /*runnable=*/false);
  Step();
  // 12 messages of 5 slots fit into 64; the rest is lost: wake-ups, deaths, and new tasks.
  const int64_t sleeper = MockGtid(1000), woken = MockGtid(1001), dead = MockGtid(1002), newcomer = MockGtid(1004);
  int lost = 0;
  for (int i = 0; i < 6; ++i) {
    lost += mock_->Post(TaskWakeup{.gtid = sleeper}) ? 0 : 1;
    lost += mock_->Post(TaskBlocked{.gtid = sleeper}) ? 0 : 1;
  }
  lost += mock_->Post(TaskWakeup{.gtid = woken}) ? 0 : 1;
  ASSERT_TRUE(mock_->Post(TaskAffinityChanged{.gtid = sleeper}));  // leaves two slots
  EXPECT_FALSE(mock_->PostNew(newcomer));
  mock_->PostDead(dead);
  ASSERT_GT(lost, 0);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Counters().lost_messages, static_cast<uint64_t>(lost + 2));
  EXPECT_EQ(Committed(), woken);
  EXPECT_EQ(runtime_->CountTasks(), 4);  // three of the four, and the newcomer
  EXPECT_EQ(Counters().runnable, 2u);
  mock_->Post(TaskBlocked{.gtid = woken});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), newcomer);
}

TEST_F(RuntimeTest, GarbageInTheRingIsRecoveredFromStatusWords) {
  Start();
  mock_->PostNew(kA, false);
  Step();
  mock_->Post(TaskWakeup{.gtid = kA});
  MockQueue& queue = mock_->queue(mock_->queue_of_agent(0));
  const uint32_t index = (queue.ring().head - 5) % queue.num_elements();
  std::memset(queue.slots() + index * sizeof(ghost_msg), 0xff, 5 * sizeof(ghost_msg));
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
  EXPECT_EQ(Counters().corrupt_messages, 1u);
}

TEST_F(RuntimeTest, MessagesAboutStrangers) {
  Start();
  mock_->AddTask(kA);
  mock_->Post(TaskWakeup{.gtid = kA});
  mock_->Post(CpuTick{.cpu = 0});
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(Counters().unknown_tasks, 1u);
  EXPECT_EQ(Counters().messages, 2u);
}

TEST_F(RuntimeTest, NewAgainIsNoSecondTask) {
  Start();
  RunOn(0, kA);
  mock_->PostNew(kA);  // `discover tasks`
  EXPECT_EQ(Step(), StepResult::kYielded);
  EXPECT_EQ(runtime_->CountTasks(), 1);
  mock_->Post(TaskBlocked{.gtid = kA});
  mock_->PostNew(kA, /*runnable=*/false);
  EXPECT_EQ(Step(), StepResult::kYielded);
  mock_->Post(TaskWakeup{.gtid = kA});
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(mock_->txn(0).task_barrier, 5u);
}

TEST_F(RuntimeTest, ChainsOfSwitchtoWakeTheAgentOfTheirCpu) {
  Start();
  RunOn(1, kB);
  RunOn(0, kA);
  mock_->PostNew(kC, false);
  Step();
  // b gave cpu 1 to c directly; c, at home on cpu 0, leaves it.
  mock_->Post(TaskSwitchto{.gtid = kB, .cpu = 1});
  EXPECT_EQ(Step(1), StepResult::kYielded);
  mock_->ResetCalls();
  mock_->Post(TaskBlocked{.gtid = kC, .cpu = 1, .from_switchto = true});
  Step(0);
  EXPECT_EQ(mock_->pinged().back(), 1);
  EXPECT_EQ(mock_->calls().pings, 1);
  EXPECT_EQ(Counters(0).illegal_changes, 0u);
}

TEST_F(RuntimeTest, LatchFailureQueuesTheTaskAgain) {
  Start();
  RunOn(0, kA);
  mock_->Post(TaskLatchFailure{.gtid = kA, .error = EBUSY});
  mock_->SetFlag(kA, GHOST_SW_TASK_ONCPU, false);
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), kA);
}

// ---- Taking over ----

TEST_F(RuntimeTest, TasksOfAnOldAgentAreTakenOver) {
  for (int i = 0; i < 4; ++i) mock_->AddTask(MockGtid(1000 + i), /*runnable=*/i != 1);
  mock_->SetFlag(MockGtid(1002), GHOST_SW_TASK_ONCPU, true);
  mock_->SetFlag(MockGtid(1003), GHOST_SW_F_CANFREE, true);  // died unseen
  // They had an agent once, which got their TASK_NEW.
  Channel old_channel = *Channel::Create(mock_, 1024, 0, {});
  ASSERT_TRUE(old_channel.SetDefault().ok());
  for (int i = 0; i < 4; ++i) {
    mock_->AddTask(MockGtid(2000 + i));
    mock_->PostNew(MockGtid(2000 + i), /*runnable=*/i != 1);
  }
  mock_->SetFlag(MockGtid(2001), GHOST_SW_TASK_RUNNABLE, false);
  mock_->SetFlag(MockGtid(2002), GHOST_SW_TASK_ONCPU, true);
  ListPolicy::place = 0;
  Start();
  EXPECT_EQ(runtime_->CountTasks(), 4);  // those that are brand new tell of themselves
  EXPECT_EQ(Step(), StepResult::kCommitted);
  EXPECT_EQ(Committed(), MockGtid(2000));
  mock_->Post(TaskPreempt{.gtid = MockGtid(2002)});
  mock_->Post(TaskWakeup{.gtid = MockGtid(2001)});
  mock_->Post(TaskBlocked{.gtid = MockGtid(2000)});
  for (int64_t gtid : {MockGtid(2003), MockGtid(2002), MockGtid(2001)}) {
    EXPECT_EQ(Step(), StepResult::kCommitted);
    EXPECT_EQ(Committed(), gtid);
    mock_->Post(TaskBlocked{.gtid = gtid});
  }
  EXPECT_EQ(Counters().illegal_changes, 0u);
}

// ---- What people see ----

TEST_F(RuntimeTest, DumpIsWrittenByEachAgentBetweenPasses) {
  Start();
  RunOn(0, kA);
  EXPECT_NE(runtime_->DumpState(absl::ZeroDuration()).find("does not answer"), std::string::npos);
  mock_->Post(TaskBlocked{.gtid = kA});
  Step(0);
  Step(1);
  // The agents have answered too late; the next question is answered by their next steps.
  const std::string text = runtime_->DumpState(absl::ZeroDuration());
  EXPECT_NE(text.find("cpu 0"), std::string::npos);
}

TEST_F(RuntimeTest, CountersAddUp) {
  Start();
  RunOn(0, kA);
  RunOn(1, kB);
  const RuntimeCounters total = runtime_->TotalCounters();
  EXPECT_EQ(total.tasks, 2u);
  EXPECT_EQ(total.runnable, 2u);
  EXPECT_EQ(total.commits, 2u);
  EXPECT_EQ(total.placed, 2u);
}

}  // namespace
}  // namespace ghost
