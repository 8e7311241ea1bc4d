// Transactions: every outcome and its precedence, all commit points, sync groups. The error matrix is the recording's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/usermode/core/core_harness.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint8_t kNow = COMMIT_AT_TXN_COMMIT;
constexpr uint8_t kGreedy = 0;

// Agents on CPUs 0 and 1 of the enclave 0-2, of one process. The first one runs, the second is parked. CPU 2 has no
// agent, CPU 3 is in no enclave. Messages wake agent 0.
class CommitTest : public ::testing::Test {
 protected:
  CommitTest() {
    harness_.MakeEnclave(1, "0-2", 69);
    agent_.emplace(&harness_, 1, 0, 7, 69, /*tgid=*/7);
    remote_.emplace(&harness_, 1, 1, 8, 69, /*tgid=*/7);
    remote_->Yield();
    EXPECT_EQ(remote_->Yield(), 0);
    agent_->Yield();  // ESTALE: refreshes the barrier
  }
  ~CommitTest() override { harness_.core.CheckInvariants(); }

  int64_t Runnable(Tid tid) {
    const int64_t gtid = harness_.Enter(1, tid);
    agent_->Drain();
    agent_->Yield();
    harness_.driver.TakeLog();
    return gtid;
  }
  int64_t Blocked(Tid tid) {
    harness_.driver.attach[tid] = {.state = AttachResult::State::kBlocked};
    EXPECT_GT(harness_.Write("enclave_1/tasks", std::to_string(tid)), 0);
    agent_->Drain();
    agent_->Yield();
    harness_.driver.TakeLog();
    return harness_.GtidOf(tid);
  }
  // Commits the prepared transaction of `cpu`; how much the barrier of agent 0 moves is in *moved.
  int32_t Commit(int cpu, uint32_t* moved = nullptr) {
    const uint32_t before = agent_->barrier();
    EXPECT_EQ(agent_->Commit({cpu}), 0);
    if (moved != nullptr) {
      EXPECT_EQ(agent_->Yield(), agent_->barrier() == before ? 0 : -ESTALE);
      *moved = agent_->barrier() - before;
    }
    return harness_.Txn(1, cpu)->state;
  }

  Harness harness_;
  std::optional<TestAgent> agent_;
  std::optional<TestAgent> remote_;
};

