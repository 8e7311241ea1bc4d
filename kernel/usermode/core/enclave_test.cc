// Enclaves: their end from any state, several at once, timeouts, options, limits.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/usermode/core/core_harness.h"

namespace ghost::usermode {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class EnclaveTest : public ::testing::Test {
 protected:
  EnclaveTest() {
    harness_.MakeEnclave(1, "0-1");
    agent_.emplace(&harness_, 1, 0, 7);
    agent_->Yield();
    harness_.driver.TakeLog();
  }
  ~EnclaveTest() override { harness_.core.CheckInvariants(); }

  Harness harness_;
  std::optional<TestAgent> agent_;
};

TEST_F(EnclaveTest, DestroyFromEveryState) {
  // A task in each state, and an agent that is parked.
  const int64_t running = harness_.Enter(1, 100);
  agent_->Yield();
  ASSERT_EQ(agent_->CommitLocal(running), GHOST_TXN_COMPLETE);
  harness_.driver.attach[101] = {.state = AttachResult::State::kBlocked};
  harness_.Write("enclave_1/tasks", "101");
  harness_.core.OnTaskGated(running);  // agent 0 was woken
  ASSERT_FALSE(agent_->parked());
  agent_->Yield();
  ASSERT_EQ(agent_->CommitLocal(running), GHOST_TXN_COMPLETE);
  harness_.Write("enclave_1/tasks", "102");  // entering
  harness_.driver.attach[103] = {.state = AttachResult::State::kGated};
  harness_.Write("enclave_1/tasks", "103");
  agent_->Drain();
  harness_.driver.TakeLog();

  EXPECT_EQ(harness_.Write("enclave_1/ctl", "destroy\n"), 8);
  const std::vector<std::string> log = harness_.driver.TakeLog();
  EXPECT_THAT(log, Contains("kill 7"));
  for (const char* line : {"detach 100", "detach 101", "detach 102", "detach 103"}) EXPECT_THAT(log, Contains(line));
  EXPECT_EQ(harness_.core.num_tasks(), 0u);
  EXPECT_EQ(harness_.Node("enclave_1"), -ENOENT);
  // DEPARTED was still tried.
  int departed = 0;
  for (const std::string& line : agent_->Drain()) departed += line.starts_with("DEPARTED");
  EXPECT_EQ(departed, 4);
  // The agent's CPU stays with the dead enclave until it has ended; the other one is free.
  harness_.Write("ctl", "create 2 91");
  EXPECT_EQ(harness_.Write("enclave_2/cpulist", "0"), -EBUSY);
  EXPECT_EQ(harness_.Write("enclave_2/cpulist", "1"), 1);
  // Late reports change nothing.
  harness_.core.OnTaskGated(running);
  harness_.core.OnTaskBlocked(running);
  harness_.core.OnAgentExited(7);
  EXPECT_EQ(harness_.Write("enclave_2/cpulist", "0-1"), 3);
  EXPECT_THAT(harness_.driver.region_names, ElementsAre(::testing::Pair(::testing::_, "enclave_2/cpu_data")));
}

TEST_F(EnclaveTest, DestroyByItsOwnAgentAndTask) {
  harness_.driver.attach[100] = {.state = AttachResult::State::kRunning};
  FakeCaller task(100, 100);
  ASSERT_EQ(harness_.Write("enclave_1/tasks", "0", &task), 1);
  EXPECT_EQ(harness_.Write("enclave_1/ctl", "destroy", &task), 7);
  EXPECT_THAT(harness_.driver.TakeLog(), UnorderedElementsAre("attach 100", "kill 7", "detach 100"));
  EXPECT_EQ(harness_.Write("enclave_1/ctl", "destroy", &task), -ENOENT);
  harness_.core.OnAgentExited(7);
  EXPECT_THAT(harness_.driver.region_names, IsEmpty());
}

TEST_F(EnclaveTest, NothingEntersADyingEnclave) {
  const auto tasks = static_cast<uint64_t>(harness_.Open("enclave_1/tasks", O_WRONLY));
  const int64_t parent = harness_.Enter(1, 100);
  harness_.Write("enclave_1/ctl", "destroy");
  EXPECT_EQ(harness_.core.Write(tasks, "101", harness_.root), -ENODEV);
  EXPECT_EQ(harness_.core.OnTaskForked(parent, 102, 0, 0), 0);
}

TEST_F(EnclaveTest, AParkedAgentIsAnsweredWhenItDies) {
  while (agent_->Yield() == -ESTALE) {
  }
  ASSERT_TRUE(agent_->parked());
  harness_.Write("enclave_1/ctl", "destroy");
  harness_.core.Interrupt(agent_->request());  // SIGKILL
  EXPECT_FALSE(agent_->parked());
  harness_.core.OnAgentExited(7);
  EXPECT_THAT(harness_.driver.region_names, IsEmpty());
}

TEST_F(EnclaveTest, TwoEnclaves) {
  harness_.MakeEnclave(2, "2-3", 84);
  TestAgent other(&harness_, 2, 2, 8, 84);
  ghost_ioc_set_default_queue set = {.fd = TestAgent::kQueueFd};
  ASSERT_EQ(harness_.Ioctl(2, GHOST_IOC_SET_DEFAULT_QUEUE, &set, other.caller), 0);
  const int64_t gtid = harness_.Enter(1, 100);
  EXPECT_EQ(harness_.Write("enclave_2/tasks", "100"), -EPERM);
  // Through sched_setscheduler(SCHED_OTHER), freeing the word, and in again; the gtid stays. (Both ABIs must agree
  // while the old word is not free: lifecycle_test.)
  harness_.core.OnTaskDeparted(gtid);
  ghost_sw_info info = {0, 1};
  EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_SW_FREE, &info, agent_->caller), 0);
  EXPECT_EQ(harness_.Enter(2, 100), gtid);
  EXPECT_THAT(other.Drain(), ElementsAre("NEW 100 seq=1 runnable=1"));
  EXPECT_EQ(harness_.Read("enclave_1/tasks"), "");
  EXPECT_EQ(harness_.Read("enclave_2/tasks"), "100\n");
  // A transaction may name a task of another enclave: not compared.
  ghost_txn* txn = agent_->Prepare(0, gtid);
  txn->task_barrier = 1;
  agent_->Yield();
  txn->agent_barrier = agent_->barrier();
  EXPECT_EQ(agent_->Commit({0}), 0);
  EXPECT_EQ(txn->state, GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness_.core.Cpus()[0].current_gtid, gtid);
  harness_.Write("enclave_2/ctl", "destroy");
  EXPECT_EQ(harness_.core.Cpus()[0].current_gtid, 0);
  harness_.core.OnAgentExited(8);
}

