// Tasks and agents from start to end, in the order and with the numbers that a real ABI-69 kernel gave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/usermode/core/core_harness.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Core::Wakeup kSleepOver = {.waker_cpu = 0, .deferrable = true};

uint32_t FlagsOf(Harness& harness, int64_t gtid) {
  ghost_ioc_sw_get_info get = {.request = {.type = GHOST_TASK, .pad = 0, .arg = static_cast<uint64_t>(gtid)},
                               .response = {}};
  EXPECT_EQ(harness.Ioctl(1, GHOST_IOC_SW_GET_INFO, &get, harness.root), 0);
  return harness.Word(1, get.response)->flags;
}

int64_t FreeWord(Harness& harness, uint32_t index) {
  ghost_sw_info info = {.id = 0, .index = index};
  return harness.Ioctl(1, GHOST_IOC_SW_FREE, &info, harness.root);
}

// The recording's agent on CPU 0, and its thread W (90). Barriers and cpu_seqnums are the recording's: before its first
// line, the agent had been woken once and had yielded once.
class RecordedTraceTest : public ::testing::Test {
 protected:
  RecordedTraceTest() {
    harness_.MakeEnclave(1, "0-1", 69);
    agent_.emplace(&harness_, 1, 0, 7, 69);
    EXPECT_EQ(agent_->Yield(), -ESTALE);  // CONFIG_QUEUE_WAKEUP woke it
    EXPECT_EQ(agent_->barrier(), 1u);
    EXPECT_EQ(agent_->Yield(), 0);
    EXPECT_TRUE(agent_->parked());
  }

  // W enters while it runs: NEW is deferred until it is held.
  void Enter() {
    ASSERT_EQ(harness_.Write("enclave_1/tasks", "90"), 2);
    EXPECT_THAT(agent_->Drain(), IsEmpty());
    EXPECT_EQ(harness_.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 0\n");
    gtid_ = harness_.GtidOf(90);
    EXPECT_EQ(FlagsOf(harness_, gtid_) & (GHOST_SW_TASK_ONCPU | GHOST_SW_TASK_RUNNABLE),
              GHOST_SW_TASK_ONCPU | GHOST_SW_TASK_RUNNABLE);
    harness_.core.OnTaskGated(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 90 seq=1 runnable=1"));
    EXPECT_EQ(FlagsOf(harness_, gtid_), GHOST_SW_F_INUSE | GHOST_SW_F_ALLOCATED | GHOST_SW_TASK_RUNNABLE);
    EXPECT_FALSE(agent_->parked());
    EXPECT_EQ(harness_.Read("enclave_1/status"), "version 69\nactive no\nnr_tasks 1\n");
    EXPECT_EQ(harness_.Read("enclave_1/tasks"), "90\n");
    EXPECT_EQ(harness_.Write("enclave_1/tasks", "90"), -EPERM);
  }

  // A local commit with these numbers before and after.
  void Commit(int64_t gtid, uint32_t barrier, uint64_t cpu_seqnum) {
    EXPECT_EQ(agent_->barrier(), barrier);
    EXPECT_EQ(agent_->CommitLocal(gtid), GHOST_TXN_COMPLETE);
    EXPECT_EQ(harness_.Txn(1, 0)->cpu_seqnum, cpu_seqnum);
    EXPECT_TRUE(agent_->parked());
  }
  // One that fails because a message came after the barrier that the agent saw.
  void CommitStale(int64_t gtid, uint32_t barrier, uint32_t barrier_after) {
    EXPECT_EQ(agent_->barrier(), barrier);
    EXPECT_EQ(agent_->CommitLocal(gtid), GHOST_TXN_AGENT_STALE);
    EXPECT_EQ(agent_->barrier(), barrier_after);
    EXPECT_FALSE(agent_->parked());
  }

  void SleepAndYield() {
    Commit(gtid_, 2, 3);
    EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("attach 90", "complete 2 = 0", "run 90 cpu 0"));
    harness_.core.OnTaskBlocked(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("BLOCKED 90 seq=2 cpu=0 cpu_seq=4"));
    EXPECT_EQ(FlagsOf(harness_, gtid_), GHOST_SW_F_INUSE | GHOST_SW_F_ALLOCATED);
    EXPECT_EQ(agent_->barrier(), 4u);
    EXPECT_EQ(agent_->Yield(), 0);
    harness_.core.OnTaskReady(gtid_, kSleepOver);
    EXPECT_THAT(agent_->Drain(), ElementsAre("WAKEUP 90 seq=3 deferrable=1 last=0 wake=0 waker=0"));
    Commit(gtid_, 5, 7);
    harness_.core.OnTaskYielded(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("YIELD 90 seq=4 cpu=0 cpu_seq=8"));
  }

  void ChangeAffinityAndPriority() {
    Commit(gtid_, 7, 10);
    harness_.driver.TakeLog();
    harness_.core.OnTaskAffinityChanged(gtid_);
    EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt 90"));
    EXPECT_TRUE(agent_->parked()) << "until the task is off";
    harness_.core.OnTaskGated(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("AFFINITY_CHANGED 90 seq=5", "PREEMPT 90 seq=6 cpu=0 cpu_seq=11"));
    CommitStale(gtid_, 9, 10);
    Commit(gtid_, 10, 13);
    harness_.core.OnTaskPriorityChanged(gtid_, 5);
    harness_.core.OnTaskGated(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 90 seq=7 cpu=0 cpu_seq=14")) << "no message of its own at 69";
    EXPECT_EQ(agent_->CommitLocal(gtid_), GHOST_TXN_AGENT_STALE);
  }

  void Fork() {
    Commit(gtid_, 14, 16);
    const int64_t child = harness_.core.OnTaskForked(gtid_, 91, 0, 0);
    ASSERT_GT(child, 0);
    harness_.core.OnTaskGated(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 91 seq=1 runnable=1", "PREEMPT 90 seq=8 cpu=0 cpu_seq=17"));
    CommitStale(child, 16, 17);
    Commit(child, 17, 19);
    harness_.core.OnTaskExited(child);
    EXPECT_THAT(agent_->Drain(), ElementsAre("BLOCKED 91 seq=2 cpu=0 cpu_seq=20", "DEAD 91 seq=3"));
    EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 2})->flags,
              GHOST_SW_F_INUSE | GHOST_SW_F_CANFREE | GHOST_SW_F_ALLOCATED);
    EXPECT_EQ(FreeWord(harness_, 2), 0);
    EXPECT_EQ(FreeWord(harness_, 2), -EINVAL);
    CommitStale(gtid_, 19, 20);  // TASK_DEAD came after the switch to the agent
  }

