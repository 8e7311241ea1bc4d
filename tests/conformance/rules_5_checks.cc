// Rules of section 5.4: the checks of one commit, in their order, and what a commit does.
#include <atomic>
#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

std::string State(Enclave& enclave, int cpu) {
  return StateName(std::atomic_ref<int32_t>(enclave.Txn(cpu).state).load(std::memory_order_acquire));
}

bool OnCpu(Task& task) { return (task.Flags() & GHOST_SW_TASK_ONCPU) != 0; }

// Each line is wrong in all the ways of the lines below it, too: the first check decides.
struct Wrong {
  const char* what;
  int version, cpu;
  uint16_t run_flags;
  uint8_t commit_flags;
  int64_t gtid;
  const char* state;
};

constexpr uint8_t kSync = COMMIT_AT_TXN_COMMIT;
constexpr uint8_t kBadCommit = kSync | 0x80;

constexpr Wrong kWrongs[] = {
    {"2. a version: UNSUPPORTED_VERSION", 1, 1, 8, kBadCommit, -3, "UNSUPPORTED_VERSION"},
    {"3. another CPU's number: INVALID_CPU", 0, 1, 8, kBadCommit, -3, "INVALID_CPU"},
    {"4. an unknown run flag: INVALID_FLAGS", 0, 0, 8, kBadCommit, -3, "INVALID_FLAGS"},
    {"4. run flag bit 4: INVALID_FLAGS", 0, 0, 1 << 4, kSync, 0, "INVALID_FLAGS"},
    {"4. run flag bit 8: INVALID_FLAGS", 0, 0, 1 << 8, kSync, 0, "INVALID_FLAGS"},
    {"4. run flag bit 13: INVALID_FLAGS", 0, 0, 1 << 13, kSync, 0, "INVALID_FLAGS"},
    {"4. RTLA_ON_IDLE with the idle task: INVALID_FLAGS", 0, 0, RTLA_ON_IDLE, kSync, -2, "INVALID_FLAGS"},
    {"4. NEED_CPU_NOT_IDLE with gtid 0: INVALID_FLAGS", 0, 0, NEED_CPU_NOT_IDLE, kSync, 0, "INVALID_FLAGS"},
    {"4. the agent's gtid with any run flag: INVALID_FLAGS", 0, 0, RTLA_ON_YIELD, kSync, -1, "INVALID_FLAGS"},
    {"5. an unknown commit flag: INVALID_FLAGS", 0, 0, 0, kBadCommit, -3, "INVALID_FLAGS"},
    {"5. both COMMIT_AT flags: INVALID_FLAGS", 0, 0, 0, COMMIT_AT_SCHEDULE | COMMIT_AT_TXN_COMMIT, -3, "INVALID_FLAGS"},
    {"5. ELIDE_AGENT_BARRIER_INC with INC_AGENT_BARRIER_ON_FAILURE: INVALID_FLAGS", 0, 0, 0,
     kSync | ELIDE_AGENT_BARRIER_INC | INC_AGENT_BARRIER_ON_FAILURE, -3, "INVALID_FLAGS"},
    {"7. a gtid below the idle task's: INVALID_TARGET", 0, 0, 0, kSync, -3, "INVALID_TARGET"},
    {"7. nobody's gtid: TARGET_NOT_FOUND", 0, 0, 0, kSync, 12345, "TARGET_NOT_FOUND"},
};

const bool kWrongsAdded = [] {
  for (const Wrong& wrong : kWrongs) {
    AddRule("5.4", wrong.what, [wrong](Run& run) {
      Enclave enclave(run);
      Agent agent(enclave, 0);
      ghost_txn& txn = agent.Prepare(0, GHOST_NULL_GTID);
      const uint32_t barrier = agent.Barrier();
      txn.version = wrong.version;
      txn.cpu = wrong.cpu;
      txn.run_flags = wrong.run_flags;
      txn.commit_flags = wrong.commit_flags;
      txn.gtid = wrong.gtid;
      run.Want("result", int64_t{0}, enclave.CommitMask({0}, false, &agent.actor()));
      run.Want("state", std::string(wrong.state), State(enclave, 0));
      const bool both = (wrong.commit_flags & INC_AGENT_BARRIER_ON_FAILURE) != 0;
      run.Want("barrier", barrier + (both ? 1 : 0), agent.FreshBarrier());
    });
  }
  return true;
}();

