// Rules of sections 1.3 (commands of an enclave's ctl) and 1.4 (the file tasks).
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// ---- 1.3 ----

struct Command {
  const char* text;
  int error;
  const char* what;
};

constexpr Command kCommands[] = {
    {"create sw_region 7 0 trailing", 0, "create sw_region: what follows the numbers is ignored"},
    {"create  sw_region  7  0\n", 0, "create sw_region: several blanks are one"},
    {"create sw_region 0 0", EEXIST, "create sw_region: an id that is in use: EEXIST"},
    {"create sw_region 1 64", ENODEV, "create sw_region: a node that is not there: ENODEV"},
    {"create sw_region 1 -1", ENODEV, "create sw_region: node -1: ENODEV"},
    {"create sw_region x", EINVAL, "create sw_region: no numbers: EINVAL"},
    {"create sw_region 1", EINVAL, "create sw_region: one number: EINVAL"},
    {"discover tasks", 0, "discover tasks"},
    {"discover tasks\n", 0, "one newline at the end is fine"},
    {"discover tasks\nx", 0, "what follows the first newline is ignored"},
    {"discover tasks x", EINVAL, "discover tasks: exactly this: else EINVAL"},
    {"disable my bpf_prog_load", 0, "disable my bpf_prog_load"},
    {"disable my bpf_prog_load ", EINVAL, "disable my bpf_prog_load: exactly this: else EINVAL"},
    {"destroyx", EINVAL, "destroy: exactly this: else EINVAL"},
    {" destroy", EINVAL, "destroy: a blank before it: EINVAL"},
    {"become agent", EINVAL, "become agent: no number: EINVAL"},
    {"\n", EINVAL, "an empty line: EINVAL"},
    {"bogus", EINVAL, "any other word: EINVAL"},
};

const bool kCommandsAdded = [] {
  for (const Command& command : kCommands) {
    AddRule("1.3", command.what, [command](Run& run) {
      Enclave enclave(run);
      const int64_t expected = command.error == 0 ? static_cast<int64_t>(strlen(command.text)) : -command.error;
      run.Want("result", ResultText(expected), ResultText(enclave.Write("ctl", command.text)));
    });
  }
  return true;
}();

RULE("1.3", "create sw_region: makes sw_regions/sw_<id> of mode 0440 and 2 MiB") {
  Enclave enclave(run, {.words = false});
  run.Want("result", int64_t{20}, enclave.Write("ctl", "create sw_region 3 0"));
  const FileInfo info = run.world().Stat(enclave.Path("sw_regions/sw_3")).value_or(FileInfo{});
  run.Want("mode", uint32_t{S_IFREG | 0440}, info.mode);
  run.Want("size", uint64_t{2} << 20, info.size);
}

RULE("1.3", "become agent: a descriptor below -1: EBADF") {
  Enclave enclave(run);
  run.Want("result", Errno(EBADF), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 0, -2)));
}

RULE("1.3", "become agent: a descriptor that is not open: EBADF") {
  Enclave enclave(run);
  run.Want("result", Errno(EBADF), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 0, 200)));
}

RULE("1.3", "become agent: a descriptor that is no queue: EBADF") {
  Enclave enclave(run);
  run.Want("result", Errno(EBADF), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 0, enclave.ctl())));
}

RULE("1.3", "become agent: -1 without a default queue: ENXIO") {
  Enclave enclave(run);
  run.Want("result", Errno(ENXIO), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 0, -1)));
}

RULE("1.3", "become agent: -1 takes the default queue") {
  Enclave enclave(run);
  Queue queue(enclave);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, enclave.SetDefaultQueue(queue.fd()));
  Actor& thread = *run.world().NewProcess();
  run.Want("become agent", BecomeAgent(enclave, thread, 0, -1) > 0);
  // Its barrier: what woke the CPU's agent before there was one counts, too.
  ghost_sw_info info;
  run.Want("SW_GET_INFO", int64_t{0}, enclave.GetInfo(GHOST_AGENT, 0, &info));
  const ghost_ioc_run stale = {.gtid = 0, .agent_barrier = enclave.Word(info).barrier - 1, .run_cpu = 0};
  run.Want("RUN", Errno(ESTALE), ResultText(enclave.Ioctl(GHOST_IOC_RUN, stale, &thread)));
  run.Want("ASSOC_QUEUE says that it has it already", int64_t{GHOST_ASSOC_SF_ALREADY},
           enclave.Associate(queue.fd(), enclave.GtidOf(thread), enclave.Word(info).barrier));
}

RULE("1.3", "discover tasks: TASK_NEW again for each task, with the barrier's next value; no agent is woken") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task asleep(enclave, "A", {.asleep = true}), runnable(enclave, "B");
  agent.Expect({"NEW A seq=1 runnable=0", "NEW B seq=1 runnable=1"});
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("discover", int64_t{14}, enclave.Write("ctl", "discover tasks"));
  agent.queue().Expect({"NEW A seq=2 runnable=0", "NEW B seq=2 runnable=1"});
  run.Want("the agent's barrier", barrier, agent.FreshBarrier());
}

RULE("1.3", "destroy: ctl is gone when the write returns") {
  Enclave enclave(run);
  run.Want("destroy", int64_t{7}, enclave.Write("ctl", "destroy"));
  run.Want("ctl", !run.world().Stat(enclave.Path("ctl")).has_value());
}

// ---- 1.4 ----

struct Entry {
  const char* text;
  int error;
  const char* what;
};

