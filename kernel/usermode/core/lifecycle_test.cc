// Tasks and agents from start to end, in the order and with the numbers that a real ABI-69 kernel gave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/usermode/core/core_harness.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Core::Wakeup kSleepOver = {.waker_cpu = 0, .deferrable = true};

// The recording's thread W, up to its fork: barriers and cpu_seqnums as there. Before its first line the agent had been
// woken once and yielded once.
TEST(LifecycleTest, RecordedTrace) {
  Harness harness;
  harness.MakeEnclave(1, "0-1", 69);
  TestAgent agent(&harness, 1, 0, 7, 69);
  EXPECT_EQ(agent.Yield(), -ESTALE);  // CONFIG_QUEUE_WAKEUP woke it
  EXPECT_EQ(agent.barrier(), 1u);
  EXPECT_EQ(agent.Yield(), 0);
  EXPECT_TRUE(agent.parked());

  // Enters ghost while running: NEW is deferred until it is held.
  ASSERT_EQ(harness.Write("enclave_1/tasks", "90"), 2);
  EXPECT_THAT(agent.Drain(), IsEmpty());
  EXPECT_EQ(harness.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 0\n");
  const int64_t gtid = harness.GtidOf(90);
  harness.core.OnTaskGated(gtid);
  EXPECT_THAT(agent.Drain(), ElementsAre("NEW 90 seq=1 runnable=1"));
  EXPECT_FALSE(agent.parked());
  EXPECT_EQ(harness.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 1\n");
  EXPECT_EQ(harness.Read("enclave_1/tasks"), "90\n");
  EXPECT_EQ(harness.Write("enclave_1/tasks", "90"), -EPERM);

  // nanosleep.
  EXPECT_EQ(agent.barrier(), 2u);
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 0)->cpu_seqnum, 3u);
  EXPECT_TRUE(agent.parked());
  EXPECT_THAT(harness.driver.TakeLog(), ElementsAre("attach 90", "complete 2 = 0", "run 90 cpu 0"));
  harness.core.OnTaskBlocked(gtid);
  EXPECT_FALSE(agent.parked());
  EXPECT_EQ(agent.barrier(), 4u);
  EXPECT_THAT(agent.Drain(), ElementsAre("BLOCKED 90 seq=2 cpu=0 cpu_seq=4"));
  EXPECT_EQ(agent.Yield(), 0);
  harness.core.OnTaskReady(gtid, kSleepOver);
  EXPECT_THAT(agent.Drain(), ElementsAre("WAKEUP 90 seq=3 deferrable=1 last=0 wake=0 waker=0"));

  // sched_yield.
  EXPECT_EQ(agent.barrier(), 5u);
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 0)->cpu_seqnum, 7u);
  harness.core.OnTaskYielded(gtid);
  EXPECT_THAT(agent.Drain(), ElementsAre("YIELD 90 seq=4 cpu=0 cpu_seq=8"));

  // sched_setaffinity while it runs: the message, then a preemption.
  EXPECT_EQ(agent.barrier(), 7u);
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 0)->cpu_seqnum, 10u);
  harness.driver.TakeLog();
  harness.core.OnTaskAffinityChanged(gtid);
  EXPECT_THAT(harness.driver.TakeLog(), ElementsAre("preempt 90"));
  EXPECT_TRUE(agent.parked());
  harness.core.OnTaskGated(gtid);
  EXPECT_FALSE(agent.parked());
  EXPECT_THAT(agent.Drain(), ElementsAre("AFFINITY_CHANGED 90 seq=5", "PREEMPT 90 seq=6 cpu=0 cpu_seq=11"));
  EXPECT_EQ(agent.barrier(), 9u);
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_AGENT_STALE);
  EXPECT_EQ(agent.barrier(), 10u);

  // setpriority while it runs: at this version only a preemption.
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 0)->cpu_seqnum, 13u);
  harness.core.OnTaskPriorityChanged(gtid, 5);
  harness.core.OnTaskGated(gtid);
  EXPECT_THAT(agent.Drain(), ElementsAre("PREEMPT 90 seq=7 cpu=0 cpu_seq=14"));
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_AGENT_STALE);
  EXPECT_EQ(agent.barrier(), 14u);

  // fork: the child's NEW wakes the agent, so the parent is preempted.
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 0)->cpu_seqnum, 16u);
  const int64_t child = harness.core.OnTaskForked(gtid, 91, 0, 0);
  ASSERT_GT(child, 0);
  harness.core.OnTaskGated(gtid);
  EXPECT_THAT(agent.Drain(), ElementsAre("NEW 91 seq=1 runnable=1", "PREEMPT 90 seq=8 cpu=0 cpu_seq=17"));
  EXPECT_EQ(agent.CommitLocal(child), GHOST_TXN_AGENT_STALE);
  EXPECT_EQ(agent.barrier(), 17u);

  // exit: BLOCKED, then DEAD.
  EXPECT_EQ(agent.CommitLocal(child), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness.Txn(1, 0)->cpu_seqnum, 19u);
  harness.core.OnTaskExited(child);
  EXPECT_THAT(agent.Drain(), ElementsAre("BLOCKED 91 seq=2 cpu=0 cpu_seq=20", "DEAD 91 seq=3"));
  EXPECT_EQ(agent.barrier(), 20u);
}

TEST(LifecycleTest, AgentExitAndDestroy) {
  Harness harness;
  harness.MakeEnclave(1, "0-1", 69);
  TestAgent agent(&harness, 1, 0, 7, 69);
  const int64_t gtid = harness.Enter(1, 100);
  EXPECT_EQ(agent.Yield(), -ESTALE);
  EXPECT_EQ(agent.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  harness.driver.TakeLog();
  harness.core.OnAgentExited(7);
  EXPECT_THAT(harness.driver.TakeLog(), ElementsAre("complete 2 = -4", "preempt 100"));
  harness.core.OnTaskGated(gtid);
  EXPECT_THAT(agent.Drain(), ElementsAre("NEW 100 seq=1 runnable=1", "PREEMPT 100 seq=2 cpu=0 cpu_seq=3"));
  EXPECT_EQ(agent.flags(),
            GHOST_SW_F_INUSE | GHOST_SW_F_CANFREE | GHOST_SW_F_ALLOCATED | GHOST_SW_CPU_AVAIL | GHOST_SW_TASK_IS_AGENT);

  EXPECT_EQ(harness.Write("enclave_1/ctl", "destroy\n"), 8);
  EXPECT_THAT(harness.driver.TakeLog(), ElementsAre("detach 100"));
  EXPECT_EQ(harness.Node("enclave_1"), -ENOENT);
  EXPECT_THAT(agent.Drain(), ElementsAre("DEPARTED 100 seq=3 cpu=0 cpu_seq=4 was_current=0"));
  EXPECT_EQ(harness.core.num_tasks(), 0u);
  EXPECT_THAT(harness.driver.region_names, IsEmpty());
}

}  // namespace
}  // namespace ghost::usermode
