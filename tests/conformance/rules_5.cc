// Rules of section 5: transactions, but for the checks of a commit (rules_5_checks.cc).
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

// ---- 5 ----

RULE("5", "a final state comes with commit_time, by CLOCK_MONOTONIC") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const int64_t before = run.world().NowNs();
  run.Want("state", std::string("INVALID_TARGET"), agent.Commit(0, -3));
  const int64_t time = enclave.Txn(0).commit_time;
  run.Want("commit_time", time >= before && time <= run.world().NowNs());
}

RULE("5", "a commit that succeeds says the CPU's cpu_seqnum") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  const uint64_t seqnum = enclave.Txn(0).cpu_seqnum;
  task.Block();
  Message message;
  run.Await("BLOCKED", [&] { return agent.queue().Next(&message); });
  run.Want("the next event's", seqnum + 1, std::get<TaskBlocked>(message.payload).cpu_seqnum);
}

RULE("5", "ABORTED is userspace's: the kernel leaves such a transaction alone") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Prepare(0, -3).state = GHOST_TXN_ABORTED;
  run.Want("COMMIT_TXN", int64_t{0}, enclave.CommitMask({0}, false, &agent.actor()));
  run.Want("state", std::string("ABORTED"), State(enclave, 0));
}

// ---- 5.1 ----

RULE("5.1", "a transaction that is not READY is passed over, and that is no failure") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Prepare(0, task);
  agent.Commit({1, 0});
  run.Want("CPU 0", std::string("COMPLETE"), State(enclave, 0));
  run.Await("the task runs", [&] { return OnCpu(task); });
}

RULE("5.1", "a CPU outside every enclave: its transaction stays READY, and the ioctl gives 0") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Prepare(2, GHOST_NULL_GTID);
  run.Want("COMMIT_TXN", int64_t{0}, enclave.CommitMask({2}, false, &agent.actor()));
  run.Want("state", std::string("READY"), State(enclave, 2));
}

RULE("5.1", "a transaction is the one in the CPU's enclave, whatever ctl the ioctl is made on") {
  Enclave enclave(run, {.cpus = "0"}), other(run, {.cpus = "1"});
  Agent agent(enclave, 0);
  agent.Prepare(0, -3);
  run.Want("COMMIT_TXN", int64_t{0}, other.CommitMask({0}, false, &agent.actor()));
  run.Want("state", std::string("INVALID_TARGET"), State(enclave, 0));
}

// ---- 5.2 ----

RULE("5.2", "without a COMMIT_AT flag a remote CPU commits by itself, soon after the ioctl") {
  TwoAgents t(run);
  Task task(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  t.b.Yield();
  t.a.Prepare(1, task, {.commit_flags = 0});
  t.a.Commit({1});
  run.Want("the ioctl is done", !t.a.away());
  run.Await("COMPLETE", [&] { return State(t.enclave, 1) == "COMPLETE"; });
  run.Await("the task runs", [&] { return OnCpu(task); });
}

RULE("5.2", "COMMIT_AT_SCHEDULE: not by the ioctl, but when the CPU schedules next") {
  TwoAgents t(run);
  Task w(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  Task x(t.enclave, "X");
  t.first.Expect({"NEW X seq=1 runnable=1"});
  t.b.Yield();
  run.Want("W", std::string("COMPLETE"), t.a.Commit(1, w));
  run.Await("W runs", [&] { return OnCpu(w); });
  t.a.Prepare(1, x, {.commit_flags = COMMIT_AT_SCHEDULE});
  t.a.Commit({1});
  run.Want("still", std::string("READY"), State(t.enclave, 1));
  w.Block();
  t.first.Expect({"BLOCKED W seq=2 cpu=1"});
  run.Await("COMPLETE", [&] { return State(t.enclave, 1) == "COMPLETE"; });
  run.Await("X runs", [&] { return OnCpu(x); });
}

RULE("5.2", "COMMIT_AT_TXN_COMMIT: by the ioctl only") {
  TwoAgents t(run);
  Task w(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  Task x(t.enclave, "X");
  t.first.Expect({"NEW X seq=1 runnable=1"});
  t.b.Yield();
  run.Want("W", std::string("COMPLETE"), t.a.Commit(1, w));
  run.Await("W runs", [&] { return OnCpu(w); });
  t.a.Prepare(1, x);
  w.Block();
  t.first.Expect({"BLOCKED W seq=2 cpu=1"});
  run.Want("still", std::string("READY"), State(t.enclave, 1));
  t.a.Commit({1});
  run.Want("now", std::string("COMPLETE"), State(t.enclave, 1));
}

RULE("5.2", "commit_at_tick: a tick commits what has no COMMIT_AT flag") {
  TwoAgents t(run);
  Task task(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  t.b.Yield();
  run.Want("commit_at_tick", int64_t{1}, t.enclave.Write("commit_at_tick", "1"));
  t.a.Prepare(1, task, {.commit_flags = 0});
  run.Await("COMPLETE", [&] { return State(t.enclave, 1) == "COMPLETE"; });
}

// ---- 5.3 ----

RULE("5.3", "COMMIT_TXN: flags: EINVAL") {
  Enclave enclave(run);
  const ghost_ioc_commit_txn commit = {.mask_ptr = 0, .mask_len = 0, .flags = 1};
  run.Want("result", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_COMMIT_TXN, commit)));
}

RULE("5.3", "COMMIT_TXN: a mask that can't be read: EFAULT; flags come first") {
  Enclave enclave(run);
  ghost_ioc_commit_txn commit = {.mask_ptr = kBadAddress, .mask_len = 8, .flags = 0};
  run.Want("mask", Errno(EFAULT), ResultText(enclave.Ioctl(GHOST_IOC_COMMIT_TXN, commit)));
  commit.flags = 1;
  run.Want("flags", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_COMMIT_TXN, commit)));
}

