// Rules of sections 6 (picking the next task), 7 (agents) and 8 (tasks).
#include <signal.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

bool OnCpu(Task& task) { return (task.Flags() & GHOST_SW_TASK_ONCPU) != 0; }
constexpr char kNoLoad[] = "other classes' load is not seen by ghostd";

// ---- 6 ----

RULE("6", "an agent that is awake has its CPU: a task that is latched there waits, and loses the latch") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  run.Want("commit", std::string("COMPLETE"), a.Commit(1, task));
  first.Expect({"PREEMPT W seq=2 cpu=1 latched"});
  run.Want("ran", !OnCpu(task));
}

RULE("6", "DEFER_LATCHED_PREEMPTION_BY_AGENT: the latch stays until the next tick with the agent on its CPU") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  run.Want("commit", std::string("COMPLETE"), a.Commit(1, task, {.run_flags = DEFER_LATCHED_PREEMPTION_BY_AGENT}));
  first.Expect({"PREEMPT W seq=2 cpu=1 latched"});
}

RULE("6", "a task that nothing replaces goes on when it has been stopped for nothing: no message") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  run.Want("writes that concern nobody", int64_t{1}, enclave.Write("switchto_disabled", "1"));
  task.Block();
  agent.Expect({"BLOCKED W seq=2 cpu=0"});
}

RULE("6", "no agent on a CPU: no ghost task runs there; one that runs is taken off when its agent goes") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  Agent a(enclave, 0, {.queue = &first});
  Agent b(enclave, 1, {.queue = &second, .default_queue = false});
  Task task(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("commit", std::string("COMPLETE"), a.Commit(1, task));
  run.Await("it runs", [&] { return OnCpu(task); });
  run.world().Kill(b.actor(), SIGKILL);
  first.Expect({"PREEMPT W seq=2 cpu=1"});
  run.Await("it is off its CPU", [&] { return !OnCpu(task); });  // the flag goes after the messages
}

// The agent, which no message wakes, is back when the task that it has run with this flag makes the call.
void BackAfter(Run& run, uint16_t run_flag, Op op) {
  Enclave enclave(run);
  Agent agent(enclave, 0, {.wakeup = false});
  Task task(enclave, "W");
  agent.queue().Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task, run_flag);
  task.Post({op});
  run.Want("result", int64_t{0}, agent.Back());
}

RULE("6", "RTLA_ON_IDLE of a commit: the agent comes back when the CPU would be idle, without a wake-up") {
  BackAfter(run, RTLA_ON_IDLE, Op::kBlock);
}

RULE("6", "RTLA_ON_BLOCKED: the agent comes back when the task goes to sleep") {
  BackAfter(run, RTLA_ON_BLOCKED, Op::kBlock);
}

RULE("6", "RTLA_ON_YIELD: the agent comes back when the task yields") { BackAfter(run, RTLA_ON_YIELD, Op::kYield); }

RULE("6", "RTLA_ON_PREEMPT: the agent comes back when the task that is replaced is preempted") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  Agent a(enclave, 0, {.queue = &first, .wakeup = false});
  Agent b(enclave, 1, {.queue = &second, .wakeup = false, .default_queue = false});
  Task w(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  Task x(enclave, "X");
  first.Expect({"NEW X seq=1 runnable=1"});
  b.Yield();
  run.Want("W", std::string("COMPLETE"), a.Commit(1, w));
  run.Await("it runs", [&] { return OnCpu(w); });
  run.Want("X", std::string("COMPLETE"), a.Commit(1, x, {.run_flags = RTLA_ON_PREEMPT}));
  first.Expect({"PREEMPT W seq=2 cpu=1"});
  run.Want("result", int64_t{0}, b.Back());
}

RULE("6", "ELIDE_PREEMPT: the task that is replaced gets no TASK_PREEMPT") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  Agent a(enclave, 0, {.queue = &first});
  Agent b(enclave, 1, {.queue = &second, .default_queue = false});
  Task w(enclave, "W");
  first.Expect({"NEW W seq=1 runnable=1"});
  Task x(enclave, "X");
  first.Expect({"NEW X seq=1 runnable=1"});
  b.Yield();
  run.Want("W", std::string("COMPLETE"), a.Commit(1, w));
  run.Await("W runs", [&] { return OnCpu(w); });
  run.Want("X", std::string("COMPLETE"), a.Commit(1, x, {.run_flags = ELIDE_PREEMPT}));
  run.Await("X runs", [&] { return OnCpu(x); });
  run.Want("W's barrier", 1u, w.Barrier());
  run.Want("W can be run", std::string("COMPLETE"), a.Commit(1, w));
  first.Expect({"PREEMPT X seq=2 cpu=1"});
}