  void DepartAndReenter() {
    EXPECT_EQ(agent_->CommitLocal(gtid_), GHOST_TXN_COMPLETE);
    harness_.core.OnTaskDeparted(gtid_);
    EXPECT_THAT(agent_->Drain(), ElementsAre("DEPARTED 90 seq=9 cpu=0 cpu_seq=23 was_current=1"));
    EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 1})->flags, GHOST_SW_F_INUSE | GHOST_SW_F_CANFREE |
                                                                  GHOST_SW_F_ALLOCATED | GHOST_SW_TASK_ONCPU |
                                                                  GHOST_SW_TASK_RUNNABLE | GHOST_SW_TASK_MSG_GATED);
    EXPECT_EQ(FreeWord(harness_, 1), 0);
    EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 1})->flags, 0u);
    EXPECT_EQ(harness_.Enter(1, 90), gtid_) << "the same gtid, a new word, seqnums from 1";
    EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 90 seq=1 runnable=1"));
    EXPECT_EQ(FlagsOf(harness_, gtid_), harness_.Word(1, {.id = 0, .index = 3})->flags);
  }

  Harness harness_;
  std::optional<TestAgent> agent_;
  int64_t gtid_ = 0;
};

TEST_F(RecordedTraceTest, FromEntryToReentry) {
  Enter();
  SleepAndYield();
  ChangeAffinityAndPriority();
  Fork();
  DepartAndReenter();
}

// SEND_TASK_LATCHED: the message comes when the task is on its CPU, before that of its leaving.
TEST_F(RecordedTraceTest, Latched) {
  Enter();
  EXPECT_EQ(agent_->CommitLocal(gtid_, SEND_TASK_ON_CPU), GHOST_TXN_COMPLETE);
  EXPECT_THAT(agent_->Drain(), ElementsAre("ON_CPU 90 seq=2 cpu=0 cpu_seq=4"));
  harness_.core.OnTaskBlocked(gtid_);
  EXPECT_THAT(agent_->Drain(), ElementsAre("BLOCKED 90 seq=3 cpu=0 cpu_seq=5"));
}

