// Rules of sections 9 (destroying an enclave), 10 (ticks, timeouts), 11 (handing over) and 14 (what the
// public implementation's own tests of api, enclave, agent and channel ask of a kernel, where it stands nowhere else).
#include <signal.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

bool OnCpu(Task& task) { return (task.Flags() & GHOST_SW_TASK_ONCPU) != 0; }

// ---- 9 ----

RULE("9", "destroy: the agents are killed") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  enclave.Destroy();
  run.Await("the agent's end", [&] { return agent.actor().Ended(); });
}

RULE("9", "destroy: the tasks run on as ordinary threads, whatever they were doing") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task running(enclave, "A");
  agent.Expect({"NEW A seq=1 runnable=1"});
  Task waiting(enclave, "B"), asleep(enclave, "C", {.asleep = true});
  run.Await("all are known", [&] { return waiting.Barrier() == 1 && asleep.Barrier() == 1; });
  agent.queue().Take();
  agent.Run(running);
  enclave.Destroy();
  for (Task* task : {&running, &waiting}) {
    task->actor().Post({Op::kYield});
    run.Await("it runs on", [&] { return task->actor().Done(); });
  }
  asleep.Wake();
  run.Await("it wakes up", [&] { return asleep.actor().Done(); });
}

RULE("9", "destroy: its CPUs are free for others") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Agent agent(enclave, 0);
  enclave.Destroy();
  run.Await("the CPUs", [&] { return other.Write("cpulist", "0-1") == 3; });
}

RULE("9", "destroy: its id can be used again") {
  Enclave enclave(run);
  enclave.Destroy();
  const std::string create = absl::StrCat("create ", enclave.id(), " ", run.abi().number);
  run.Want("create", static_cast<int64_t>(create.size()), Write(run, "ctl", create));
}

RULE("9", "destroy: TASK_DEPARTED of each task goes to its queue still, whose mapping stays") {
  Enclave enclave(run);
  Queue queue(enclave);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, enclave.SetDefaultQueue(queue.fd()));
  Task task(enclave, "W", {.asleep = true});
  queue.Expect({"NEW W seq=1 runnable=0"});
  enclave.Destroy();
  queue.Expect({"DEPARTED W seq=2 cpu=0 current=0"});
}

RULE("9", "destroy: a second one through an old descriptor: ENODEV") {
  Enclave enclave(run);
  enclave.Destroy();
  run.Want("result", Errno(ENODEV), ResultText(WriteFd(run, enclave.ctl(), "destroy")));
}

RULE("9", "destroy: other enclaves go on") {
  Enclave enclave(run, {.cpus = "0"}), other(run, {.cpus = "1"});
  Agent agent(other, 1);
  Task task(other, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  enclave.Destroy();
  agent.Run(task);
  task.Block();
  agent.Expect({"BLOCKED W seq=2 cpu=1"});
}

RULE("9", "destroy: messages of a thread that are held back for it come again in another enclave") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Agent agent(enclave, 0);
  Queue queue(other);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, other.SetDefaultQueue(queue.fd()));
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  Task again(other, "W", {.thread = &task.actor()});
  run.Await("it is held", [&] { return again.Barrier() == 1; });
  run.Want("messages", size_t{0}, queue.Take().size());
  enclave.Destroy();
  queue.Expect({"NEW W seq=2 runnable=1"});
}

// ---- 10 ----

RULE("10", "runnable_timeout: a task that waits longer destroys the enclave") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  run.Want("write", int64_t{2}, enclave.Write("runnable_timeout", "20"));
  run.Await("its end", [&] { return !run.world().Stat(enclave.name()).has_value(); });
  run.Await("the agent's end", [&] { return agent.actor().Ended(); });
}

RULE("10", "runnable_timeout: tasks that run or sleep do not count") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task running(enclave, "A");
  agent.Expect({"NEW A seq=1 runnable=1"});
  Task asleep(enclave, "B", {.asleep = true});
  agent.Expect({"NEW B seq=1 runnable=0"});
  agent.Run(running);
  run.Want("write", int64_t{2}, enclave.Write("runnable_timeout", "20"));
  const int64_t start = run.world().NowNs();
  run.Await("100 ms", [&] { return run.world().NowNs() > start + 100'000'000; });
  run.Want("it is there", run.world().Stat(enclave.name()).has_value());
}