RULE("6", "BOOST_PRIO is set while the agent runs though another class wants its CPU") {
  run.Need(run.traits().simulated, kNoLoad);
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Yield();
  run.world().SetOtherClass(0, true, 0);
  run.Want("wake", int64_t{0}, enclave.ConfigWakeup(agent.queue().fd(), {{.cpu = 0, .prio = 0}}));
  agent.Back();
  run.Want("BOOST", (agent.Flags() & GHOST_SW_BOOST_PRIO) != 0);
  run.world().SetOtherClass(0, false, 0);
  run.Want("ping", int64_t{0}, agent.Ping(0));
  run.Want("BOOST after", (agent.Flags() & GHOST_SW_BOOST_PRIO) == 0);
}

RULE("6", "CPU_AVAIL is cleared while another class has the CPU") {
  run.Need(run.traits().simulated, kNoLoad);
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Yield();
  run.world().SetOtherClass(0, true, 0);
  run.Want("busy", (agent.Flags() & GHOST_SW_CPU_AVAIL) == 0);
  run.world().SetOtherClass(0, false, 0);
  run.Want("free", (agent.Flags() & GHOST_SW_CPU_AVAIL) != 0);
}

RULE("6", "another class takes the CPU from a ghost task: TASK_PREEMPT") {
  run.Need(run.traits().simulated, kNoLoad);
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  run.world().SetOtherClass(0, true, 0);
  agent.Expect({"PREEMPT W seq=2 cpu=0"});
}

// ---- 7 ----

RULE("7", "become agent: a thread that is one already, or a task: EPERM") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("again", Errno(EPERM), ResultText(BecomeAgent(enclave, agent.actor(), 0, agent.queue().fd())));
}

RULE("7", "become agent: a CPU that has an agent: EBUSY, before ENODEV and ENXIO") {
  Enclave enclave(run, {.cpus = "0"}), other(run, {.cpus = ""});
  Agent agent(enclave, 0);
  run.Want("here", Errno(EBUSY), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 0, agent.queue().fd())));
  run.Want("elsewhere", Errno(EBUSY), ResultText(BecomeAgent(other, *run.world().NewProcess(), 0, -1)));
}

RULE("7", "become agent: a CPU that is not in the enclave: ENODEV, before ENXIO") {
  Enclave enclave(run, {.cpus = "0"});
  run.Want("result", Errno(ENODEV), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 1, -1)));
}

RULE("7", "become agent: a READY transaction of the CPU ends with NO_AGENT") {
  Enclave enclave(run);
  Queue queue(enclave);
  ghost_txn& txn = enclave.Txn(0);
  txn.state = GHOST_TXN_READY;
  Agent agent(enclave, 0, {.queue = &queue});
  run.Want("state", std::string("NO_AGENT"), StateName(txn.state));
}

RULE("7", "become agent: no message, and it is not in tasks") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("messages", size_t{0}, agent.queue().Take().size());
  run.Want("tasks", std::string(""), enclave.Read("tasks"));
}

RULE("7", "become agent: the queue may be another enclave's") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Queue queue(other);
  run.Want("result", BecomeAgent(enclave, *run.world().NewProcess(), 0, queue.fd()) > 0);
}

RULE("7", "an agent's sched_setaffinity: EINVAL; its sched_setscheduler: EPERM") {
  run.Need(run.traits().ghost_policy, "not refused here");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("affinity", Errno(EINVAL), ResultText(SetAffinity(run, agent.actor(), 0, 1)));
  run.Want("policy", Errno(EPERM), ResultText(Do(run, agent.actor(), {Op::kSetPolicy, {0, 0}})));
}

RULE("7", "an agent's end: CANFREE on its word, which keeps its barrier and is not freed by itself") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  const uint32_t available = enclave.Header(0).available;
  run.world().Kill(agent.actor(), SIGKILL);
  run.Await("CANFREE", [&] { return (agent.Flags() & GHOST_SW_F_CANFREE) != 0; });
  run.Want("flags", std::string("INUSE|CANFREE|ALLOC|AGENT"), FlagNames(agent.Flags() & ~GHOST_SW_CPU_AVAIL));
  run.Want("barrier", barrier, agent.Barrier());
  run.Want("available", available, enclave.Header(0).available);
  run.Want("SW_FREE", int64_t{0}, enclave.Free(agent.sw()));
  run.Want("SW_GET_INFO", Errno(EINVAL), ResultText(enclave.GetInfo(GHOST_AGENT, 0)));
}

RULE("7", "an agent's end: a READY transaction of its CPU ends with NO_AGENT") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  ghost_txn& txn = agent.Prepare(0, GHOST_NULL_GTID);
  run.world().Kill(agent.actor(), SIGKILL);
  run.Await("NO_AGENT", [&] { return StateName(txn.state) == "NO_AGENT"; });
}