TEST_F(EnclaveTest, TheEndOfAnEnclaveFreesItsGatedThreads) {
  const int64_t gtid = harness_.Enter(1, 100);
  harness_.core.OnTaskDeparted(gtid);  // its word is never freed
  harness_.MakeEnclave(2, "2");
  TestAgent other(&harness_, 2, 2, 8);
  ghost_ioc_set_default_queue set = {.fd = TestAgent::kQueueFd};
  ASSERT_EQ(harness_.Ioctl(2, GHOST_IOC_SET_DEFAULT_QUEUE, &set, other.caller), 0);
  EXPECT_EQ(harness_.Enter(2, 100), gtid);
  EXPECT_THAT(other.Drain(), IsEmpty()) << "inhibited by enclave 1";
  harness_.Write("enclave_1/ctl", "destroy");
  EXPECT_THAT(other.Drain(), IsEmpty());
  harness_.core.OnAgentExited(7);
  EXPECT_THAT(other.Drain(), ElementsAre("NEW 100 seq=2 runnable=1"));
}

TEST_F(EnclaveTest, QueueOfADeadEnclaveLivesWhileUsed) {
  harness_.MakeEnclave(2, "2");
  TestAgent other(&harness_, 2, 2, 8);
  const int64_t gtid = harness_.Enter(2, 100);
  ghost_ioc_assoc_queue assoc = {TestAgent::kQueueFd, 0, {GHOST_TASK, 0, static_cast<uint64_t>(gtid)}, 1, 0};
  ASSERT_EQ(harness_.Ioctl(2, GHOST_IOC_ASSOC_QUEUE, &assoc, agent_->caller), 0);  // the queue of enclave 1
  harness_.Write("enclave_1/ctl", "destroy");
  harness_.core.OnAgentExited(7);
  EXPECT_EQ(harness_.driver.region_names.count(agent_->queue.region()), 1u);
  harness_.driver.attach[101] = {.state = AttachResult::State::kGated};
  harness_.core.OnTaskAffinityChanged(gtid);
  EXPECT_THAT(agent_->Drain(), ElementsAre("AFFINITY_CHANGED 100 seq=2"));
  assoc.barrier = 2;
  EXPECT_EQ(harness_.Ioctl(2, GHOST_IOC_ASSOC_QUEUE, &assoc, agent_->caller), -EBADF) << "it can't be had anew";
  harness_.core.OnTaskExited(gtid);
  EXPECT_EQ(harness_.driver.region_names.count(agent_->queue.region()), 0u);
}