RULE("5.3", "COMMIT_TXN: a short mask is filled up with 0") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Prepare(0, -3);
  auto* mask = New<uint64_t>(run, ~uint64_t{0});
  const ghost_ioc_commit_txn commit = {.mask_ptr = Address(mask), .mask_len = 1, .flags = 0};
  run.Want("result", int64_t{0}, enclave.Ioctl(GHOST_IOC_COMMIT_TXN, commit, &agent.actor()));
  run.Want("state", std::string("INVALID_TARGET"), State(enclave, 0));
}

RULE("5.3", "COMMIT_TXN: no CPUs: 0, and nothing happens") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Prepare(0, -3);
  run.Want("result", int64_t{0}, enclave.CommitMask({}, false, &agent.actor()));
  run.Want("state", std::string("READY"), State(enclave, 0));
}

RULE("5.3", "COMMIT_TXN: the own CPU comes last: it is POISONED after a failure before it") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Prepare(0, task);
  agent.Prepare(1, GHOST_NULL_GTID);
  agent.Commit({0, 1});
  run.Want("CPU 1", std::string("NO_AGENT"), State(enclave, 1));
  run.Want("CPU 0", std::string("POISONED"), State(enclave, 0));
  run.Want("the agent is there", !agent.away());
}

RULE("5.3", "COMMIT_TXN: other CPUs' failures do not hold back other CPUs") {
  TwoAgents t(run);
  Task task(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  t.b.Yield();
  t.a.Prepare(0, -3);
  t.a.Prepare(1, task);
  t.a.Commit({0, 1});
  run.Want("CPU 1", std::string("COMPLETE"), State(t.enclave, 1));
  run.Want("CPU 0", std::string("INVALID_TARGET"), State(t.enclave, 0));
}

RULE("5.3", "COMMIT_TXN: a local task: the agent leaves its CPU in the ioctl, which gives 0 when it is back") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  run.Want("away", agent.away());
  run.Await("the task runs", [&] { return OnCpu(task); });
  task.Block();
  agent.queue().Expect({"BLOCKED W seq=2 cpu=0"});
  run.Want("result", int64_t{0}, agent.Back());
}

RULE("5.3", "a task runs on another CPU when that CPU's agent is away, and its own agent goes on") {
  TwoAgents t(run);
  Task task(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  t.b.Yield();
  run.Want("commit", std::string("COMPLETE"), t.a.Commit(1, task));
  run.Want("the agent is there", !t.a.away());
  run.Await("the task runs", [&] { return OnCpu(task); });
  task.Block();
  t.first.Expect({"BLOCKED W seq=2 cpu=1"});
}

// ---- 5.5 ----

void Own(Enclave& enclave, const std::vector<int>& cpus, int owner) {
  for (int cpu : cpus) enclave.Txn(cpu).sync_group_owner = owner;
}

RULE("5.5", "SYNC_GROUP_TXN: flags: EINVAL; a mask that can't be read: EFAULT") {
  Enclave enclave(run);
  ghost_ioc_commit_txn commit = {.mask_ptr = kBadAddress, .mask_len = 8, .flags = 1};
  run.Want("flags", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_SYNC_GROUP_TXN, commit)));
  commit.flags = 0;
  run.Want("mask", Errno(EFAULT), ResultText(enclave.Ioctl(GHOST_IOC_SYNC_GROUP_TXN, commit)));
}