RULE("5.4", "6. a CPU that is offline: CPU_OFFLINE, before the target is looked for") {
  run.Need(run.traits().simulated, "takes a CPU offline: only in the simulation");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.world().SetOnline(1, false);
  run.Want("state", std::string("CPU_OFFLINE"), agent.Commit(1, 12345));
}

RULE("5.4", "7. an agent's gtid: INVALID_TARGET") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("state", std::string("INVALID_TARGET"), agent.Commit(0, enclave.GtidOf(agent.actor())));
}

RULE("5.4", "7. a thread that is not in ghost: INVALID_TARGET") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("state", std::string("INVALID_TARGET"), agent.Commit(0, enclave.GtidOf(*run.world().NewProcess())));
}

RULE("5.4", "7. a thread that has left, and whose old status word is not freed: TARGET_STALE") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  run.Want("state", std::string("TARGET_STALE"), agent.Commit(0, task.gtid()));
}

RULE("5.4", "7. a thread that came back before its old status word was freed: TARGET_STALE") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  Task again(enclave, "W", {.thread = &task.actor()});
  run.Await("it is held", [&] { return again.Barrier() == 1; });
  run.Want("state", std::string("TARGET_STALE"), agent.Commit(0, again));
  run.Want("SW_FREE", int64_t{0}, enclave.Free(task.sw()));
  run.Want("then", std::string("COMPLETE"), agent.Commit(0, again));
}

RULE("5.4", "7. a task that sleeps: TARGET_NOT_RUNNABLE; with another barrier TARGET_STALE") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("right barrier", std::string("TARGET_NOT_RUNNABLE"), agent.Commit(0, task));
  run.Want("wrong barrier", std::string("TARGET_STALE"), agent.Commit(0, task, {.barrier_error = 1}));
}

RULE("5.4", "7. a task that runs elsewhere: TARGET_ONCPU, with ALLOW_TASK_ONCPU, too") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("it runs on CPU 1", std::string("COMPLETE"), a.Commit(1, task));
  run.Await("it runs", [&] { return OnCpu(task); });
  run.Want("here", std::string("TARGET_ONCPU"), a.Commit(0, task));
  const TxnOptions allow = {.commit_flags = kSync | ALLOW_TASK_ONCPU};
  run.Want("here, allowed", std::string("TARGET_ONCPU"), a.Commit(0, task, allow));
  run.Want("there", std::string("TARGET_ONCPU"), a.Commit(1, task));
}

RULE("5.4", "7. ALLOW_TASK_ONCPU for a task that runs on that CPU: COMPLETE, without a new start") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("it runs on CPU 1", std::string("COMPLETE"), a.Commit(1, task));
  run.Await("it runs", [&] { return OnCpu(task); });
  const int64_t since = task.Word().switch_time;
  const TxnOptions allow = {.commit_flags = kSync | ALLOW_TASK_ONCPU};
  run.Want("again", std::string("COMPLETE"), a.Commit(1, task, allow));
  run.Want("switch_time", since, task.Word().switch_time);
  task.Block();
  first.Expect({"BLOCKED W seq=2 cpu=1"});
}

RULE("5.4", "7. the idle task while the CPU is idle: TARGET_ONCPU; with ALLOW_TASK_ONCPU: COMPLETE") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  b.Yield();
  run.Want("idle", std::string("TARGET_ONCPU"), a.Commit(1, GHOST_IDLE_GTID));
  run.Want("allowed", std::string("COMPLETE"),
           a.Commit(1, GHOST_IDLE_GTID, {.commit_flags = kSync | ALLOW_TASK_ONCPU}));
}

