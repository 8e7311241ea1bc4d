// Rules of sections 4 (messages, in their order) and 4.1 (whom they wake).
#include <cerrno>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// An enclave with an agent on CPU 0, and a task that has been announced.
struct Stage {
  explicit Stage(Run& run) : enclave(run), agent(enclave, 0), task(enclave, "W") {
    agent.Expect({"NEW W seq=1 runnable=1"});
  }
  uint64_t tid() { return static_cast<uint64_t>(task.actor().tid()); }

  // The task makes a child: the child's TASK_NEW. (A real thread may sleep on the way, for memory or a lock.)
  TaskNew Breed(Op op) {
    Run& run = enclave.run();
    agent.Run(task);
    task.Post({op});
    for (;;) {
      Message message;
      if (!run.Await("TASK_NEW", [&] { return agent.queue().Next(&message); })) return {};
      if (const auto* payload = std::get_if<TaskNew>(&message.payload); payload != nullptr) return *payload;
      agent.Back();
      ++next_seqnum;
      if (message.type == MSG_TASK_WAKEUP) agent.Run(task);
      if (message.type != MSG_TASK_WAKEUP && message.type != MSG_TASK_BLOCKED) run.Differ(TextOf(run, message));
    }
  }
  Enclave enclave;
  Agent agent;
  Task task;
  uint32_t next_seqnum = 2;  // after Breed: of the task's next message
};

template <typename Payload>
Payload NextPayload(Run& run, Queue& queue) {
  Message message;
  run.Await("a message", [&] { return queue.Next(&message); });
  const auto* payload = std::get_if<Payload>(&message.payload);
  if (payload == nullptr) run.Differ(absl::StrCat("another message: ", TextOf(run, message)));
  return payload == nullptr ? Payload{} : *payload;
}

// ---- 4 ----

RULE("4", "TASK_NEW: runnable, runtime so far, status word, nice") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Actor& thread = *run.world().NewProcess();
  Do(run, run.world().Self(), {Op::kSetNice, {static_cast<uint64_t>(thread.tid()), 3}});
  Task task(enclave, "W", {.thread = &thread});
  const auto message = NextPayload<TaskNew>(run, agent.queue());
  run.Want("gtid", task.gtid(), message.gtid);
  run.Want("runnable", message.runnable);
  run.Want("sw region", task.sw().id, message.sw_info.id);
  run.Want("sw index", task.sw().index, message.sw_info.index);
  run.Want("nice", run.abi().task_new.nice >= 0 ? 3 : -100, message.nice.value_or(-100));
  run.Want("parent", int64_t{0}, message.parent_gtid);
}

RULE("4", "TASK_NEW of a thread that sleeps: runnable = 0, at once") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
}

RULE("4", "TASK_BLOCKED: cpu and cpu_seqnum, which counts on the CPU's events; runtime as the status word has it") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Block();
  const auto first = NextPayload<TaskBlocked>(run, s.agent.queue());
  s.agent.Back();
  run.Want("cpu", 0, first.cpu);
  run.Want("runtime", s.task.Word().runtime, first.runtime_ns);
  run.Want("from_switchto", !first.from_switchto);
  s.task.Wake();
  s.agent.Expect({"WAKEUP W seq=3 deferrable=1 last=0"});
  s.agent.Run(s.task);
  s.task.Block();
  const auto second = NextPayload<TaskBlocked>(run, s.agent.queue());
  // The latch, the commit, and the message: one each.
  run.Want("cpu_seqnum", first.cpu_seqnum + 3, second.cpu_seqnum);
}

RULE("4", "TASK_WAKEUP: deferrable after a nanosleep") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kNap, {1'000'000}});
  s.agent.Expect({"BLOCKED W seq=2 cpu=0"});
  s.agent.queue().Expect({"WAKEUP W seq=3 deferrable=1 last=0"});
}

RULE("4", "TASK_WAKEUP: last_ran_cpu is where it ran, and wake_up_cpu the same") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Block();
  s.agent.Expect({"BLOCKED W seq=2 cpu=0"});
  s.task.Wake();
  const auto message = NextPayload<TaskWakeup>(run, s.agent.queue());
  run.Want("last_ran_cpu", 0, message.last_ran_cpu);
  run.Want("wake_up_cpu", 0, message.wake_up_cpu);
  run.Want("agent_data", uint64_t{0}, message.agent_data);
}

RULE("4", "TASK_YIELD after sched_yield, like TASK_BLOCKED; the task is runnable") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kYield});
  s.agent.Expect({"YIELD W seq=2 cpu=0"});
  run.Want("flags", std::string("INUSE|ALLOC|RUNNABLE"), FlagNames(s.task.Flags()));
}