constexpr Entry kEntries[] = {
    {"abc", EINVAL, "no number: EINVAL"},      {"\n", EINVAL, "an empty line: EINVAL"},
    {"0x", EINVAL, "0x alone: EINVAL"},        {" 5", EINVAL, "a blank before it: EINVAL"},
    {"-5", ESRCH, "a negative number: ESRCH"}, {"4194303", ESRCH, "nobody's id: ESRCH"},
};

const bool kEntriesAdded = [] {
  for (const Entry& entry : kEntries) {
    AddRule("1.4", entry.what, [entry](Run& run) {
      Enclave enclave(run);
      run.Want("result", Errno(entry.error), ResultText(enclave.Write("tasks", entry.text)));
    });
  }
  return true;
}();

RULE("1.4", "a number beyond int: ERANGE without gtids (ABI 69), else a gtid: ESRCH if it is nobody's") {
  Enclave enclave(run);
  const int error = run.abi().tasks_accept_gtid ? ESRCH : ERANGE;
  run.Want("result", Errno(error), ResultText(enclave.Write("tasks", "99999999999")));
  run.Want("beyond 64 bits", Errno(ERANGE), ResultText(enclave.Write("tasks", "99999999999999999999")));
}

RULE("1.4", "a gtid enters its thread, from ABI 70") {
  run.OfThisAbi(run.abi().tasks_accept_gtid, "this ABI's tasks takes thread ids only");
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  const std::string gtid = std::to_string(enclave.GtidOf(thread));
  run.Want("result", static_cast<int64_t>(gtid.size()), enclave.Write("tasks", gtid));
  run.Want("tasks", absl::StrCat(thread.tid(), "\n"), enclave.Read("tasks"));
}

RULE("1.4", "hexadecimal with 0x, and one newline at the end, are fine") {
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  const std::string text = absl::StrCat("0x", absl::Hex(thread.tid()), "\n");
  run.Want("result", static_cast<int64_t>(text.size()), enclave.Write("tasks", text));
  run.Want("tasks", absl::StrCat(thread.tid(), "\n"), enclave.Read("tasks"));
}

RULE("1.4", "0 is the caller") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.itself = true});
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  run.Want("the write returns when the task is first run", int64_t{1}, task.Result());
}

RULE("1.4", "a thread that is in ghost already: EPERM") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Task task(enclave, "W", {.asleep = true});
  const std::string tid = std::to_string(task.actor().tid());
  run.Want("here", Errno(EPERM), ResultText(enclave.Write("tasks", tid)));
  run.Want("elsewhere", Errno(EPERM), ResultText(other.Write("tasks", tid)));
}

RULE("1.4", "an agent: EPERM") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("result", Errno(EPERM), ResultText(enclave.Write("tasks", std::to_string(agent.actor().tid()))));
}

RULE("1.4", "a dead thread: ESRCH") {
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  run.world().Kill(thread, 9);
  run.Await("its end", [&] { return thread.Ended(); });
  run.Want("result", Errno(ESRCH), ResultText(enclave.Write("tasks", std::to_string(thread.tid()))));
}

RULE("1.4", "no region of status words: ENOMEM") {
  Enclave enclave(run, {.words = false});
  Actor& thread = *run.world().NewProcess();
  run.Want("result", Errno(ENOMEM), ResultText(enclave.Write("tasks", std::to_string(thread.tid()))));
}

RULE("1.4", "an agent without a region of status words: ENOMEM") {
  Enclave enclave(run, {.words = false});
  Queue queue(enclave);
  run.Want("result", Errno(ENOMEM), ResultText(BecomeAgent(enclave, *run.world().NewProcess(), 0, queue.fd())));
}

RULE("1.4", "no CPU need belong to the enclave") {
  Enclave enclave(run, {.cpus = ""});
  Queue queue(enclave);
  run.Want("SET_DEFAULT_QUEUE", int64_t{0}, enclave.SetDefaultQueue(queue.fd()));
  Task task(enclave, "W");
  queue.Expect({"NEW W seq=1 runnable=1"});
}

RULE("1.4", "sched_setscheduler(SCHED_GHOST) gives EBADF: it has no enclave") {
  run.Need(run.traits().ghost_policy, "the stock kernel knows no such policy");
  Actor& thread = *run.world().NewProcess();
  run.Want("result", Errno(EBADF), ResultText(Do(run, thread, {Op::kSetPolicy, {0, SCHED_GHOST}})));
}

RULE("1.4", "a task's policy is SCHED_GHOST") {
  run.Need(run.traits().ghost_policy, "tasks keep their policy here");
  Enclave enclave(run);
  Task task(enclave, "W", {.asleep = true});
  const Call ask = {Op::kPolicy, {static_cast<uint64_t>(task.actor().tid())}};
  run.Want("policy", int64_t{SCHED_GHOST}, Do(run, run.world().Self(), ask));
}

RULE("1.4", "a thread that has left may come back") {
  Enclave enclave(run);
  Task task(enclave, "W", {.asleep = true});
  const auto tid = static_cast<uint64_t>(task.actor().tid());
  run.Want("leave", int64_t{0}, Do(run, run.world().Self(), {Op::kSetPolicy, {tid, 0}}));
  run.Await("nr_tasks 0", [&] { return enclave.Read("tasks").empty(); });
  run.Want("entry", enclave.Write("tasks", std::to_string(tid)) > 0);
  run.Want("tasks", absl::StrCat(tid, "\n"), enclave.Read("tasks"));
}

}  // namespace
}  // namespace ghost::conformance