// A tick's message bumps the agent's barrier once as a message and once as a wake-up, PREEMPT's wake-up once more.
TEST_F(RecordedTraceTest, Ticks) {
  harness_.Write("enclave_1/deliver_ticks", "1");
  Enter();
  const uint32_t barrier = agent_->barrier();
  EXPECT_EQ(agent_->CommitLocal(gtid_), GHOST_TXN_COMPLETE);
  harness_.core.OnTimer(1);
  harness_.core.OnTaskGated(gtid_);
  EXPECT_THAT(agent_->Drain(), ElementsAre("CPU_TICK 0 seq=" + std::to_string(barrier + 2) + " agent=0",
                                           "PREEMPT 90 seq=2 cpu=0 cpu_seq=4"));
  CommitStale(gtid_, barrier + 3, barrier + 4);
}

class LifecycleTest : public ::testing::Test {
 protected:
  LifecycleTest() {
    harness_.MakeEnclave(1, "0-1");
    agent_.emplace(&harness_, 1, 0, 7);
    EXPECT_EQ(agent_->Yield(), -ESTALE);
    harness_.driver.TakeLog();
  }
  // Enters a thread that the driver found in `state`.
  int64_t EnterAs(Tid tid, AttachResult::State state) {
    harness_.driver.attach[tid] = {.state = state, .runtime_ns = 500, .nice = 3};
    EXPECT_GT(harness_.Write("enclave_1/tasks", std::to_string(tid)), 0);
    return harness_.GtidOf(tid);
  }

  Harness harness_;
  std::optional<TestAgent> agent_;
};

TEST_F(LifecycleTest, EntryByState) {
  EnterAs(100, AttachResult::State::kBlocked);
  EnterAs(101, AttachResult::State::kGated);
  EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 100 seq=1 runnable=0", "NEW 101 seq=1 runnable=1"));
  const int64_t blocks = EnterAs(102, AttachResult::State::kRunning);
  const int64_t yields = EnterAs(103, AttachResult::State::kRunning);
  const int64_t dies = EnterAs(104, AttachResult::State::kRunning);
  const int64_t departs = EnterAs(105, AttachResult::State::kRunning);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  harness_.core.OnTaskBlocked(blocks);
  harness_.core.OnTaskYielded(yields);
  harness_.core.OnTaskExited(dies);
  harness_.core.OnTaskDeparted(departs);
  EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 102 seq=1 runnable=0", "NEW 103 seq=1 runnable=1",
                                           "NEW 104 seq=1 runnable=0", "DEAD 104 seq=2", "NEW 105 seq=1 runnable=0",
                                           "DEPARTED 105 seq=2 cpu=0 cpu_seq=1 was_current=0"));
}

TEST_F(LifecycleTest, TaskNewFields) {
  EnterAs(100, AttachResult::State::kGated);
  const std::vector<Message> messages = agent_->Take();
  ASSERT_EQ(messages.size(), 1u);
  const auto& task = std::get<TaskNew>(messages[0].payload);
  EXPECT_EQ(task.runtime_ns, 500u);
  EXPECT_EQ(task.nice, 3);
  EXPECT_EQ(task.sw_info.index, 1u);
  EXPECT_EQ(task.parent_gtid, 0);
  const int64_t child = harness_.core.OnTaskForked(task.gtid, 101, 0, 4);
  const std::vector<Message> of_child = agent_->Take();
  ASSERT_EQ(of_child.size(), 1u);
  EXPECT_EQ(std::get<TaskNew>(of_child[0].payload).gtid, child);
  EXPECT_EQ(std::get<TaskNew>(of_child[0].payload).parent_gtid, task.gtid);
  EXPECT_EQ(std::get<TaskNew>(of_child[0].payload).nice, 4);
}