RULE("5.5", "a group that succeeds: 1, all COMPLETE, owners -1, and all tasks run") {
  TwoAgents t(run);
  Queue third(t.enclave);
  Task w(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  Task x(t.enclave, "X");
  t.first.Expect({"NEW X seq=1 runnable=1"});
  t.b.Yield();
  t.a.Prepare(0, w);
  t.a.Prepare(1, x);
  Own(t.enclave, {0, 1}, 0);
  t.a.Commit({0, 1}, /*group=*/true);
  run.Want("CPU 0", std::string("COMPLETE"), State(t.enclave, 0));
  run.Want("CPU 1", std::string("COMPLETE"), State(t.enclave, 1));
  run.Want("owners", t.enclave.Txn(0).sync_group_owner == -1 && t.enclave.Txn(1).sync_group_owner == -1);
  run.Await("both run", [&] { return OnCpu(w) && OnCpu(x); });
  w.Block();
  t.first.Expect({"BLOCKED W seq=2 cpu=0"});
  run.Want("result", int64_t{1}, t.a.Back());
}

RULE("5.5", "a group with a failure: 0; it has its own state, later ones POISONED, and the owner stays") {
  TwoAgents t(run);
  Task w(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  t.a.Prepare(1, -3);
  t.a.Prepare(0, w);
  Own(t.enclave, {0, 1}, 0);
  run.Want("result", int64_t{0}, t.enclave.CommitMask({0, 1}, true, &t.a.actor()));
  run.Want("CPU 1", std::string("INVALID_TARGET"), State(t.enclave, 1));
  run.Want("CPU 0", std::string("POISONED"), State(t.enclave, 0));
  run.Want("owners", t.enclave.Txn(0).sync_group_owner == 0 && t.enclave.Txn(1).sync_group_owner == 0);
}

RULE("5.5", "a group with a failure: what had been committed before it is POISONED, and its task does not run") {
  TwoAgents t(run);
  Task w(t.enclave, "W");
  t.first.Expect({"NEW W seq=1 runnable=1"});
  t.b.Yield();
  t.a.Prepare(1, w);
  t.a.Prepare(0, -3);
  Own(t.enclave, {0, 1}, 0);
  run.Want("result", int64_t{0}, t.enclave.CommitMask({0, 1}, true, &t.a.actor()));
  run.Want("CPU 0", std::string("INVALID_TARGET"), State(t.enclave, 0));
  run.Want("CPU 1", std::string("POISONED"), State(t.enclave, 1));
  run.Await("W is off its CPU", [&] { return !OnCpu(w); });
  // It is as it was: it can be run.
  run.Want("again", std::string("COMPLETE"), t.a.Commit(1, w));
}

RULE("5.5", "a group with a transaction that is not READY fails, and that one is left alone") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task w(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Prepare(0, w);
  run.Want("result", int64_t{0}, enclave.CommitMask({0, 1}, true, &agent.actor()));
  run.Want("CPU 0", std::string("POISONED"), State(enclave, 0));
  run.Want("CPU 1", std::string("COMPLETE"), State(enclave, 1));
}

RULE("5.5", "a group's poisoned transaction with INC_AGENT_BARRIER_ON_FAILURE: the barrier moves by one") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task w(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  const TxnOptions inc = {.commit_flags = COMMIT_AT_TXN_COMMIT | INC_AGENT_BARRIER_ON_FAILURE};
  agent.Prepare(0, w, inc);
  const uint32_t barrier = agent.Barrier();
  run.Want("result", int64_t{0}, enclave.CommitMask({0, 1}, true, &agent.actor()));
  run.Want("CPU 0", std::string("POISONED"), State(enclave, 0));
  run.Want("barrier", barrier + 1, agent.FreshBarrier());
}

RULE("5.5", "an empty group: 1") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("result", int64_t{1}, enclave.CommitMask({}, true, &agent.actor()));
}

RULE("5.5", "CPUs of a group wait until all have committed") {
  run.Need(!run.traits().user_mode, "a group is one step here: there is nothing to wait for");
}

}  // namespace
}  // namespace ghost::conformance