RULE("7", "an agent's end: its CPU stays in the enclave, and a new agent may come") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.world().Kill(agent.actor(), SIGKILL);
  run.Await("CANFREE", [&] { return (agent.Flags() & GHOST_SW_F_CANFREE) != 0; });
  run.Want("cpulist", std::string("0-1\n"), enclave.Read("cpulist"));
  Agent next(enclave, 0);
  Task task(enclave, "W");
  next.Expect({"NEW W seq=1 runnable=1"});
  next.Run(task);
}

RULE("7", "an agent's barrier starts at 0 after its predecessor's end") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("ping", int64_t{0}, agent.Ping(0));
  run.world().Kill(agent.actor(), SIGKILL);
  run.Await("CANFREE", [&] { return (agent.Flags() & GHOST_SW_F_CANFREE) != 0; });
  Queue queue(enclave);
  Agent next(enclave, 0, {.queue = &queue, .wakeup = false});
  run.Want("barrier", next.FreshBarrier() <= 1);
}

RULE("7", "an agent's children are ordinary threads") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("fork", Do(run, agent.actor(), {Op::kFork}) > 0);
  Actor& child = *run.world().Child();
  run.Want("tasks", std::string(""), enclave.Read("tasks"));
  Task task(enclave, "C", {.thread = &child});
  agent.queue().Expect({"NEW C seq=1 runnable=1"});
}

RULE("7", "an agent that sleeps in an ordinary system call: no ghost task runs on its CPU") {
  run.Need(!run.traits().user_mode, "ghostd does not see its agents sleep; in the simulation their sleep is one step");
}

// ---- 8 ----

RULE("8", "fork: the child is in the enclave, with the default queue, not its parent's") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Queue other(enclave);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, enclave.SetDefaultQueue(other.fd()));
  task.Post({Op::kFork});
  Message message;
  run.Await("the child's TASK_NEW", [&] { return other.Next(&message); });
  run.Want("type", std::string("TASK_NEW"), MessageTypeName(message.type));
  run.Want("two tasks", absl::StrCat(task.actor().tid(), "\n", run.world().Child()->tid(), "\n"),
           enclave.Read("tasks"));
}

RULE("8", "a forked child is run like any task, and ends like one") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  task.Post({Op::kFork});
  Message message;
  run.Await("the child's TASK_NEW", [&] { return agent.queue().Next(&message); });
  agent.Expect({"PREEMPT W seq=2 cpu=0"});
  Task child(enclave, "C", *run.world().Child(), GtidOf(message));
  child.actor().Post({Op::kExit});
  agent.Run(child);
  agent.Expect({"BLOCKED C seq=2 cpu=0", "DEAD C seq=3"});
}

RULE("8", "exec: gtid, queue and barrier go on") {
  run.Need(!run.traits().simulated, "there is no exec in the simulation");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  task.Post({Op::kExec});
  // It may sleep on the way (it reads a file), as often as it likes.
  for (int i = 0; i < 200 && !task.actor().Done() && !run.over(); ++i) {
    agent.Run(task);
    run.Await("done or off its CPU", [&] { return task.actor().Done() || !agent.away(); });
    run.Await("done or runnable", [&] { return task.actor().Done() || (task.Flags() & GHOST_SW_TASK_RUNNABLE) != 0; });
    if (!task.actor().Done()) agent.Back();
  }
  run.Want("it went on", task.actor().Done());
  run.Want("gtid", task.gtid(), static_cast<int64_t>(task.Word().gtid));
  run.Want("tasks", absl::StrCat(task.actor().tid(), "\n"), enclave.Read("tasks"));
}

RULE("8", "leaving and coming back: a new status word, the barrier starts again") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  run.Want("SW_FREE", int64_t{0}, enclave.Free(task.sw()));
  Task again(enclave, "W", {.thread = &task.actor()});
  agent.queue().Expect({"NEW W seq=1 runnable=1"});
  run.Want("word", again.sw().index != task.sw().index);
}

RULE("8", "leaving again while messages are held back: the second word is freed in silence") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  const Call leave = {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}};
  Do(run, run.world().Self(), leave);
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  const uint32_t available = enclave.Header(0).available;
  Task again(enclave, "W", {.thread = &task.actor()});
  run.Await("it is held", [&] { return again.Barrier() == 1; });
  run.Want("one less", available - 1, enclave.Header(0).available);
  Do(run, run.world().Self(), leave);
  run.Await("it is free again", [&] { return enclave.Header(0).available == available; });
  run.Want("messages", size_t{0}, agent.queue().Take().size());
}

RULE("8", "wake_on_waker_cpu: wake_up_cpu is the waker's") {
  run.Need(!run.traits().user_mode,
           "waker_cpu is the task's own in ghostd; in the simulation the suite has no CPU to wake from");
}

}  // namespace
}  // namespace ghost::conformance
