// Rules of sections 2.9 (mmap), 2.10 (TIMERFD_SETTIME) and 2.11 (RUN).
#include <sys/mman.h>
#include <time.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// ---- 2.9 ----

int64_t Mmap(Run& run, int64_t fd, uint64_t size, int prot, int flags, uint64_t offset = 0) {
  return Do(run, run.world().Self(),
            {Op::kMmap,
             {static_cast<uint64_t>(fd), size, static_cast<uint64_t>(prot), static_cast<uint64_t>(flags), offset}});
}

constexpr char kTmpfs[] = "regions are files in tmpfs here, and map as such";

RULE("2.9", "mmap: MAP_SHARED and the exact size") {
  run.Need(!run.traits().simulated, "there is no mmap in the simulation");
  Enclave enclave(run);
  const int64_t words = Open(run, enclave.Path("sw_regions/sw_0"), O_RDONLY);
  run.Want("sw_0", int64_t{0}, Mmap(run, words, 2 << 20, PROT_READ, MAP_SHARED));
  const int64_t data = Open(run, enclave.Path("cpu_data"), O_RDWR);
  const auto size = static_cast<uint64_t>(run.traits().num_cpus) * 4096;
  run.Want("cpu_data", int64_t{0}, Mmap(run, data, size, PROT_READ | PROT_WRITE, MAP_SHARED));
}

RULE("2.9", "mmap of sw_N with PROT_WRITE: EACCES") {
  run.Need(!run.traits().simulated, "there is no mmap in the simulation");
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("sw_regions/sw_0"), O_RDONLY);
  run.Want("result", Errno(EACCES), ResultText(Mmap(run, fd, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED)));
}

struct BadMapping {
  const char* what;
  uint64_t size;
  int flags;
  uint64_t offset;
};

constexpr BadMapping kBadMappings[] = {
    {"mmap: MAP_PRIVATE: EINVAL", 2 << 20, MAP_PRIVATE, 0},
    {"mmap: less than the size: EINVAL", 4096, MAP_SHARED, 0},
    {"mmap: an offset: EINVAL", (2 << 20) - 4096, MAP_SHARED, 4096},
};

const bool kBadMappingsAdded = [] {
  for (const BadMapping& mapping : kBadMappings) {
    AddRule("2.9", mapping.what, [mapping](Run& run) {
      run.Need(!run.traits().user_mode, kTmpfs);
      Enclave enclave(run);
      const int64_t fd = Open(run, enclave.Path("sw_regions/sw_0"), O_RDONLY);
      run.Want("result", Errno(EINVAL),
               ResultText(Mmap(run, fd, mapping.size, PROT_READ, mapping.flags, mapping.offset)));
    });
  }
  return true;
}();

// ---- 2.10 ----

struct Timer {
  int fd = -1;
  timerfd_ghost ghost = {};
  int64_t ns = 1'000'000;
  uint64_t in = 0;  // instead of the address of a good itimerspec
};

int64_t SetTimer(Enclave& enclave, const Timer& timer, Actor* by = nullptr, uint64_t out = 0) {
  auto* value = New<itimerspec>(enclave.run());
  value->it_value.tv_sec = timer.ns / 1'000'000'000;
  value->it_value.tv_nsec = timer.ns % 1'000'000'000;
  const ghost_ioc_timerfd_settime settime = {.timerfd = timer.fd,
                                             .flags = 0,
                                             .in_tmr = timer.in != 0 ? timer.in : Address(value),
                                             .out_tmr = out,
                                             .timerfd_ghost = timer.ghost};
  return enclave.Ioctl(GHOST_IOC_TIMERFD_SETTIME, settime, by);
}

int NewTimer(Run& run, Actor* by) { return static_cast<int>(Do(run, *by, {Op::kTimerfd})); }

RULE("2.10", "TIMERFD_SETTIME: in_tmr can't be read: EFAULT, before the flags are looked at") {
  Enclave enclave(run);
  run.Want("result", Errno(EFAULT),
           ResultText(SetTimer(enclave, {.fd = 200, .ghost = {.flags = 2}, .in = kBadAddress})));
}