TEST_F(EnclaveTest, RunnableTimeout) {
  harness_.driver.attach[100] = {.state = AttachResult::State::kGated};
  harness_.Write("enclave_1/tasks", "100");
  EXPECT_EQ(harness_.driver.timers.count(1), 0u);
  harness_.Write("enclave_1/runnable_timeout", "50");
  ASSERT_EQ(harness_.driver.timers.count(1), 1u);
  harness_.driver.now_ns += 50'000'000;
  harness_.core.OnTimer(1);
  EXPECT_GT(harness_.Node("enclave_1"), 0) << "not over it yet";
  // Waiting starts anew at a wake-up.
  const int64_t gtid = harness_.GtidOf(100);
  agent_->Yield();
  ASSERT_EQ(agent_->CommitLocal(gtid), GHOST_TXN_COMPLETE);
  harness_.driver.now_ns += 80'000'000;
  harness_.core.OnTimer(1);
  harness_.core.OnTaskBlocked(gtid);
  harness_.driver.now_ns += 80'000'000;
  harness_.core.OnTaskReady(gtid, {});
  harness_.driver.now_ns += 30'000'000;
  harness_.core.OnTimer(1);
  EXPECT_GT(harness_.Node("enclave_1"), 0);
  harness_.driver.TakeLog();
  harness_.driver.now_ns += 21'000'000;
  harness_.core.OnTimer(1);
  EXPECT_EQ(harness_.Node("enclave_1"), -ENOENT);
  EXPECT_THAT(
      harness_.driver.TakeLog(),
      ElementsAre("log enclave violation: enclave_1 failed to run pid 100 for over 50ms", "kill 7", "detach 100"));
}

TEST_F(EnclaveTest, Ephemeral) {
  EXPECT_GT(harness_.Write("ctl", "create 2 91 ephemeral"), 0);
  EXPECT_GT(harness_.Write("enclave_2/cpulist", "2-3"), 0);
  EXPECT_GT(harness_.Write("enclave_2/ctl", "create sw_region 0 0"), 0);
  EXPECT_GT(harness_.Node("enclave_2"), 0) << "it has not had an agent yet";
  const auto ctl = static_cast<uint64_t>(harness_.Open("enclave_2/ctl", O_RDWR));
  TestAgent agent(&harness_, 2, 2, 8);
  harness_.core.OnAgentExited(8);
  EXPECT_GT(harness_.Node("enclave_2"), 0) << "somebody holds its ctl: an upgrade";
  TestAgent next(&harness_, 2, 3, 9);
  harness_.core.Release(ctl);
  EXPECT_GT(harness_.Node("enclave_2"), 0);
  const int64_t gtid = harness_.Enter(2, 100);
  harness_.driver.TakeLog();
  harness_.core.OnAgentExited(9);
  EXPECT_EQ(harness_.Node("enclave_2"), -ENOENT);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("detach 100"));
  EXPECT_EQ(harness_.core.OnTaskForked(gtid, 101, 0, 0), 0);
}

TEST_F(EnclaveTest, QueuesAreBounded) {
  CoreOptions options = Harness::Defaults();
  options.max_queues = 2;
  Harness small(options);
  small.MakeEnclave(1, "0");
  FakeCaller caller(50, 50);
  ghost_ioc_create_queue create = {64, 0, 0, 0, 0};
  EXPECT_EQ(small.Ioctl(1, GHOST_IOC_CREATE_QUEUE, &create, caller), 1);
  EXPECT_EQ(small.Ioctl(1, GHOST_IOC_CREATE_QUEUE, &create, caller), 2);
  EXPECT_EQ(small.Ioctl(1, GHOST_IOC_CREATE_QUEUE, &create, caller), -ENOMEM);
  small.driver.ended = {50};  // its queues are nobody's now
  FakeCaller other(51, 51);
  EXPECT_EQ(small.Ioctl(1, GHOST_IOC_CREATE_QUEUE, &create, other), 3);
}

TEST_F(EnclaveTest, ManyTasks) {
  for (Tid tid = 1000; tid < 2000; ++tid) ASSERT_GT(harness_.Enter(1, tid), 0);
  EXPECT_EQ(harness_.Read("enclave_1/status"), "version 91\nactive no\nnr_tasks 1000\n");
  harness_.core.CheckInvariants();
  harness_.Write("enclave_1/ctl", "destroy");
  EXPECT_EQ(harness_.core.num_tasks(), 0u);
  harness_.core.OnAgentExited(7);
}

TEST_F(EnclaveTest, ReadyTransactionsDieWithTheAgent) {
  ghost_txn* txn = agent_->Prepare(0, 0);
  harness_.core.OnAgentExited(7);
  EXPECT_EQ(txn->state, GHOST_TXN_NO_AGENT);
  txn->state = GHOST_TXN_READY;
  TestAgent next(&harness_, 1, 0, 8);
  EXPECT_EQ(txn->state, GHOST_TXN_NO_AGENT) << "killed again when the next one comes";
}

}  // namespace
}  // namespace ghost::usermode