TEST_F(CommitTest, ErrorMatrixOfTheRecording) {
  const int64_t blocked = Blocked(90);
  const int64_t agent_gtid = harness_.GtidOf(7);
  const int64_t cfs_gtid = harness_.GtidOf(50);
  const int32_t good_barrier = 1;
  struct Case {
    const char* what;
    int64_t gtid;
    int32_t state;
    uint32_t barrier_moves = 0;
    uint16_t run_flags = 0;
    uint8_t commit_flags = kNow;
    uint32_t task_barrier = good_barrier;
    int32_t version = 0;
    int32_t cpu = 0;
  };
  const Case cases[] = {
      {"gtid of no task", blocked + 5, GHOST_TXN_TARGET_NOT_FOUND},
      {"gtid of agent", agent_gtid, GHOST_TXN_INVALID_TARGET},
      {"gtid of CFS thread", cfs_gtid, GHOST_TXN_INVALID_TARGET},
      {"blocked task, right barrier", blocked, GHOST_TXN_TARGET_NOT_RUNNABLE},
      {"blocked task, wrong barrier", blocked, GHOST_TXN_TARGET_STALE, 0, 0, kNow, 99},
      {"blocked task, INC_ON_FAILURE", blocked, GHOST_TXN_TARGET_NOT_RUNNABLE, 1, 0,
       kNow | INC_AGENT_BARRIER_ON_FAILURE},
      {"gtid -3", -3, GHOST_TXN_INVALID_TARGET},
      {"run_flags bit 3", blocked, GHOST_TXN_INVALID_FLAGS, 0, 1 << 3},
      {"RTLA_ON_IDLE with gtid -2", GHOST_IDLE_GTID, GHOST_TXN_INVALID_FLAGS, 0, RTLA_ON_IDLE},
      {"NEED_CPU_NOT_IDLE with gtid 0", 0, GHOST_TXN_INVALID_FLAGS, 0, NEED_CPU_NOT_IDLE},
      {"AGENT gtid + run flag", GHOST_AGENT_GTID, GHOST_TXN_INVALID_FLAGS, 0, RTLA_ON_YIELD},
      {"both COMMIT_AT", blocked, GHOST_TXN_INVALID_FLAGS, 0, 0, COMMIT_AT_SCHEDULE | COMMIT_AT_TXN_COMMIT},
      {"commit flag bit 7", blocked, GHOST_TXN_INVALID_FLAGS, 0, 0, kNow | 1 << 7},
      {"ELIDE + INC_ON_FAILURE", blocked, GHOST_TXN_INVALID_FLAGS, 1, 0,
       kNow | ELIDE_AGENT_BARRIER_INC | INC_AGENT_BARRIER_ON_FAILURE},
      {"version 1", blocked, GHOST_TXN_UNSUPPORTED_VERSION, 0, 0, kNow, good_barrier, 1},
      {"txn.cpu mismatch", blocked, GHOST_TXN_INVALID_CPU, 0, 0, kNow, good_barrier, 0, 1},
      {"version beats cpu and flags", blocked, GHOST_TXN_UNSUPPORTED_VERSION, 0, 1 << 3,
       kNow | INC_AGENT_BARRIER_ON_FAILURE, good_barrier, 1, 1},
      {"run flags beat commit flags: not even the barrier", blocked, GHOST_TXN_INVALID_FLAGS, 0, 1 << 3,
       kNow | INC_AGENT_BARRIER_ON_FAILURE},
      {"self ping AGENT gtid", GHOST_AGENT_GTID, GHOST_TXN_COMPLETE, 2},
      {"self ping ELIDE", GHOST_AGENT_GTID, GHOST_TXN_COMPLETE, 1, 0, kNow | ELIDE_AGENT_BARRIER_INC},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    ghost_txn* txn = agent_->Prepare(0, c.gtid, c.commit_flags, c.run_flags);
    txn->version = c.version;
    txn->cpu = c.cpu;
    if (c.gtid == blocked) txn->task_barrier = c.task_barrier;
    const uint32_t before = agent_->barrier();
    EXPECT_EQ(Commit(0), c.state);
    EXPECT_FALSE(agent_->parked());
    ghost_ioc_run stale = {0, before + 1000, 0, 0, 0};
    EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_RUN, &stale, agent_->caller), -ESTALE);  // shows the true barrier
    EXPECT_EQ(agent_->barrier() - before, c.barrier_moves);
  }
}

TEST_F(CommitTest, OtherCpusOfTheRecording) {
  agent_->Prepare(2, 0);
  EXPECT_EQ(Commit(2), GHOST_TXN_NO_AGENT);
  harness_.Txn(1, 3)->state = GHOST_TXN_READY;
  EXPECT_EQ(Commit(3), GHOST_TXN_READY) << "in no enclave: left alone";
  // A local commit after a failed one is poisoned, so that the agent returns at once.
  agent_->Prepare(2, 0);
  agent_->Prepare(0, 0);
  EXPECT_EQ(agent_->Commit({0, 2}), 0);
  EXPECT_EQ(harness_.Txn(1, 2)->state, GHOST_TXN_NO_AGENT);
  EXPECT_EQ(harness_.Txn(1, 0)->state, GHOST_TXN_POISONED);
  EXPECT_FALSE(agent_->parked());
  // One that is not ready is skipped, and is no failure.
  agent_->Prepare(0, 0);
  EXPECT_EQ(agent_->Commit({0, 1}), 0);
  EXPECT_EQ(harness_.Txn(1, 0)->state, GHOST_TXN_COMPLETE);
  EXPECT_TRUE(agent_->parked());
}