RULE("2.10", "TIMERFD_SETTIME: an unknown flag: EINVAL, before the descriptor") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = 200, .ghost = {.cpu = 0, .flags = 2}})));
}

RULE("2.10", "TIMERFD_SETTIME: enabled for a CPU that is not there: EINVAL, before the descriptor") {
  Enclave enclave(run);
  run.Want("99999", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = 200, .ghost = {.cpu = 99999, .flags = 1}})));
  run.Want("-1", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = 200, .ghost = {.cpu = -1, .flags = 1}})));
}

RULE("2.10", "TIMERFD_SETTIME: enabled for a CPU without an agent: EINVAL") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = 200, .ghost = {.cpu = 0, .flags = 1}})));
}

RULE("2.10", "TIMERFD_SETTIME: enabled for an agent of another process: EINVAL") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("result", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = 200, .ghost = {.cpu = 0, .flags = 1}})));
}

RULE("2.10", "TIMERFD_SETTIME: not enabled, the CPU does not matter") {
  Enclave enclave(run);
  Actor& self = run.world().Self();
  const int fd = NewTimer(run, &self);
  run.Want("result", int64_t{0}, SetTimer(enclave, {.fd = fd, .ghost = {.cpu = 99, .flags = 0}}));
}

RULE("2.10", "TIMERFD_SETTIME: no open descriptor: EBADF; no timer: EINVAL") {
  Enclave enclave(run);
  run.Want("not open", Errno(EBADF), ResultText(SetTimer(enclave, {.fd = 200})));
  run.Want("no timer", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = enclave.ctl()})));
}

RULE("2.10", "TIMERFD_SETTIME: a time that is none: EINVAL") {
  Enclave enclave(run);
  auto* value = New<itimerspec>(run);
  value->it_value.tv_nsec = 1'000'000'000;
  const int fd = NewTimer(run, &run.world().Self());
  run.Want("result", Errno(EINVAL), ResultText(SetTimer(enclave, {.fd = fd, .in = Address(value)})));
}

RULE("2.10", "TIMERFD_SETTIME: the old value is given out") {
  Enclave enclave(run);
  const int fd = NewTimer(run, &run.world().Self());
  auto* old = New<itimerspec>(run);
  run.Want("first", int64_t{0}, SetTimer(enclave, {.fd = fd, .ns = 1000'000'000'000}));
  run.Want("second", int64_t{0}, SetTimer(enclave, {.fd = fd}, nullptr, Address(old)));
  run.Want("about 1000 s", old->it_value.tv_sec >= 900 && old->it_value.tv_sec <= 1000);
}

RULE("2.10", "TIMERFD_SETTIME: its expiry sends CPU_TIMER_EXPIRED with type and cookie, and wakes the agent") {
  Enclave enclave(run);
  Queue queue(enclave);
  Actor& leader = *run.world().NewProcess();
  Agent agent(enclave, 0, {.thread = &NewThread(run, leader), .queue = &queue});
  const int fd = NewTimer(run, &leader);
  const Timer timer = {.fd = fd, .ghost = {.cpu = 0, .flags = TIMERFD_GHOST_ENABLED, .type = 7, .cookie = 99}};
  agent.Yield();
  run.Want("result", int64_t{0}, SetTimer(enclave, timer, &leader));
  agent.Expect({"TIMER_EXPIRED 0 type=7 cookie=99"});
}

RULE("2.10", "TIMERFD_SETTIME: the message's seqnum is the agent's barrier") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const int fd = NewTimer(run, &agent.actor());
  const Timer timer = {.fd = fd, .ghost = {.cpu = 0, .flags = TIMERFD_GHOST_ENABLED, .type = 1, .cookie = 2}};
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("result", int64_t{0}, SetTimer(enclave, timer, &agent.actor()));
  Message message;
  run.Await("the message", [&] { return agent.queue().Next(&message); });
  run.Want("seqnum", barrier + 1, message.seqnum);
  run.Want("the barrier, with the wake-up", barrier + 2, agent.FreshBarrier());
}

RULE("2.10", "TIMERFD_SETTIME: the message goes to the agent that was named, whoever else there is") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  Actor& leader = *run.world().NewProcess();
  Agent a(enclave, 0, {.thread = &leader, .queue = &first});
  Agent b(enclave, 1, {.thread = &NewThread(run, leader), .queue = &second});
  const int fd = NewTimer(run, &a.actor());
  const Timer timer = {.fd = fd, .ghost = {.cpu = 1, .flags = TIMERFD_GHOST_ENABLED, .type = 3, .cookie = 4}};
  run.Want("result", int64_t{0}, SetTimer(enclave, timer, &a.actor()));
  second.Expect({"TIMER_EXPIRED 1 type=3 cookie=4"});
  run.Want("the other queue", size_t{0}, first.Take().size());
}

RULE("2.10", "TIMERFD_SETTIME: a plain timerfd_settime(2) turns the message off") {
  run.Need(!run.traits().user_mode, "not seen here: the ioctl must be used to turn it off");
}

RULE("2.10", "TIMERFD_SETTIME without ENABLED turns the message off") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Actor& by = agent.actor();
  const int first = NewTimer(run, &by), second = NewTimer(run, &by);
  const timerfd_ghost enabled = {.cpu = 0, .flags = TIMERFD_GHOST_ENABLED, .type = 1, .cookie = 1};
  const timerfd_ghost later = {.cpu = 0, .flags = TIMERFD_GHOST_ENABLED, .type = 2, .cookie = 2};
  run.Want("on", int64_t{0}, SetTimer(enclave, {.fd = first, .ghost = enabled, .ns = 200'000'000}, &by));
  run.Want("off", int64_t{0}, SetTimer(enclave, {.fd = first, .ns = 1'000'000}, &by));
  run.Want("another", int64_t{0}, SetTimer(enclave, {.fd = second, .ghost = later, .ns = 300'000'000}, &by));
  agent.queue().Expect({"TIMER_EXPIRED 0 type=2 cookie=2"});
}