TEST_F(LifecycleTest, RefusedEntries) {
  harness_.driver.attach[100] = {.error = EPERM};
  EXPECT_EQ(harness_.Write("enclave_1/tasks", "100"), -EPERM);
  EXPECT_EQ(harness_.core.num_tasks(), 0u);
  EXPECT_EQ(harness_.Write("enclave_1/tasks", "7"), -EPERM) << "an agent";
  harness_.MakeEnclave(2, "2", 69);
  const int64_t gtid = EnterAs(101, AttachResult::State::kGated);
  EXPECT_EQ(harness_.Write("enclave_2/tasks", "101"), -EPERM) << "in ghost already";
  harness_.core.OnTaskDeparted(gtid);
  EXPECT_EQ(harness_.Write("enclave_2/tasks", "101"), -EINVAL) << "inhibited by an enclave of another ABI";
}

TEST_F(LifecycleTest, ReentryBeforeTheOldWordIsFreed) {
  const int64_t gtid = EnterAs(100, AttachResult::State::kGated);  // word 1
  harness_.core.OnTaskDeparted(gtid);
  EXPECT_THAT(agent_->Drain(),
              ElementsAre("NEW 100 seq=1 runnable=1", "DEPARTED 100 seq=2 cpu=0 cpu_seq=1 was_current=0"));
  ASSERT_EQ(EnterAs(100, AttachResult::State::kBlocked), gtid);  // word 2
  harness_.core.OnTaskReady(gtid, {});
  EXPECT_THAT(agent_->Drain(), IsEmpty()) << "inhibited";
  EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 2})->barrier, 2u) << "the barrier counts all the same";
  EXPECT_EQ(agent_->CommitRemote(0, gtid), GHOST_TXN_TARGET_STALE);
  EXPECT_EQ(FreeWord(harness_, 1), 0);
  EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 100 seq=3 runnable=1"));
  // Leaving again while inhibited frees the second word silently.
  harness_.core.OnTaskDeparted(gtid);  // gates word 2
  agent_->Drain();
  ASSERT_EQ(EnterAs(100, AttachResult::State::kGated), gtid);  // word 3
  harness_.core.OnTaskDeparted(gtid);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 3})->flags, 0u);
  ASSERT_EQ(EnterAs(100, AttachResult::State::kGated), gtid);  // word 4
  harness_.core.OnTaskExited(gtid);
  EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 4})->flags, 0u);
  EXPECT_EQ(FreeWord(harness_, 2), 0) << "nobody is left to be un-inhibited";
}

TEST_F(LifecycleTest, MessagesThatCannotBeQueued) {
  // A queue of 8 slots takes one NEW (7 slots at ABI 91) and no more.
  FakeCaller& caller = agent_->caller;
  TestQueue small(&harness_, 1, &caller, 6, 8);
  ghost_ioc_set_default_queue set = {.fd = 6};
  ASSERT_EQ(harness_.Ioctl(1, GHOST_IOC_SET_DEFAULT_QUEUE, &set, caller), 0);
  const int64_t dies = EnterAs(100, AttachResult::State::kBlocked);
  const int64_t departs = EnterAs(101, AttachResult::State::kBlocked);
  EXPECT_EQ(small.overflow(), 1u);
  harness_.core.OnTaskExited(dies);
  harness_.core.OnTaskDeparted(departs);
  EXPECT_EQ(small.overflow(), 3u);
  EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 1})->flags, 0u) << "the kernel frees what nobody will hear of";
  EXPECT_EQ(harness_.Word(1, {.id = 0, .index = 2})->flags, 0u);
  EXPECT_EQ(small.Take(91).size(), 1u);
  EXPECT_EQ(EnterAs(101, AttachResult::State::kBlocked), departs);
  EXPECT_EQ(small.Take(91).size(), 1u) << "not inhibited";
  EXPECT_THAT(harness_.Read("stats"), ::testing::HasSubstr("\"dropped\": 3"));
}

TEST_F(LifecycleTest, NoQueueNoMessages) {
  harness_.MakeEnclave(2, "2-3");
  const int64_t result = harness_.Enter(2, 100);
  ASSERT_GT(result, 0);
  EXPECT_EQ(harness_.Word(2, {.id = 0, .index = 0})->barrier, 1u);
  harness_.core.OnTaskExited(result);
  EXPECT_EQ(harness_.Word(2, {.id = 0, .index = 0})->flags, 0u);
}