TEST_F(CommitTest, StaleAgentBarrier) {
  ghost_txn* txn = agent_->Prepare(0, Runnable(100));
  txn->agent_barrier = agent_->barrier() - 1;
  EXPECT_EQ(Commit(0), GHOST_TXN_AGENT_STALE);
  // Nobody compares it for another CPU.
  txn = agent_->Prepare(1, harness_.GtidOf(100));
  txn->agent_barrier = 12345;
  EXPECT_EQ(Commit(1), GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1"));
}

TEST_F(CommitTest, WhoMayCommit) {
  const int64_t gtid = Runnable(100);
  const cpu_set_t mask = CpuSet{1}.ToCpuSetT();
  ghost_ioc_commit_txn commit = {reinterpret_cast<uint64_t>(&mask), sizeof(mask), 0};
  FakeCaller sibling(20, 7);
  FakeCaller stranger(30, 30);
  struct Case {
    FakeCaller* caller;
    int64_t gtid;
    int32_t state;
  };
  for (const Case& c :
       {Case{&sibling, gtid, GHOST_TXN_NOT_PERMITTED}, Case{&stranger, gtid, GHOST_TXN_NOT_PERMITTED},
        Case{&stranger, GHOST_AGENT_GTID, GHOST_TXN_NOT_PERMITTED}, Case{&sibling, 0, GHOST_TXN_NOT_PERMITTED},
        Case{&sibling, GHOST_AGENT_GTID, GHOST_TXN_COMPLETE}}) {
    agent_->Prepare(1, c.gtid);
    EXPECT_EQ(harness_.Ioctl(1, GHOST_IOC_COMMIT_TXN, &commit, *c.caller), 0);
    EXPECT_EQ(harness_.Txn(1, 1)->state, c.state);
  }
  EXPECT_FALSE(remote_->parked()) << "pinged";
}

TEST_F(CommitTest, TargetOnCpu) {
  const int64_t gtid = Runnable(100);
  EXPECT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_TARGET_ONCPU);
  EXPECT_EQ(agent_->CommitRemote(0, gtid, kNow | ALLOW_TASK_ONCPU), GHOST_TXN_TARGET_ONCPU) << "not on that CPU";
  harness_.driver.TakeLog();
  EXPECT_EQ(agent_->CommitRemote(1, gtid, kNow | ALLOW_TASK_ONCPU), GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), IsEmpty()) << "it just goes on";
  // The idle task, too, is on an idle CPU.
  harness_.core.OnTaskBlocked(gtid);
  EXPECT_EQ(agent_->CommitRemote(1, GHOST_IDLE_GTID), GHOST_TXN_TARGET_ONCPU);
  EXPECT_EQ(agent_->CommitRemote(1, GHOST_IDLE_GTID, kNow | ALLOW_TASK_ONCPU), GHOST_TXN_COMPLETE);
}

TEST_F(CommitTest, AllowOnCpuClearsAnotherLatch) {
  const int64_t runs = Runnable(100);
  const int64_t latched = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, runs), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, latched), GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1", "preempt 100"));
  ASSERT_EQ(agent_->CommitRemote(1, runs, kNow | ALLOW_TASK_ONCPU), GHOST_TXN_COMPLETE);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 101 seq=2 cpu=1 cpu_seq=6 latched"));
  harness_.core.OnTaskGated(runs);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1")) << "nothing else wants the CPU any more";
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  // A task that has to leave can't be kept that way.
  ASSERT_EQ(agent_->CommitRemote(1, 0), GHOST_TXN_COMPLETE);
  EXPECT_EQ(agent_->CommitRemote(1, runs, kNow | ALLOW_TASK_ONCPU), GHOST_TXN_TARGET_STALE);
}