// ---- 2.11 ----

struct BadRun {
  const char* what;
  ghost_ioc_run run;
};

constexpr BadRun kBadRuns[] = {
    {"RUN: a CPU that is not there: EINVAL", {.gtid = 0, .run_cpu = 99999}},
    {"RUN: CPU -1: EINVAL", {.gtid = 0, .run_cpu = -1}},
    {"RUN: a flag other than RTLA_ON_IDLE: EINVAL", {.gtid = 0, .run_cpu = 0, .run_flags = RTLA_ON_YIELD}},
    {"RUN: an unknown flag: EINVAL", {.gtid = 0, .run_cpu = 0, .run_flags = 1 << 20}},
    {"RUN: RTLA_ON_IDLE with a ping: EINVAL", {.gtid = -1, .run_cpu = 0, .run_flags = RTLA_ON_IDLE}},
    {"RUN: giving up another CPU than the own: EINVAL", {.gtid = 0, .run_cpu = 1}},
    {"RUN: a task's gtid: EINVAL", {.gtid = 5, .run_cpu = 0}},
    {"RUN: the idle task: EINVAL", {.gtid = -2, .run_cpu = 0}},
    {"RUN: pinging a CPU that has no agent: EINVAL", {.gtid = -1, .run_cpu = 1}},
};

const bool kBadRunsAdded = [] {
  for (const BadRun& bad : kBadRuns) {
    AddRule("2.11", bad.what, [bad](Run& run) {
      Enclave enclave(run);
      Agent agent(enclave, 0);
      const uint32_t barrier = agent.FreshBarrier();
      ghost_ioc_run arguments = bad.run;
      arguments.agent_barrier = barrier;
      run.Want("result", Errno(EINVAL), ResultText(agent.RunIoctl(arguments)));
      run.Want("barrier", barrier, agent.FreshBarrier());
    });
  }
  return true;
}();

RULE("2.11", "RUN: a thread that is no agent: EINVAL") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("gtid 0", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_RUN, ghost_ioc_run{.gtid = 0, .run_cpu = 0})));
}

RULE("2.11", "RUN: pinging an agent of another process: EINVAL") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("result", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_RUN, ghost_ioc_run{.gtid = -1, .run_cpu = 0})));
}

