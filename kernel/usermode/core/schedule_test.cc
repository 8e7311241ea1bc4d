// Who gets a CPU: agents, other classes, latched tasks; how preemption waits for the driver; what wakes an agent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/core/observer.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint8_t kNow = COMMIT_AT_TXN_COMMIT;

// Agents on CPU 0 (running) and 1 (parked); messages wake agent 0.
class ScheduleTest : public ::testing::Test {
 protected:
  ScheduleTest() {
    harness_.MakeEnclave(1, "0-1");
    agent_.emplace(&harness_, 1, 0, 7, 91, /*tgid=*/7);
    remote_.emplace(&harness_, 1, 1, 8, 91, /*tgid=*/7);
    Park(*remote_);
  }
  ~ScheduleTest() override { harness_.core.CheckInvariants(); }

  void Park(TestAgent& agent, int flags = 0) {
    while (agent.Yield(flags) == -ESTALE) {
    }
    EXPECT_TRUE(agent.parked());
    harness_.driver.TakeLog();
  }
  int64_t Runnable(Tid tid) {
    const int64_t gtid = harness_.Enter(1, tid);
    agent_->Drain();
    harness_.driver.TakeLog();
    return gtid;
  }
  // Runs a task on CPU 1.
  int64_t RunRemote(Tid tid, uint16_t run_flags = 0) {
    const int64_t gtid = Runnable(tid);
    EXPECT_EQ(agent_->CommitRemote(1, gtid, kNow, run_flags), GHOST_TXN_COMPLETE);
    EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run " + std::to_string(tid) + " cpu 1"));
    return gtid;
  }
  bool Boosted() { return (remote_->flags() & GHOST_SW_BOOST_PRIO) != 0; }
  bool Available() { return (remote_->flags() & GHOST_SW_CPU_AVAIL) != 0; }

  Harness harness_;
  std::optional<TestAgent> agent_;
  std::optional<TestAgent> remote_;
};

// An agent that wakes while a task is current waits for the driver's report, whatever that turns out to be.
TEST_F(ScheduleTest, AgentWaitsUntilTheTaskIsOff) {
  struct Case {
    void (Core::*report)(int64_t);
    const char* message;
  };
  Tid tid = 100;
  for (const Case& c : {Case{&Core::OnTaskGated, "PREEMPT"}, Case{&Core::OnTaskBlocked, "BLOCKED"},
                        Case{&Core::OnTaskYielded, "YIELD"}, Case{&Core::OnTaskDeparted, "DEPARTED"}}) {
    SCOPED_TRACE(c.message);
    const int64_t gtid = RunRemote(++tid);
    EXPECT_EQ(agent_->Ping(1), 0);
    EXPECT_EQ(agent_->Ping(1), 0);
    EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt " + std::to_string(tid))) << "asked once";
    EXPECT_TRUE(remote_->parked());
    (harness_.core.*c.report)(gtid);
    EXPECT_FALSE(remote_->parked());
    EXPECT_EQ(remote_->result(), 0);
    const std::vector<std::string> messages = agent_->Drain();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_THAT(messages[0], ::testing::StartsWith(c.message));
    Park(*remote_);
  }
}

TEST_F(ScheduleTest, AgentIsBackAtOnceWhenNothingRuns) {
  EXPECT_EQ(agent_->Ping(1), 0);
  EXPECT_FALSE(remote_->parked());
  EXPECT_THAT(harness_.driver.TakeLog(), ::testing::Contains(::testing::EndsWith(" = 0")));
}