TEST_F(CommitTest, FailuresAfterTheTargetWasLookedAt) {
  // The task has lost its latch, without a message, even though the commit fails for its CPU.
  const int64_t gtid = Runnable(100);
  const int64_t runs = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, runs), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness_.core.Cpus()[1].latched_gtid, gtid);
  EXPECT_EQ(agent_->CommitRemote(2, gtid), GHOST_TXN_NO_AGENT);
  EXPECT_EQ(harness_.core.Cpus()[1].latched_gtid, 0);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
}

TEST_F(CommitTest, DepartedTarget) {
  const int64_t gtid = Runnable(100);
  const ghost_sw_info word = {.id = 0, .index = 2};
  agent_->Prepare(1, gtid);
  harness_.core.OnTaskDeparted(gtid);
  EXPECT_EQ(Commit(1), GHOST_TXN_TARGET_STALE) << "an agent that has not read of it yet made no mistake";
  ghost_sw_info info = word;
  ASSERT_EQ(harness_.Ioctl(1, GHOST_IOC_SW_FREE, &info, agent_->caller), 0);
  EXPECT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_INVALID_TARGET) << "one that has freed the word did";
  harness_.driver.ended = {100};
  EXPECT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_TARGET_NOT_FOUND);
  const int64_t dead = Runnable(101);
  harness_.core.OnTaskExited(dead);
  EXPECT_EQ(agent_->CommitRemote(1, dead), GHOST_TXN_TARGET_NOT_FOUND);
}

TEST_F(CommitTest, DoNotPreempt) {
  const int64_t first = Runnable(100);
  const int64_t second = Runnable(101);
  EXPECT_EQ(agent_->CommitLocal(first, DO_NOT_PREEMPT), GHOST_TXN_AGENT_STALE) << "the agent itself is current";
  EXPECT_EQ(agent_->CommitRemote(1, first, kNow, DO_NOT_PREEMPT), GHOST_TXN_COMPLETE);
  EXPECT_EQ(agent_->CommitRemote(1, second, kNow, DO_NOT_PREEMPT), GHOST_TXN_AGENT_STALE);
  harness_.core.OnTaskBlocked(first);
  remote_->Yield();
  EXPECT_EQ(agent_->CommitRemote(1, second, kNow, DO_NOT_PREEMPT), GHOST_TXN_COMPLETE);
}

TEST_F(CommitTest, OtherClassOrOffline) {
  const int64_t gtid = Runnable(100);
  harness_.core.OnOtherClass(1, true);
  EXPECT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_CPU_UNAVAIL);
  EXPECT_EQ(agent_->CommitRemote(1, 0), GHOST_TXN_COMPLETE) << "no target, no need of the CPU";
  harness_.core.OnCpuOnline(1, false);
  EXPECT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_CPU_OFFLINE);
}

TEST_F(CommitTest, GreedyCommitsByTheCpuItself) {
  const int64_t gtid = Runnable(100);
  EXPECT_EQ(agent_->CommitRemote(1, gtid, kGreedy), GHOST_TXN_COMPLETE) << "right after the ioctl";
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1"));
  // Without an ioctl, when the CPU next schedules.
  const int64_t next = Runnable(101);
  ghost_txn* txn = agent_->Prepare(1, next, kGreedy);
  harness_.core.OnTaskBlocked(gtid);
  EXPECT_EQ(txn->state, GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 101 cpu 1"));
  // Failures are answered, too.
  EXPECT_EQ(agent_->CommitRemote(1, gtid, kGreedy), GHOST_TXN_TARGET_NOT_RUNNABLE);
}

TEST_F(CommitTest, CommitAtSchedule) {
  const int64_t first = Runnable(100);
  const int64_t second = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, first), GHOST_TXN_COMPLETE);
  EXPECT_EQ(agent_->CommitRemote(1, second, COMMIT_AT_SCHEDULE), GHOST_TXN_READY) << "left alone";
  harness_.driver.TakeLog();
  harness_.core.OnTaskYielded(first);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 101 cpu 1"));
  // Not while another class wants the CPU.
  EXPECT_EQ(agent_->CommitRemote(1, first, COMMIT_AT_SCHEDULE), GHOST_TXN_READY);
  harness_.core.OnOtherClass(1, true);
  harness_.core.OnTaskGated(second);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_READY);
  harness_.core.OnOtherClass(1, false);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_COMPLETE);
}