RULE("2.11", "RUN: any thread of the agent's process may ping it") {
  Enclave enclave(run);
  Queue queue(enclave);
  Actor& leader = *run.world().NewProcess();
  Agent agent(enclave, 0, {.thread = &leader, .queue = &queue});
  Actor& other = NewThread(run, leader);
  agent.Yield();
  run.Want("ping", int64_t{0}, enclave.Ioctl(GHOST_IOC_RUN, ghost_ioc_run{.gtid = -1, .run_cpu = 0}, &other));
  run.Want("RUN's result", int64_t{0}, agent.Back());
}

RULE("2.11", "RUN: a ping moves the agent's barrier twice, and wakes it") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  Actor& leader = *run.world().NewProcess();
  Agent a(enclave, 0, {.thread = &leader, .queue = &first});
  Agent b(enclave, 1, {.thread = &NewThread(run, leader), .queue = &second});
  const uint32_t barrier = b.FreshBarrier();
  b.Yield();
  run.Want("ping", int64_t{0}, a.Ping(1));
  run.Want("RUN's result", int64_t{0}, b.Back());
  run.Want("barrier", barrier + 2, b.FreshBarrier());
}

RULE("2.11", "RUN: a ping of itself returns at once, and moves the barrier twice") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("ping", int64_t{0}, agent.Ping(0));
  run.Want("barrier", barrier + 2, agent.FreshBarrier());
}

RULE("2.11", "RUN: a barrier that is not the agent's: ESTALE, at once") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("older", Errno(ESTALE), ResultText(agent.RunIoctl({.gtid = 0, .agent_barrier = barrier - 1, .run_cpu = 0})));
  run.Want("newer", Errno(ESTALE), ResultText(agent.RunIoctl({.gtid = 0, .agent_barrier = barrier + 1, .run_cpu = 0})));
  run.Want("barrier", barrier, agent.FreshBarrier());
}

RULE("2.11", "RUN: gives up the CPU until a message wakes the agent; 0") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Yield();
  run.Want("away", agent.away());
  run.Want("ONCPU", (agent.Flags() & GHOST_SW_TASK_ONCPU) == 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("ONCPU again", (agent.Flags() & GHOST_SW_TASK_ONCPU) != 0);
}

RULE("2.11", "RUN: a wake-up between reading the barrier and RUN is not missed: ESTALE") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  Task task(enclave, "W", {.asleep = true});
  agent.queue().Expect({"NEW W seq=1 runnable=0"});
  run.Want("result", Errno(ESTALE), ResultText(agent.RunIoctl({.gtid = 0, .agent_barrier = barrier, .run_cpu = 0})));
}

RULE("2.11", "RUN: task_barrier is ignored") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const ghost_ioc_run arguments = {
      .gtid = 0, .agent_barrier = agent.FreshBarrier() - 1, .task_barrier = 12345, .run_cpu = 0};
  run.Want("result", Errno(ESTALE), ResultText(agent.RunIoctl(arguments)));
}

RULE("2.11", "RUN: keeps a latched task: it runs as soon as the agent is away") {
  TwoAgents two(run);
  auto& [enclave, first, second, leader, a, b] = two;
  Task task(enclave, "W");
  a.queue().Expect({"NEW W seq=1 runnable=1"});
  // Agent b is on its CPU, so that the task is latched there only.
  const TxnOptions deferred = {.run_flags = DEFER_LATCHED_PREEMPTION_BY_AGENT};
  run.Want("remote commit", std::string("COMPLETE"), a.Commit(1, task, deferred));
  b.Yield();
  run.Await("it runs", [&] { return (task.Flags() & GHOST_SW_TASK_ONCPU) != 0; });
  task.Block();
  a.queue().Expect({"BLOCKED W seq=2 cpu=1"});
}

RULE("2.11", "RUN: RTLA_ON_IDLE brings the agent back when its CPU would be idle") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  agent.Yield(RTLA_ON_IDLE);
  run.Want("RUN's result", int64_t{0}, agent.Back());
}

RULE("2.11", "RUN: without CAP_SYS_NICE: EPERM") {
  run.Need(false, "every actor of this suite is root's; tests/e2e runs agents without rights");
}

}  // namespace
}  // namespace ghost::conformance