// Messages before the agent's return: it must find them.
TEST_F(ScheduleTest, MessageComesBeforeTheAnswer) {
  using Log = std::vector<std::string>;
  struct Messages : CoreObserver {
    explicit Messages(Log* log) : log(log) {}
    void OnMessage(const Message& message) override { log->push_back(Brief(message)); }
    Log* log;
  };
  struct Picks : BpfProgram {
    explicit Picks(Log* log) : log(log) {}
    bool Run(BpfHook, std::span<std::byte> context, int cpu, BpfHelpers&, int32_t*) override {
      const auto* pick = reinterpret_cast<const bpf_ghost_sched*>(context.data());
      if (pick->agent_runnable) log->push_back("pick agent " + std::to_string(cpu));
      return true;
    }
    Log* log;
  };
  const int64_t gtid = RunRemote(100);
  Messages messages(&harness_.driver.log);
  harness_.core.AddObserver(&messages);
  ASSERT_EQ(harness_.core.AttachProgram(1, BpfHook::kPickNextTask, std::make_unique<Picks>(&harness_.driver.log)), 0);
  agent_->Ping(1);
  harness_.core.OnTaskGated(gtid);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt 100", "pick agent 1", "PREEMPT 100 seq=2 cpu=1 cpu_seq=4",
                                                     ::testing::EndsWith(" = 0")));
}

TEST_F(ScheduleTest, StaleWakeupLeavesTheTaskRunning) {
  // The reason to preempt is gone when the report comes: the task goes on without a message.
  const int64_t first = RunRemote(100);
  const int64_t second = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, second), GHOST_TXN_COMPLETE);
  harness_.core.OnTaskExited(second);
  agent_->Drain();
  harness_.driver.TakeLog();
  harness_.core.OnTaskGated(first);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1"));
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  // A stop that nobody asked for.
  harness_.core.OnTaskGated(first);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("run 100 cpu 1"));
}

TEST_F(ScheduleTest, RunFlagsBringTheAgentBack) {
  struct Case {
    uint16_t flag;
    void (Core::*report)(int64_t);
    bool back;
  };
  Tid tid = 100;
  for (const Case& c :
       {Case{RTLA_ON_BLOCKED, &Core::OnTaskBlocked, true}, Case{RTLA_ON_BLOCKED, &Core::OnTaskYielded, false},
        Case{RTLA_ON_YIELD, &Core::OnTaskYielded, true}, Case{RTLA_ON_YIELD, &Core::OnTaskBlocked, false},
        Case{RTLA_ON_BLOCKED, &Core::OnTaskExited, true}, Case{RTLA_ON_IDLE, &Core::OnTaskBlocked, true},
        Case{RTLA_ON_IDLE, &Core::OnTaskYielded, true}, Case{0, &Core::OnTaskBlocked, false}}) {
    const int64_t gtid = RunRemote(++tid, c.flag);
    (harness_.core.*c.report)(gtid);
    EXPECT_EQ(remote_->parked(), !c.back) << "flag " << c.flag << ", case " << tid;
    if (!remote_->parked()) Park(*remote_);
  }
  // On preemption: by another latch.
  const int64_t first = RunRemote(200);
  const int64_t second = Runnable(201);
  ASSERT_EQ(agent_->CommitRemote(1, second, kNow, RTLA_ON_PREEMPT), GHOST_TXN_COMPLETE);
  harness_.core.OnTaskGated(first);
  EXPECT_TRUE(remote_->parked()) << "the second is on its CPU by now, and has to leave it first";
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt 200", "run 201 cpu 1", "preempt 201"));
  harness_.core.OnTaskGated(second);
  EXPECT_FALSE(remote_->parked());
}

TEST_F(ScheduleTest, RtlaOnIdleReturnsAtOnceFromAnIdleCpu) {
  int64_t result = agent_->Yield(RTLA_ON_IDLE);
  while (result == -ESTALE) result = agent_->Yield(RTLA_ON_IDLE);
  EXPECT_EQ(result, 0);
  EXPECT_FALSE(agent_->parked());
  EXPECT_NE(agent_->flags() & GHOST_SW_TASK_ONCPU, 0u);
}

TEST_F(ScheduleTest, MissedWakeups) {
  // A wake-up while the agent runs makes its next attempt to block fail, once.
  agent_->Yield();
  harness_.Enter(1, 100);
  ghost_txn* txn = agent_->Prepare(0, 0);
  EXPECT_EQ(agent_->Commit({0}), 0);
  EXPECT_EQ(txn->state, GHOST_TXN_AGENT_STALE);
  EXPECT_FALSE(agent_->parked());
  EXPECT_EQ(agent_->Yield(), 0);
  EXPECT_TRUE(agent_->parked());
}