RULE("4", "TASK_PREEMPT when another task is given its CPU: not latched, its cpu") {
  Stage s(run);
  Queue other(s.enclave);
  Agent remote(s.enclave, 1, {.queue = &other, .default_queue = false});
  Task second(s.enclave, "X");
  s.agent.Expect({"NEW X seq=1 runnable=1"});
  s.agent.Run(s.task);
  run.Want("commit from elsewhere", std::string("COMPLETE"), remote.Commit(0, second));
  s.agent.Expect({"PREEMPT W seq=2 cpu=0"});
}

RULE("4", "TASK_PREEMPT when its agent gets the CPU back") {
  Stage s(run);
  s.agent.Run(s.task);
  Task other(s.enclave, "X", {.asleep = true});
  s.agent.Expect({"NEW X seq=1 runnable=0", "PREEMPT W seq=2 cpu=0"});
}

RULE("4", "TASK_PREEMPT with was_latched when a latched task loses its latch to another") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task w(enclave, "W");
  a.queue().Expect({"NEW W seq=1 runnable=1"});
  Task x(enclave, "X");
  a.queue().Expect({"NEW X seq=1 runnable=1"});
  const TxnOptions deferred = {.run_flags = DEFER_LATCHED_PREEMPTION_BY_AGENT};
  run.Want("W", std::string("COMPLETE"), a.Commit(1, w, deferred));
  run.Want("X", std::string("COMPLETE"), a.Commit(1, x, deferred));
  a.queue().Expect({"PREEMPT W seq=2 cpu=1 latched"});
}

RULE("4", "exit: TASK_BLOCKED, then TASK_DEAD; CANFREE is set when either is read") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kExit});
  s.agent.Expect({"BLOCKED W seq=2 cpu=0", "DEAD W seq=3"});
  run.Want("flags", std::string("INUSE|CANFREE|ALLOC"), FlagNames(s.task.Flags()));
}

RULE("4", "a task that is killed while it sleeps: TASK_DEAD") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.world().Kill(task.actor(), 9);
  agent.queue().Expect({"DEAD W seq=2"});
}

RULE("4", "TASK_DEAD says the cpu from ABI 89") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kExit});
  s.agent.queue().Expect({"BLOCKED W seq=2 cpu=0"});
  const auto message = NextPayload<TaskDead>(run, s.agent.queue());
  run.Want("cpu", run.abi().task_dead_size > 8 ? 0 : -100, message.cpu.value_or(-100));
}

RULE("4", "TASK_DEPARTED of a task that is off its CPU: was_current = 0, CANFREE and MSG_GATED") {
  Stage s(run);
  run.Want("leave", int64_t{0}, Do(run, run.world().Self(), {Op::kSetPolicy, {s.tid(), 0}}));
  s.agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  run.Want("CANFREE and GATED", (GHOST_SW_F_CANFREE | GHOST_SW_TASK_MSG_GATED),
           s.task.Flags() & (GHOST_SW_F_CANFREE | GHOST_SW_TASK_MSG_GATED));
}

RULE("4", "TASK_DEPARTED of a task by itself: was_current = 1") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kSetPolicy, {0, 0}});
  s.agent.Expect({"DEPARTED W seq=2 cpu=0 current=1"});
  run.Want("its call's result", int64_t{0}, s.task.Result());
}

RULE("4", "TASK_AFFINITY_CHANGED of a sleeping task, by somebody else; it does not wake the agent") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("sched_setaffinity", int64_t{0}, SetAffinity(run, run.world().Self(), task.actor().tid(), 1));
  agent.queue().Expect({"AFFINITY_CHANGED W seq=2"});
  run.Want("the agent's barrier", barrier, agent.FreshBarrier());
}

RULE("4", "TASK_AFFINITY_CHANGED of a running task, by itself: TASK_PREEMPT follows") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kSetAffinity, {0, 3}});
  s.agent.Expect({"AFFINITY_CHANGED W seq=2", "PREEMPT W seq=3 cpu=0"});
}

RULE("4", "TASK_PRIORITY_CHANGED with the new nice, from ABI 75; a running task is preempted, the agent woken") {
  Stage s(run);
  s.agent.Run(s.task);
  s.task.Post({Op::kSetNice, {0, 5}});
  if (run.abi().priority_changed) {
    s.agent.Expect({"PRIORITY_CHANGED W seq=2 nice=5", "PREEMPT W seq=3 cpu=0"});
  } else {
    s.agent.Expect({"PREEMPT W seq=2 cpu=0"});
  }
}