TEST_F(CommitTest, CommitAtTick) {
  harness_.Write("enclave_1/commit_at_tick", "1");
  const int64_t gtid = Runnable(100);
  agent_->Prepare(1, gtid, kGreedy);
  ASSERT_EQ(harness_.driver.timers.count(1), 1u);
  harness_.core.OnTimer(1);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness_.driver.timers.count(1), 1u) << "an agent may make another one ready at any time";
}

TEST_F(CommitTest, LatchedTaskIsReplaced) {
  const int64_t runs = Runnable(100);
  const int64_t first = Runnable(101);
  const int64_t second = Runnable(102);
  ASSERT_EQ(agent_->CommitRemote(1, runs), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, first, kNow, SEND_TASK_ON_CPU), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, second, kNow, SEND_TASK_ON_CPU), GHOST_TXN_COMPLETE);
  EXPECT_THAT(agent_->Drain(),
              ElementsAre("ON_CPU 101 seq=2 cpu=1 cpu_seq=7 lost", "PREEMPT 101 seq=3 cpu=1 cpu_seq=8 latched"));
  harness_.driver.TakeLog();
  harness_.core.OnTaskGated(runs);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 102 cpu 1"));
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=1 cpu_seq=10", "ON_CPU 102 seq=2 cpu=1 cpu_seq=11"));
}

TEST_F(CommitTest, MigratingALatchMakesNoMessage) {
  const int64_t runs = Runnable(100);
  const int64_t moves = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, runs), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, moves), GHOST_TXN_COMPLETE);
  harness_.driver.TakeLog();
  EXPECT_EQ(agent_->CommitLocal(moves), GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 101 cpu 0"));
  EXPECT_THAT(agent_->Drain(), IsEmpty());
}

TEST_F(CommitTest, ElidePreempt) {
  const int64_t first = Runnable(100);
  const int64_t second = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, first), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, second, kNow, ELIDE_PREEMPT), GHOST_TXN_COMPLETE);
  harness_.driver.TakeLog();
  harness_.core.OnTaskGated(first);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 101 cpu 1"));
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  // When something else than a ghost task takes the CPU, the message comes.
  ASSERT_EQ(agent_->CommitRemote(1, first, kNow, ELIDE_PREEMPT), GHOST_TXN_COMPLETE);
  agent_->Ping(1);
  harness_.core.OnTaskGated(second);
  EXPECT_THAT(agent_->Drain(),
              ElementsAre("PREEMPT 101 seq=2 cpu=1 cpu_seq=8", "PREEMPT 100 seq=2 cpu=1 cpu_seq=9 latched"));
}

TEST_F(CommitTest, NullTargetTakesTheTaskOff) {
  const int64_t gtid = Runnable(100);
  ASSERT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_COMPLETE);
  ASSERT_EQ(agent_->CommitRemote(1, 0), GHOST_TXN_COMPLETE);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1", "preempt 100"));
  harness_.core.OnTaskGated(gtid);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=1 cpu_seq=6"));
  EXPECT_THAT(harness_.driver.TakeLog(), IsEmpty());
  EXPECT_EQ(harness_.core.Cpus()[1].preempts, 1u);
}

// -- Sync groups --