TEST_F(ScheduleTest, WakeupTargets) {
  // Two targets: the task's CPU is preferred, else the first.
  ghost_agent_wakeup both[2] = {{0, 0}, {1, 0}};
  ghost_ioc_config_queue_wakeup config = {TestAgent::kQueueFd, 0, reinterpret_cast<uint64_t>(both), 2, 0};
  ASSERT_EQ(harness_.Ioctl(1, GHOST_IOC_CONFIG_QUEUE_WAKEUP, &config, agent_->caller), 0);
  EXPECT_FALSE(remote_->parked()) << "the last one is woken to look at what is there";
  Park(*remote_);
  const int64_t gtid = RunRemote(100);
  Park(*agent_);
  harness_.core.OnTaskBlocked(gtid);
  EXPECT_FALSE(remote_->parked());
  EXPECT_TRUE(agent_->parked());
  Park(*remote_);
  // No targets: nobody.
  config.ninfo = 0;
  ASSERT_EQ(harness_.Ioctl(1, GHOST_IOC_CONFIG_QUEUE_WAKEUP, &config, agent_->caller), 0);
  harness_.core.OnTaskReady(gtid, {});
  EXPECT_TRUE(remote_->parked() && agent_->parked());
}

TEST_F(ScheduleTest, OtherClassTakesTheCpu) {
  const int64_t gtid = RunRemote(100);
  harness_.core.OnOtherClass(1, true);
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt 100"));
  EXPECT_TRUE(Available());
  harness_.core.OnTaskGated(gtid);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=1 cpu_seq=4"));
  EXPECT_FALSE(Available());
  EXPECT_TRUE(remote_->parked());
  // The agent is above it, and sees that it is wanted.
  agent_->Ping(1);
  EXPECT_FALSE(remote_->parked());
  EXPECT_TRUE(Boosted());
  harness_.core.OnOtherClass(1, false);
  EXPECT_FALSE(Boosted());
  EXPECT_TRUE(Available());
}

// An agent that commits a task on a CPU that another class wants gets it back at once; it has to yield with
// RTLA_ON_IDLE.
TEST_F(ScheduleTest, BoostLivelockOfTheRecording) {
  const int64_t gtid = Runnable(100);
  agent_->Yield();
  harness_.core.OnOtherClass(0, true);
  EXPECT_NE(agent_->flags() & GHOST_SW_BOOST_PRIO, 0u);
  EXPECT_EQ(agent_->CommitLocal(gtid), GHOST_TXN_COMPLETE);
  EXPECT_FALSE(agent_->parked()) << "back in the same ioctl";
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=0 cpu_seq=3 latched"));
  EXPECT_THAT(harness_.driver.TakeLog(), IsEmpty());
  while (agent_->Yield(RTLA_ON_IDLE) == -ESTALE) {
  }
  EXPECT_TRUE(agent_->parked());
  harness_.core.OnOtherClass(0, false);
  EXPECT_FALSE(agent_->parked()) << "idle";
}

TEST_F(ScheduleTest, CpuNotIdle) {
  ASSERT_EQ(agent_->CommitRemote(1, GHOST_IDLE_GTID, kNow | ALLOW_TASK_ONCPU, NEED_CPU_NOT_IDLE), GHOST_TXN_COMPLETE);
  const int64_t next = harness_.GtidOf(500);
  harness_.core.OnOtherClass(1, true, 500);
  EXPECT_THAT(remote_->Drain(), ElementsAre("CPU_NOT_IDLE 1 seq=2 next=" + std::to_string(next)));
  EXPECT_FALSE(remote_->parked());
  Park(*remote_);
  harness_.core.OnOtherClass(1, false);
  harness_.core.OnOtherClass(1, true);
  EXPECT_THAT(remote_->Drain(), IsEmpty()) << "once";
}