TEST_F(LifecycleTest, ExitInEveryState) {
  const int64_t blocked = EnterAs(100, AttachResult::State::kBlocked);
  const int64_t queued = EnterAs(101, AttachResult::State::kGated);
  agent_->Drain();
  harness_.core.OnTaskExited(blocked);
  harness_.core.OnTaskExited(queued);
  harness_.core.OnTaskExited(queued);
  EXPECT_THAT(agent_->Drain(), ElementsAre("DEAD 100 seq=2", "BLOCKED 101 seq=2 cpu=0 cpu_seq=1", "DEAD 101 seq=3"));
  EXPECT_EQ(harness_.core.num_tasks(), 0u);
}

TEST_F(LifecycleTest, EventsThatDoNotFitAreIgnored) {
  const int64_t gtid = EnterAs(100, AttachResult::State::kGated);
  agent_->Drain();
  harness_.core.OnTaskReady(gtid, {});
  harness_.core.OnTaskGated(gtid);
  harness_.core.OnTaskYielded(gtid);
  harness_.core.OnTaskBlocked(gtid);
  for (int64_t unknown : {int64_t{0}, int64_t{-1}, gtid + 1, INT64_MAX}) {
    harness_.core.OnTaskReady(unknown, {});
    harness_.core.OnTaskGated(unknown);
    harness_.core.OnTaskYielded(unknown);
    harness_.core.OnTaskBlocked(unknown);
    harness_.core.OnTaskExited(unknown);
    harness_.core.OnTaskDeparted(unknown);
    harness_.core.OnTaskAffinityChanged(unknown);
    harness_.core.OnTaskPriorityChanged(unknown, 1);
    harness_.core.OnTaskTidChanged(unknown, 5);
    EXPECT_EQ(harness_.core.OnTaskForked(unknown, 200, 0, 0), 0);
  }
  harness_.core.OnAgentExited(12345);
  harness_.core.OnOtherClass(-1, true);
  harness_.core.OnOtherClass(99, true);
  harness_.core.OnCpuOnline(99, true);
  harness_.core.OnTimer(777);
  harness_.core.OnTimerfdExpired(99, 0, 0);
  harness_.core.Interrupt(424242);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("attach 100"));
}

TEST_F(LifecycleTest, WakeupFields) {
  const int64_t gtid = EnterAs(100, AttachResult::State::kBlocked);
  agent_->Drain();
  harness_.core.OnTaskReady(gtid, {.waker_cpu = 3});
  EXPECT_THAT(agent_->Drain(), ElementsAre("WAKEUP 100 seq=2 deferrable=0 last=0 wake=0 waker=3"));
  EXPECT_EQ(agent_->CommitRemote(0, gtid), GHOST_TXN_AGENT_STALE);
  EXPECT_EQ(agent_->CommitRemote(0, gtid), GHOST_TXN_COMPLETE);
  harness_.core.OnTaskBlocked(gtid);
  agent_->Drain();
  harness_.Write("enclave_1/wake_on_waker_cpu", "1");
  harness_.core.OnTaskReady(gtid, {.waker_cpu = 3, .deferrable = true});
  EXPECT_THAT(agent_->Drain(), ElementsAre("WAKEUP 100 seq=4 deferrable=1 last=0 wake=3 waker=3"));
}

TEST_F(LifecycleTest, PriorityChanged) {
  const int64_t gtid = EnterAs(100, AttachResult::State::kBlocked);
  agent_->Drain();
  harness_.core.OnTaskPriorityChanged(gtid, -5);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PRIORITY_CHANGED 100 seq=2 nice=-5"));
}

TEST_F(LifecycleTest, DiscoverTasks) {
  EnterAs(100, AttachResult::State::kBlocked);
  EnterAs(101, AttachResult::State::kGated);
  const int64_t entering = EnterAs(102, AttachResult::State::kRunning);
  agent_->Drain();
  EXPECT_EQ(agent_->Yield(), -ESTALE);
  EXPECT_EQ(agent_->Yield(), 0);
  EXPECT_EQ(harness_.Write("enclave_1/ctl", "discover tasks\n"), 15);
  EXPECT_TRUE(agent_->parked()) << "wakes nobody";
  EXPECT_THAT(agent_->Drain(), ElementsAre("NEW 100 seq=2 runnable=0", "NEW 101 seq=2 runnable=1"));
  harness_.core.OnTaskGated(entering);
  EXPECT_FALSE(agent_->parked());
}