RULE("4", "TASK_PRIORITY_CHANGED of a sleeping task, by somebody else: the agent is woken") {
  run.OfThisAbi(run.abi().priority_changed, "this ABI has no such message");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  agent.Yield();
  const Call nice = {Op::kSetNice, {static_cast<uint64_t>(task.actor().tid()), 2}};
  run.Want("setpriority", int64_t{0}, Do(run, run.world().Self(), nice));
  agent.Expect({"PRIORITY_CHANGED W seq=2 nice=2"});
}

RULE("4", "TASK_ON_CPU (TASK_LATCHED up to 77) when the task gets on its CPU, if the commit asked for it") {
  Stage s(run);
  s.agent.Run(s.task, SEND_TASK_ON_CPU);
  s.agent.queue().Expect({"ON_CPU W seq=2 cpu=0"});
  s.task.Block();
  s.agent.Expect({"BLOCKED W seq=3 cpu=0"});
}

RULE("4", "TASK_ON_CPU once for each commit: not by one that does not ask") {
  Stage s(run);
  s.agent.Run(s.task, SEND_TASK_ON_CPU);
  s.agent.queue().Expect({"ON_CPU W seq=2 cpu=0"});
  s.task.Post({Op::kYield});
  s.agent.Expect({"YIELD W seq=3 cpu=0"});
  s.agent.Run(s.task);
  s.task.Block();
  s.agent.Expect({"BLOCKED W seq=4 cpu=0"});
}

RULE("4", "a latch that is lost: TASK_LATCHED before TASK_PREEMPT up to ABI 77, TASK_PREEMPT alone later") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task w(enclave, "W");
  a.queue().Expect({"NEW W seq=1 runnable=1"});
  Task x(enclave, "X");
  a.queue().Expect({"NEW X seq=1 runnable=1"});
  const TxnOptions with = {.run_flags = DEFER_LATCHED_PREEMPTION_BY_AGENT | SEND_TASK_ON_CPU};
  run.Want("W", std::string("COMPLETE"), a.Commit(1, w, with));
  run.Want("X", std::string("COMPLETE"), a.Commit(1, x, with));
  if (run.abi().latched_message) {
    a.queue().Expect({"ON_CPU W seq=2 cpu=1 lost", "PREEMPT W seq=3 cpu=1 latched"});
  } else {
    a.queue().Expect({"PREEMPT W seq=2 cpu=1 latched"});
  }
}

RULE("4", "CPU_TICK with deliver_ticks while a task or the agent is current; its seqnum is the agent's barrier") {
  Stage s(run);
  s.agent.Run(s.task);
  run.Want("deliver_ticks", int64_t{1}, s.enclave.Write("deliver_ticks", "1"));
  Message message;
  run.Await("a tick", [&] { return s.agent.queue().Next(&message); });
  run.Want("type", std::string("CPU_TICK"), MessageTypeName(message.type));
  run.Want("cpu", 0, CpuOf(message));
  s.agent.Back();
}

RULE("4", "no CPU_TICK without deliver_ticks") {
  Stage s(run);
  s.agent.Run(s.task);
  const int64_t start = run.world().NowNs();
  run.Await("20 ms", [&] { return run.world().NowNs() > start + 20'000'000; });
  s.task.Block();
  s.agent.Expect({"BLOCKED W seq=2 cpu=0"});
}

RULE("4", "CPU_TICK says whether the agent was current, from ABI 90") {
  run.OfThisAbi(run.abi().cpu_tick_size > 4, "this ABI's message does not say");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("deliver_ticks", int64_t{1}, enclave.Write("deliver_ticks", "1"));
  run.Want("is_agent", NextPayload<CpuTick>(run, agent.queue()).is_agent);
}

RULE("4", "CPU_NOT_IDLE when another class takes the CPU of an idle run with NEED_CPU_NOT_IDLE; once") {
  run.Need(run.traits().simulated, "other classes' load is not seen by ghostd");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("commit", std::string("COMPLETE"), agent.Commit(0, GHOST_IDLE_GTID, {.run_flags = NEED_CPU_NOT_IDLE}));
  run.world().SetOtherClass(0, true, run.world().Self().tid());
  const auto message = NextPayload<CpuNotIdle>(run, agent.queue());
  run.Want("cpu", 0, message.cpu);
  run.Want("next_gtid", enclave.GtidOf(run.world().Self()), message.next_gtid);
  agent.Back();
}

RULE("4", "CPU_BUSY and CPU_AVAILABLE with deliver_cpu_availability, from ABI 71") {
  run.OfThisAbi(run.abi().cpu_availability, "this ABI has no such message");
  run.Need(run.traits().simulated, "other classes' load is not seen by ghostd");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("deliver", int64_t{1}, enclave.Write("deliver_cpu_availability", "1"));
  agent.Yield();
  run.Await("AVAILABLE", [&] { return agent.queue().ring().head != 0; });
  agent.queue().Expect({"AVAILABLE 0"});
  run.world().SetOtherClass(0, true, 0);
  agent.queue().Expect({"BUSY 0"});
  run.world().SetOtherClass(0, false, 0);
  agent.queue().Expect({"AVAILABLE 0"});
}