TEST_F(ScheduleTest, Availability) {
  harness_.Write("enclave_1/deliver_cpu_availability", "1");
  agent_->Ping(1);  // a poke, so that it looks
  EXPECT_THAT(remote_->Drain(), ElementsAre(::testing::StartsWith("CPU_AVAILABLE 1 seq=")));
  Park(*remote_);
  harness_.core.OnOtherClass(1, true);
  harness_.core.OnOtherClass(1, true);
  EXPECT_THAT(remote_->Drain(), ElementsAre(::testing::StartsWith("CPU_BUSY 1 seq=")));
  harness_.core.OnOtherClass(1, false);
  EXPECT_THAT(remote_->Drain(), ElementsAre(::testing::StartsWith("CPU_AVAILABLE 1 seq=")));
}

TEST_F(ScheduleTest, SleepingAgent) {
  harness_.Write("enclave_1/deliver_agent_runnability", "1");
  const int64_t gtid = Runnable(100);
  agent_->Ping(1);
  harness_.core.OnAgentBlocked(8);
  harness_.core.OnAgentBlocked(8);
  EXPECT_THAT(remote_->Drain(), ElementsAre(::testing::StartsWith("CPU_AGENT_BLOCKED 1 seq=")));
  // An agent that sleeps in a syscall keeps every ghost task off its CPU.
  ASSERT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness_.core.Cpus()[1].current_gtid, 0);
  EXPECT_EQ(harness_.core.Cpus()[1].latched_gtid, gtid);
  harness_.core.OnAgentWoken(8);
  EXPECT_THAT(remote_->Drain(), ElementsAre(::testing::StartsWith("CPU_AGENT_WAKEUP 1 seq=")));
  EXPECT_EQ(harness_.core.Cpus()[1].latched_gtid, 0) << "preempted by the agent";
}

TEST_F(ScheduleTest, LatchOnACpuWhoseAgentRuns) {
  const int64_t gtid = Runnable(100);
  agent_->Ping(1);
  ASSERT_EQ(agent_->CommitRemote(1, gtid), GHOST_TXN_COMPLETE);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=2 cpu=1 cpu_seq=4 latched"));
  // Deferred: at the next tick.
  ASSERT_EQ(agent_->CommitRemote(1, gtid, kNow, DEFER_LATCHED_PREEMPTION_BY_AGENT), GHOST_TXN_COMPLETE);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  ASSERT_EQ(harness_.driver.timers.count(1), 1u);
  harness_.core.OnTimer(1);
  EXPECT_THAT(agent_->Drain(), ElementsAre("PREEMPT 100 seq=3 cpu=1 cpu_seq=7 latched"));
  // … or never, if the agent gives way before it.
  ASSERT_EQ(agent_->CommitRemote(1, gtid, kNow, DEFER_LATCHED_PREEMPTION_BY_AGENT), GHOST_TXN_COMPLETE);
  while (remote_->Yield() == -ESTALE) {
  }
  EXPECT_EQ(harness_.core.Cpus()[1].current_gtid, gtid);
}

TEST_F(ScheduleTest, Interrupt) {
  const int64_t gtid = RunRemote(100);
  const uint64_t request = harness_.next_request - 1;
  harness_.core.Interrupt(request);  // agent 0's commit: not pending
  EXPECT_THAT(harness_.driver.TakeLog(), IsEmpty());
  harness_.core.Interrupt(remote_->request());
  EXPECT_THAT(harness_.driver.TakeLog(), ElementsAre("preempt 100"));
  harness_.core.OnTaskGated(gtid);
  EXPECT_FALSE(remote_->parked());
  EXPECT_EQ(remote_->result(), 0);
}