TEST_F(LifecycleTest, ExecByAnotherThread) {
  const int64_t leader = EnterAs(100, AttachResult::State::kGated);
  const int64_t thread = EnterAs(101, AttachResult::State::kGated);
  harness_.core.OnTaskTidChanged(thread, 100);
  harness_.core.OnTaskExited(leader);
  EXPECT_EQ(harness_.Read("enclave_1/tasks"), "100\n");
  EXPECT_EQ(harness_.GtidOf(100), thread);
  EXPECT_EQ(harness_.Write("enclave_1/tasks", "100"), -EPERM);
  harness_.core.OnTaskExited(thread);
  EXPECT_EQ(harness_.Read("enclave_1/tasks"), "");
}

TEST_F(LifecycleTest, ForksThatCannotBeTaken) {
  CoreOptions options = Harness::Defaults();
  options.max_tasks = 2;
  Harness small(options);
  small.MakeEnclave(1, "0");
  const int64_t parent = small.Enter(1, 100);
  const int64_t child = small.core.OnTaskForked(parent, 101, 0, 0);
  EXPECT_GT(child, 0);
  EXPECT_EQ(small.core.OnTaskForked(parent, 102, 0, 0), 0) << "no room";
  EXPECT_EQ(small.Write("enclave_1/tasks", "103"), -ENOMEM);
  // A tid that comes back without its exit having been told: the old one is gone.
  const int64_t again = small.core.OnTaskForked(parent, 101, 0, 0);
  EXPECT_GT(again, 0);
  EXPECT_NE(again, child);
  EXPECT_EQ(small.core.num_tasks(), 2u);
}

TEST_F(LifecycleTest, AgentExit) {
  const int64_t gtid = EnterAs(100, AttachResult::State::kGated);
  EXPECT_EQ(agent_->Yield(), -ESTALE);
  EXPECT_EQ(agent_->CommitLocal(gtid), GHOST_TXN_COMPLETE);
  harness_.driver.TakeLog();
  agent_->Drain();
  harness_.core.OnAgentExited(7);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("complete 3 = -4", "preempt 100"));
  harness_.core.OnTaskGated(gtid);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=0 cpu_seq=3"));
  EXPECT_EQ(agent_->flags(),
            GHOST_SW_F_INUSE | GHOST_SW_F_CANFREE | GHOST_SW_F_ALLOCATED | GHOST_SW_CPU_AVAIL | GHOST_SW_TASK_IS_AGENT);
  EXPECT_EQ(FreeWord(harness_, 0), 0) << "the word is its successor's to free";
  // A new agent takes over.
  TestAgent next(&harness_, 1, 0, 8);
  next.Yield();
  ghost_ioc_assoc_queue assoc = {.fd = TestAgent::kQueueFd,
                                 .pad = 0,
                                 .src = {.type = GHOST_TASK, .pad = 0, .arg = static_cast<uint64_t>(gtid)},
                                 .barrier = 2,
                                 .flags = 0};
  EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_ASSOC_QUEUE, &assoc, next.caller), 0);
  EXPECT_EQ(next.CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 0"));
}

TEST_F(LifecycleTest, AbandonedQueuesEnd) {
  EXPECT_GT(harness_.Node("enclave_1/queue_1"), 0);
  harness_.core.OnAgentExited(7);
  EXPECT_GT(harness_.Node("enclave_1/queue_1"), 0) << "its process may still use it";
  TestAgent next(&harness_, 1, 0, 8);
  harness_.driver.ended = {7};
  harness_.core.OnAgentExited(8);
  EXPECT_EQ(harness_.Node("enclave_1/queue_1"), -ENOENT);
  EXPECT_GT(harness_.Node("enclave_1/queue_2"), 0);
  harness_.driver.ended = {7, 8};
  const int64_t gtid = EnterAs(100, AttachResult::State::kGated);  // no default queue any more
  TestAgent third(&harness_, 1, 0, 9);
  EXPECT_EQ(harness_.Node("enclave_1/queue_2"), -ENOENT);
  harness_.core.OnTaskExited(gtid);
  EXPECT_THAT(third.Drain(), IsEmpty());
}

}  // namespace
}  // namespace ghost::usermode