RULE("10", "runnable_timeout 0: a task may wait for ever") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  const int64_t start = run.world().NowNs();
  run.Await("60 ms", [&] { return run.world().NowNs() > start + 60'000'000; });
  run.Want("it is there", run.world().Stat(enclave.name()).has_value());
}

RULE("10", "a CPU that goes offline: its task is preempted; nothing runs there until it is back") {
  run.Need(run.traits().simulated, "takes a CPU offline: only in the simulation");
  Enclave enclave(run);
  Queue second(enclave);
  Agent a(enclave, 0);
  Agent b(enclave, 1, {.queue = &second, .default_queue = false});
  Task task(enclave, "W");
  a.Expect({"NEW W seq=1 runnable=1"});
  b.Yield();
  run.Want("commit", std::string("COMPLETE"), a.Commit(1, task));
  run.Await("it runs", [&] { return OnCpu(task); });
  run.world().SetOnline(1, false);
  a.queue().Expect({"PREEMPT W seq=2 cpu=1"});
  run.Want("commit there", std::string("CPU_OFFLINE"), a.Commit(1, task));
  run.world().SetOnline(1, true);
  run.Want("commit again", std::string("COMPLETE"), a.Commit(1, task));
}

// ---- 11 ----

RULE("11", "hand-over: a new agent finds the tasks by their status words and takes their queues over") {
  Enclave enclave(run);
  Task asleep(enclave, "A", {.asleep = true});
  {
    Agent old(enclave, 0);
    run.world().Kill(old.actor(), SIGKILL);
    run.Await("the old one's end", [&] { return (old.Flags() & GHOST_SW_F_CANFREE) != 0; });
    run.Want("SW_FREE", int64_t{0}, enclave.Free(old.sw()));
  }
  Agent agent(enclave, 0);
  const ghost_status_word word = enclave.Word(asleep.sw());
  run.Want("in use", (word.flags & (GHOST_SW_F_INUSE | GHOST_SW_TASK_IS_AGENT)) == GHOST_SW_F_INUSE);
  run.Want("ASSOC_QUEUE", int64_t{0},
           enclave.Associate(agent.queue().fd(), static_cast<int64_t>(word.gtid), word.barrier));
  asleep.Wake();
  agent.queue().Expect({"WAKEUP A seq=2 deferrable=1 last=0"});
}

RULE("11", "hand-over: tasks wait while there is no agent, and run with the next one") {
  Enclave enclave(run);
  Task task(enclave, "W");
  Agent agent(enclave, 0);
  run.Await("it is held", [&] { return task.Barrier() == 1; });
  run.Want("ASSOC_QUEUE", int64_t{0}, enclave.Associate(agent.queue().fd(), task.gtid(), 1));
  agent.Run(task);
  task.Block();
  agent.Expect({"BLOCKED W seq=2 cpu=0"});
}

// ---- 14 ----

RULE("14", "agent_test GetStatusWordInfo: a CPU that can't be: EINVAL") {
  run.OfThisAbi(run.abi().number >= 75, "kernels of ABI 69 give ENODEV");
  Enclave enclave(run);
  run.Want("-1", Errno(EINVAL), ResultText(enclave.GetInfo(GHOST_AGENT, ~uint64_t{0})));
  run.Want("99999", Errno(EINVAL), ResultText(enclave.GetInfo(GHOST_AGENT, 99999)));
}

RULE("14", "agent_test Ping: every agent of a process wakes up when it is pinged") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  Actor& leader = *run.world().NewProcess();
  Agent a(enclave, 0, {.thread = &NewThread(run, leader), .queue = &first});
  Agent b(enclave, 1, {.thread = &NewThread(run, leader), .queue = &second, .default_queue = false});
  a.Yield();
  b.Yield();
  for (int cpu : {0, 1}) {
    const ghost_ioc_run ping = {.gtid = GHOST_AGENT_GTID, .run_cpu = cpu};
    run.Want("ping", int64_t{0}, enclave.Ioctl(GHOST_IOC_RUN, ping, &leader));
  }
  run.Want("a", int64_t{0}, a.Back());
  run.Want("b", int64_t{0}, b.Back());
}

RULE("14", "agent_test FailToBecomeAgent: without a default queue it fails, and the thread's affinity is as before") {
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  run.Want("result", Errno(ENXIO), ResultText(BecomeAgent(enclave, thread, 0, -1)));
  Queue queue(enclave);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, enclave.SetDefaultQueue(queue.fd()));
  run.Want("then", BecomeAgent(enclave, thread, 0, -1) > 0);
}