RULE("5.4", "7. a task of another enclave is fine: enclaves are not compared") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Agent agent(enclave, 0);
  Queue queue(other);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, other.SetDefaultQueue(queue.fd()));
  Task task(other, "W");
  queue.Expect({"NEW W seq=1 runnable=1"});
  agent.Prepare(0, task).task_barrier = task.Barrier();
  agent.Commit({0});
  run.Want("state", std::string("COMPLETE"), State(enclave, 0));
  task.Block();
  queue.Expect({"BLOCKED W seq=2 cpu=0"});
}

RULE("5.4", "7. the task's own CPU mask is ignored") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("only CPU 1", int64_t{0}, SetAffinity(run, run.world().Self(), task.actor().tid(), 2));
  agent.queue().Expect({"AFFINITY_CHANGED W seq=2"});
  task.Wake();
  agent.Expect({"WAKEUP W seq=3 deferrable=1 last=0"});
  agent.Run(task);
  task.Block();
  agent.Expect({"BLOCKED W seq=4 cpu=0"});
}

RULE("5.4", "7. a task that passed these checks has lost its latch, even if a later one fails") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  const TxnOptions deferred = {.run_flags = DEFER_LATCHED_PREEMPTION_BY_AGENT};
  run.Want("latched on CPU 1", std::string("COMPLETE"), a.Commit(1, task, deferred));
  run.Want("CPU 0, with an old barrier", std::string("AGENT_STALE"), a.Commit(0, task, {.agent_barrier_error = -1}));
  b.Yield();
  // It is nowhere now, and nobody was told.
  run.Want("barrier", 1u, task.Barrier());
  run.Want("it is not on a CPU", !OnCpu(task));
  run.Want("again", std::string("COMPLETE"), a.Commit(1, task));
}

RULE("5.4", "8. a CPU without an agent: NO_AGENT; a bad target comes before that") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("gtid 0", std::string("NO_AGENT"), agent.Commit(1, GHOST_NULL_GTID));
  run.Want("a bad target", std::string("TARGET_NOT_FOUND"), agent.Commit(1, 12345));
}

RULE("5.4", "10. a commit by a thread that is no agent: NOT_PERMITTED") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Prepare(0, GHOST_NULL_GTID);
  run.Want("result", int64_t{0}, enclave.CommitMask({0}));
  run.Want("state", std::string("NOT_PERMITTED"), State(enclave, 0));
}

RULE("5.4", "10. but a ping by a thread of the agent's process: COMPLETE; of another process: NOT_PERMITTED") {
  Enclave enclave(run);
  Queue queue(enclave);
  Actor& leader = *run.world().NewProcess();
  Agent agent(enclave, 0, {.thread = &leader, .queue = &queue});
  Actor& other = NewThread(run, leader);
  agent.Prepare(0, GHOST_AGENT_GTID);
  run.Want("result", int64_t{0}, enclave.CommitMask({0}));
  run.Want("another process", std::string("NOT_PERMITTED"), State(enclave, 0));
  agent.Prepare(0, GHOST_AGENT_GTID);
  run.Want("result", int64_t{0}, enclave.CommitMask({0}, false, &other));
  run.Want("a thread", std::string("COMPLETE"), State(enclave, 0));
}

RULE("5.4", "11. DO_NOT_PREEMPT while the agent or a task is on the CPU, or one is latched: AGENT_STALE") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task w(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  Task x(enclave, "X");
  first.Expect({"NEW X seq=1 runnable=1"});
  const TxnOptions gentle = {.run_flags = DO_NOT_PREEMPT};
  run.Want("the agent is there", std::string("AGENT_STALE"), a.Commit(1, w, gentle));
  b.Yield();
  run.Want("idle", std::string("COMPLETE"), a.Commit(1, w, gentle));
  run.Await("W runs", [&] { return OnCpu(w); });
  run.Want("a task is there", std::string("AGENT_STALE"), a.Commit(1, x, gentle));
}