TEST_F(ScheduleTest, HotUnplug) {
  const int64_t first = RunRemote(100);
  const int64_t second = Runnable(101);
  ASSERT_EQ(agent_->CommitRemote(1, second), GHOST_TXN_COMPLETE);
  harness_.core.OnCpuOnline(1, false);
  harness_.core.OnTaskGated(first);
  EXPECT_THAT(agent_->Drain(),
              ElementsAre("PREEMPT 100 seq=2 cpu=1 cpu_seq=6", "PREEMPT 101 seq=2 cpu=1 cpu_seq=7 latched"));
  EXPECT_EQ(agent_->Ping(1), -EINVAL);
  EXPECT_EQ(harness_.Write("enclave_1/cpulist", "0-1"), 3);
  harness_.core.OnCpuOnline(2, false);
  EXPECT_EQ(harness_.Write("enclave_1/cpulist", "0-2"), -ENODEV);
  EXPECT_TRUE(remote_->parked());
  harness_.core.OnCpuOnline(1, true);
  EXPECT_EQ(agent_->CommitRemote(1, first), GHOST_TXN_COMPLETE);
  EXPECT_EQ(harness_.core.Cpus()[1].current_gtid, first);
}

TEST_F(ScheduleTest, BusyTime) {
  const int64_t gtid = RunRemote(100);
  harness_.driver.now_ns += 5000;
  harness_.core.OnTaskBlocked(gtid);
  harness_.driver.now_ns += 7000;
  EXPECT_EQ(harness_.core.Cpus()[1].busy_ns, 5000u);
}

TEST_F(ScheduleTest, TicksAreDeliveredWhileAGhostTaskIsCurrent) {
  EXPECT_THAT(harness_.driver.timers, IsEmpty()) << "no tick while nobody asks for one";
  harness_.Write("enclave_1/deliver_ticks", "1");
  const int64_t gtid = RunRemote(100);
  ASSERT_EQ(harness_.driver.timers.count(1), 1u);
  EXPECT_EQ(harness_.driver.timers[1], harness_.driver.now_ns + 4'000'000);
  harness_.driver.timers.clear();
  harness_.core.OnTimer(1);
  EXPECT_THAT(remote_->Drain(), ElementsAre(::testing::MatchesRegex("CPU_TICK 1 seq=[0-9]+ agent=0")));
  EXPECT_THAT(agent_->Drain(), ElementsAre(::testing::MatchesRegex("CPU_TICK 0 seq=[0-9]+ agent=1")));
  harness_.core.OnTaskGated(gtid);  // the tick woke agent 1
  EXPECT_FALSE(remote_->parked());
  Park(*remote_);
  Park(*agent_);
  harness_.driver.timers.clear();
  harness_.core.OnTimer(1);
  EXPECT_THAT(remote_->Drain(), IsEmpty());
  EXPECT_THAT(harness_.driver.timers, IsEmpty()) << "all is idle";
}

TEST_F(ScheduleTest, ProgramsMaySteer) {
  struct Wishes {
    bool drop = false;
    int pref_cpu = -1;
    int cpu = -1;
  };
  struct Steering : BpfProgram {
    explicit Steering(const Wishes* wishes) : wishes(*wishes) {}
    bool Run(BpfHook hook, std::span<std::byte> context, int, BpfHelpers&, int32_t* result) override {
      if (hook == BpfHook::kSelectRq) {
        *result = wishes.cpu;
      } else {
        reinterpret_cast<bpf_ghost_msg*>(context.data())->pref_cpu = wishes.pref_cpu;
        *result = wishes.drop;
      }
      return true;
    }
    const Wishes& wishes;
  };
  Wishes wishes;
  for (BpfHook hook : {BpfHook::kSendMessage, BpfHook::kSelectRq}) {
    ASSERT_EQ(harness_.core.AttachProgram(1, hook, std::make_unique<Steering>(&wishes)), 0);
  }
  const int64_t gtid = RunRemote(100);
  wishes.drop = true;
  harness_.core.OnTaskBlocked(gtid);
  EXPECT_THAT(agent_->Drain(), IsEmpty());
  wishes.drop = false;
  wishes.pref_cpu = -2;
  wishes.cpu = 0;
  Park(*agent_);
  harness_.core.OnTaskReady(gtid, {});
  EXPECT_THAT(agent_->Drain(), ElementsAre("WAKEUP 100 seq=3 deferrable=0 last=1 wake=0 waker=1"));
  EXPECT_TRUE(agent_->parked()) << "wake nobody";
}

}  // namespace
}  // namespace ghost::usermode