RULE("14", "api_test RunDeadTask: committing a task that is exiting neither crashes nor hangs") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  run.world().Kill(task.actor(), SIGKILL);
  const std::string state = agent.Commit(0, task);
  run.Want("state: " + state, state == "COMPLETE" || state == "TARGET_STALE" || state == "TARGET_NOT_FOUND" ||
                                  state == "INVALID_TARGET" || state == "AGENT_STALE");
  agent.queue().Expect({"BLOCKED W seq=2 cpu=0", "DEAD W seq=3"});
  agent.Back();
}

RULE("14", "api_test KernelTimes: commit_time and switch_time lie between the commit's begin and end") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  const int64_t before = run.world().NowNs();
  agent.Run(task);
  const int64_t after = run.world().NowNs();
  const int64_t commit = enclave.Txn(0).commit_time, start = task.Word().switch_time;
  run.Want("commit_time", commit >= before && commit <= after);
  run.Want("switch_time", start >= commit && start <= after);
}

RULE("14", "api_test SchedAffinityRace: a commit while another thread changes the task's affinity") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  for (int i = 0; i < 10 && !run.over(); ++i) {
    agent.Commit(0, task);
    run.Want("sched_setaffinity", int64_t{0}, SetAffinity(run, run.world().Self(), task.actor().tid(), 3));
    agent.Back();
    run.Await("it is off its CPU", [&] { return !OnCpu(task); });
  }
  agent.queue().Take();
  run.Want("then", std::string("COMPLETE"), agent.Commit(0, task));
}

RULE("14", "api_test DepartedRace: a task that leaves while it is run") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  for (int i = 0; i < 10 && !run.over(); ++i) {
    Task task(enclave, absl::StrCat("W", i));
    Message message;
    run.Await("NEW", [&] { return agent.queue().Next(&message); });
    agent.Commit(0, task);
    Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
    agent.Back();
    run.Await("DEPARTED", [&] { return agent.queue().Next(&message) && message.type == MSG_TASK_DEPARTED; });
    run.Want("SW_FREE", int64_t{0}, enclave.Free(task.sw()));
    run.world().Kill(task.actor(), SIGKILL);
  }
}

RULE("14", "enclave_test DestroyAndSetsched: a thread that enters while the enclave is destroyed") {
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  const int64_t fd = Open(run, enclave.Path("tasks"), O_WRONLY);
  enclave.Destroy();
  const int64_t result = WriteFd(run, fd, std::to_string(thread.tid()));
  run.Want("ENODEV or EXDEV", result == -ENODEV || result == -EXDEV);
}

RULE("14", "enclave_test KillActiveEnclave: destroyed with its agent at work; whoever wrote `destroy` lives") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  enclave.Destroy();
  run.Await("the agent's end", [&] { return agent.actor().Ended(); });
  run.Want("the kernel answers", !Read(run, "version").empty());
}

RULE("14", "enclave_test SetCpus, MmapTxn: CPUs come and go, and each has its transaction") {
  Enclave enclave(run, {.cpus = ""});
  for (const char* cpus : {"0", "0-2", "1-3", "2"}) {
    run.Want(cpus, static_cast<int64_t>(std::string(cpus).size()), enclave.Write("cpulist", cpus));
    run.Want("cpulist", absl::StrCat(cpus, "\n"), enclave.Read("cpulist"));
  }
  for (int cpu = 0; cpu < 4; ++cpu) run.Want("cpu", cpu, enclave.Txn(cpu).cpu);
}

RULE("14", "channel_test MaxElements, Wakeup, Associate: see 2.3, 4.1 and 2.4; here all three in one story") {
  Enclave enclave(run);
  Queue first(enclave, 64), second(enclave, 64);
  Agent agent(enclave, 0, {.queue = &first});
  agent.Yield();
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("ASSOC_QUEUE", int64_t{0}, enclave.Associate(second.fd(), task.gtid(), 1));
  task.Wake();
  second.Expect({"WAKEUP W seq=2 deferrable=1 last=0"});
  run.Want("the first one's", size_t{0}, first.Take().size());
}

RULE("14", "capabilities_test: without CAP_SYS_NICE neither RUN nor become agent (EPERM)") {
  run.Need(false, "every actor of this suite is root's; tests/e2e runs agents without rights");
}

}  // namespace
}  // namespace ghost::conformance