RULE("5.4", "12. another class is on the CPU: CPU_UNAVAIL") {
  run.Need(run.traits().simulated, "other classes' load is not seen by ghostd");
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.world().SetOtherClass(1, true, 0);
  run.Want("state", std::string("CPU_UNAVAIL"), a.Commit(1, task));
}

RULE("5.4", "13. a local commit with an old agent barrier: AGENT_STALE, and the agent stays") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  run.Want("state", std::string("AGENT_STALE"), agent.Commit(0, task, {.agent_barrier_error = -1}));
  run.Want("the agent is there", !agent.away());
}

RULE("5.4", "13. a remote commit does not compare the agent's barrier") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("state", std::string("COMPLETE"), a.Commit(1, task, {.agent_barrier_error = 77}));
}

RULE("5.4",
     "14. a task: the agent's barrier moves by one, not with ELIDE_AGENT_BARRIER_INC; one more for the way back") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  for (const uint8_t elide : {uint8_t{0}, ELIDE_AGENT_BARRIER_INC}) {
    const uint32_t barrier = agent.FreshBarrier();
    const auto flags = static_cast<uint8_t>(kSync | elide);
    run.Want("state", std::string("COMPLETE"), agent.Commit(0, task, {.commit_flags = flags}));
    task.Post({Op::kYield});
    agent.queue().Expect({absl::StrCat("YIELD W seq=", elide == 0 ? 2 : 3, " cpu=0")});
    agent.Back();
    run.Want(elide == 0 ? "barrier" : "barrier, elided", barrier + (elide == 0 ? 2 : 1), agent.FreshBarrier());
  }
}

RULE("5.4", "14. the agent's own gtid is a ping: barrier + 2, with ELIDE_AGENT_BARRIER_INC + 1; the agent stays") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("ping", std::string("COMPLETE"), agent.Commit(0, GHOST_AGENT_GTID));
  run.Want("the agent is there", !agent.away());
  run.Want("barrier", barrier + 2, agent.FreshBarrier());
  const TxnOptions elide = {.commit_flags = kSync | ELIDE_AGENT_BARRIER_INC};
  run.Want("elided", std::string("COMPLETE"), agent.Commit(0, GHOST_AGENT_GTID, elide));
  run.Want("barrier, elided", barrier + 3, agent.FreshBarrier());
}

RULE("5.4", "14. gtid 0: the CPU's task has to go: TASK_PREEMPT") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("W", std::string("COMPLETE"), a.Commit(1, task));
  run.Await("it runs", [&] { return OnCpu(task); });
  run.Want("gtid 0", std::string("COMPLETE"), a.Commit(1, GHOST_NULL_GTID));
  first.Expect({"PREEMPT W seq=2 cpu=1"});
}

RULE("5.4", "14. the idle task: the CPU's task has to go: TASK_PREEMPT") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("W", std::string("COMPLETE"), a.Commit(1, task));
  run.Await("it runs", [&] { return OnCpu(task); });
  run.Want("idle", std::string("COMPLETE"), a.Commit(1, GHOST_IDLE_GTID));
  first.Expect({"PREEMPT W seq=2 cpu=1"});
}

RULE("5.4", "15. INC_AGENT_BARRIER_ON_FAILURE: the barrier of the transaction's CPU moves by one if the commit fails") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  const uint32_t barrier = agent.FreshBarrier();
  const TxnOptions inc = {.commit_flags = kSync | INC_AGENT_BARRIER_ON_FAILURE};
  run.Want("state", std::string("TARGET_NOT_RUNNABLE"), agent.Commit(0, task, inc));
  run.Want("barrier", barrier + 1, agent.FreshBarrier());
}

RULE("5.4", "15. INC_AGENT_BARRIER_ON_FAILURE has no effect on failures before the commit flags are read") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  const TxnOptions inc = {.commit_flags = kSync | INC_AGENT_BARRIER_ON_FAILURE, .run_flags = 8};
  run.Want("state", std::string("INVALID_FLAGS"), agent.Commit(0, GHOST_NULL_GTID, inc));
  run.Want("barrier", barrier, agent.FreshBarrier());
}

}  // namespace
}  // namespace ghost::conformance