TEST_F(CommitTest, GroupsOfTheRecording) {
  auto owner = [&](int cpu) { return harness_.Txn(1, cpu)->sync_group_owner; };
  agent_->Prepare(0, 0);
  agent_->Prepare(2, 0);
  EXPECT_EQ(agent_->Commit({0, 2}, /*group=*/true), 0);
  EXPECT_EQ(harness_.Txn(1, 0)->state, GHOST_TXN_POISONED);
  EXPECT_EQ(harness_.Txn(1, 2)->state, GHOST_TXN_NO_AGENT);
  EXPECT_EQ(owner(0), -1);
  // A claim is lost: that transaction is left as it is, the others are poisoned.
  agent_->Prepare(0, 0);
  EXPECT_EQ(agent_->Commit({0, 1}, true), 0);
  EXPECT_EQ(harness_.Txn(1, 0)->state, GHOST_TXN_POISONED);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_COMPLETE);
  EXPECT_FALSE(agent_->parked());
}

TEST_F(CommitTest, GroupCommitsAll) {
  const int64_t local = Runnable(100);
  const int64_t remote = Runnable(101);
  for (int cpu : {0, 1}) agent_->Prepare(cpu, cpu == 0 ? local : remote)->sync_group_owner = 0;
  EXPECT_EQ(agent_->Commit({0, 1}, true), 1);
  EXPECT_TRUE(agent_->parked());
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 101 cpu 1", "run 100 cpu 0"));
  for (int cpu : {0, 1}) {
    EXPECT_EQ(harness_.Txn(1, cpu)->state, GHOST_TXN_COMPLETE);
    EXPECT_EQ(harness_.Txn(1, cpu)->sync_group_owner, -1) << "released";
  }
  harness_.core.OnTaskBlocked(local);
  EXPECT_FALSE(agent_->parked());
  EXPECT_EQ(agent_->result(), 1);
}

TEST_F(CommitTest, FailedGroupLatchesNothing) {
  const int64_t ran = Runnable(100);
  const int64_t gtid = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, ran), GHOST_TXN_COMPLETE);
  harness_.driver.TakeLog();
  for (int cpu : {1, 2}) agent_->Prepare(cpu, cpu == 1 ? gtid : 0)->sync_group_owner = 0;
  EXPECT_EQ(agent_->Commit({1, 2}, true), 0);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_POISONED);
  EXPECT_EQ(harness_.Txn(1, 2)->state, GHOST_TXN_NO_AGENT);
  EXPECT_EQ(harness_.Txn(1, 1)->sync_group_owner, 0) << "stays the agent's";
  EXPECT_EQ(harness_.core.Cpus()[1].latched_gtid, 0);
  // What ran there was replaced, all the same.
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt 100"));
  harness_.core.OnTaskGated(ran);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=1 cpu_seq=6"));
  EXPECT_THAT(harness_.driver.TakeLog(), IsEmpty());
}

TEST_F(CommitTest, FailedGroupForcesOffWhatItKept) {
  const int64_t gtid = Runnable(100);
  ASSERT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_COMPLETE);
  agent_->Prepare(1, gtid, kNow | ALLOW_TASK_ONCPU);
  agent_->Prepare(2, 0);
  EXPECT_EQ(agent_->Commit({1, 2}, true), 0);
  EXPECT_EQ(harness_.Txn(1, 1)->state, GHOST_TXN_POISONED);
  harness_.core.OnTaskGated(gtid);
  EXPECT_THAT(agent_->Drain(), IsEmpty()) << "without a TASK_PREEMPT";
  EXPECT_EQ(harness_.core.Cpus()[1].current_gtid, 0);
}

TEST_F(CommitTest, GroupBarrierOnFailure) {
  agent_->Prepare(2, 0);
  agent_->Prepare(0, 0, kNow | INC_AGENT_BARRIER_ON_FAILURE);
  uint32_t moved = 0;
  const uint32_t before = agent_->barrier();
  EXPECT_EQ(agent_->Commit({0, 2}, true), 0);
  EXPECT_EQ(agent_->Yield(), -ESTALE);
  moved = agent_->barrier() - before;
  EXPECT_EQ(moved, 1u);
}

}  // namespace
}  // namespace ghost::usermode