RULE("4", "CPU_AGENT_BLOCKED and CPU_AGENT_WAKEUP with deliver_agent_runnability, from ABI 72") {
  run.OfThisAbi(run.abi().agent_runnability, "this ABI has no such message");
  run.Need(run.traits().simulated || !run.traits().user_mode, "ghostd does not see its agents sleep");
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("deliver", int64_t{1}, enclave.Write("deliver_agent_runnability", "1"));
  Do(run, agent.actor(), {Op::kNap, {1'000'000}});
  agent.queue().Expect({"AGENT_BLOCKED 0", "AGENT_WAKEUP 0"});
}

RULE("4", "TASK_SWITCHTO: never, for there is no such system call") {
  run.Need(false, "no public ghost kernel has the system call");
}

RULE("4", "fork: the child's TASK_NEW, with its parent's gtid from ABI 77, then the parent's TASK_PREEMPT") {
  Stage s(run);
  const auto message = s.Breed(Op::kFork);
  Actor& child = *run.world().Child();
  run.Want("gtid", s.enclave.GtidOf(child), message.gtid);
  run.Want("parent", run.abi().task_new.parent_gtid >= 0 ? s.task.gtid() : 0, message.parent_gtid);
  run.Want("runnable", message.runnable);
  s.agent.Expect({absl::StrCat("PREEMPT W seq=", s.next_seqnum, " cpu=0")});
}

RULE("4", "thread creation: the same") {
  Stage s(run);
  const auto message = s.Breed(Op::kThread);
  run.Want("gtid", s.enclave.GtidOf(*run.world().Child()), message.gtid);
  s.agent.Expect({absl::StrCat("PREEMPT W seq=", s.next_seqnum, " cpu=0")});
}

// ---- 4.1 ----

RULE("4.1", "a message wakes the agent that its queue names, and moves its barrier by one") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  Task task(enclave, "W", {.asleep = true});
  agent.queue().Expect({"NEW W seq=1 runnable=0"});
  run.Want("barrier", barrier + 1, agent.FreshBarrier());
}

RULE("4.1", "of two targets the first is woken, unless the task's CPU is the other one") {
  Enclave enclave(run);
  Agent a(enclave, 0);
  Queue second(enclave);
  Agent b(enclave, 1, {.queue = &second, .default_queue = false});
  run.Want("config", int64_t{0}, enclave.ConfigWakeup(a.queue().fd(), {{.cpu = 0, .prio = 0}, {.cpu = 1, .prio = 0}}));
  Task task(enclave, "W");
  a.queue().Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("commit on CPU 1", std::string("COMPLETE"), a.Commit(1, task));
  const uint32_t barrier = a.FreshBarrier();
  task.Block();
  a.queue().Expect({"BLOCKED W seq=2 cpu=1"});
  run.Want("b is back", int64_t{0}, b.Back());
  run.Want("a's barrier", barrier, a.FreshBarrier());
}

RULE("4.1", "a queue without targets wakes nobody") {
  Enclave enclave(run);
  Agent agent(enclave, 0, {.wakeup = false});
  const uint32_t barrier = agent.FreshBarrier();
  Task task(enclave, "W", {.asleep = true});
  agent.queue().Expect({"NEW W seq=1 runnable=0"});
  run.Want("barrier", barrier, agent.FreshBarrier());
}

RULE("4.1", "a signal brings the agent back from RUN") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Yield();
  run.Want("away", agent.away());
  // One that is ignored would not be seen; SIGCONT is neither that nor fatal.
  Do(run, run.world().Self(), {Op::kSignal, {static_cast<uint64_t>(agent.actor().tid()), 18}});
  run.Need(run.traits().simulated || !run.traits().user_mode, "FUSE tells only of signals that the thread handles");
  run.Await("its return", [&] { return agent.actor().Done(); });
}

RULE("4.1", "the agent's copy of its barrier is brought up to date when it gets its CPU back") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  agent.Yield();
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("the word's", barrier + 1, agent.Barrier());
}

RULE("4.1", "the agent's copy of its barrier stays behind while the agent runs") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  Task task(enclave, "W", {.asleep = true});
  agent.queue().Expect({"NEW W seq=1 runnable=0"});
  run.Want("the word's", barrier, agent.Barrier());
  run.Want("the kernel's", barrier + 1, agent.FreshBarrier());
}

}  // namespace
}  // namespace ghost::conformance
