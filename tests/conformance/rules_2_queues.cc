// Rules of section 2: what comes before any ioctl, and the ioctls about status words and queues (2.1 to 2.7).
#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

constexpr unsigned long kUnknown = _IO('g', 63);

// ---- 2 ----

RULE("2", "NULL: 0") {
  Enclave enclave(run);
  run.Want("result", int64_t{0}, enclave.IoctlAt(GHOST_IOC_NULL, 0));
}

RULE("2", "an unknown number: ENOTTY") {
  Enclave enclave(run);
  run.Want("result", Errno(ENOTTY), ResultText(enclave.IoctlAt(kUnknown, 0)));
}

int64_t IoctlOn(Run& run, int64_t fd, unsigned long number) {
  return Do(run, run.world().Self(), {Op::kIoctl, {static_cast<uint64_t>(fd), number, 0}});
}

RULE("2", "a descriptor that is not open for writing: EACCES, for any number") {
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("ctl"), O_RDONLY);
  run.Want("NULL", Errno(EACCES), ResultText(IoctlOn(run, fd, GHOST_IOC_NULL)));
  run.Want("unknown", Errno(EACCES), ResultText(IoctlOn(run, fd, kUnknown)));
}

RULE("2", "another file of the enclave: ENOTTY") {
  Enclave enclave(run);
  run.Want("tasks", Errno(ENOTTY), ResultText(IoctlOn(run, Open(run, enclave.Path("tasks"), O_RDWR), GHOST_IOC_NULL)));
  run.Want("cpulist", Errno(ENOTTY),
           ResultText(IoctlOn(run, Open(run, enclave.Path("cpulist"), O_RDWR), GHOST_IOC_NULL)));
}

RULE("2", "the enclave is gone: ENODEV, also for an unknown number and a bad pointer") {
  Enclave enclave(run);
  enclave.Destroy();
  run.Want("NULL", Errno(ENODEV), ResultText(enclave.IoctlAt(GHOST_IOC_NULL, 0)));
  run.Want("unknown", Errno(ENODEV), ResultText(enclave.IoctlAt(kUnknown, 0)));
}

struct Numbered {
  const char* section;
  const char* name;
  unsigned long number;
};

constexpr Numbered kWithArgument[] = {
    {"2.1", "SW_GET_INFO", GHOST_IOC_SW_GET_INFO},
    {"2.2", "SW_FREE", GHOST_IOC_SW_FREE},
    {"2.3", "CREATE_QUEUE", GHOST_IOC_CREATE_QUEUE},
    {"2.4", "ASSOC_QUEUE", GHOST_IOC_ASSOC_QUEUE},
    {"2.5", "SET_DEFAULT_QUEUE", GHOST_IOC_SET_DEFAULT_QUEUE},
    {"2.6", "CONFIG_QUEUE_WAKEUP", GHOST_IOC_CONFIG_QUEUE_WAKEUP},
    {"2.7", "GET_CPU_TIME", GHOST_IOC_GET_CPU_TIME},
    {"5.3", "COMMIT_TXN", GHOST_IOC_COMMIT_TXN},
    {"5.5", "SYNC_GROUP_TXN", GHOST_IOC_SYNC_GROUP_TXN},
    {"2.10", "TIMERFD_SETTIME", GHOST_IOC_TIMERFD_SETTIME},
    {"2.11", "RUN", GHOST_IOC_RUN},
};

const bool kBadPointersAdded = [] {
  for (const Numbered& ioctl : kWithArgument) {
    AddRule(ioctl.section, absl::StrCat(ioctl.name, ": an argument that can't be read: EFAULT"), [ioctl](Run& run) {
      Enclave enclave(run);
      run.Want("null", Errno(EFAULT), ResultText(enclave.IoctlAt(ioctl.number, 0)));
      run.Want("unmapped", Errno(EFAULT), ResultText(enclave.IoctlAt(ioctl.number, kBadAddress)));
    });
  }
  return true;
}();

// ---- 2.1 ----

RULE("2.1", "SW_GET_INFO: an agent's word, by its CPU") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  ghost_sw_info info;
  run.Want("result", int64_t{0}, enclave.GetInfo(GHOST_AGENT, 0, &info));
  const ghost_status_word word = enclave.Word(info);
  run.Want("it is an agent's", (word.flags & GHOST_SW_TASK_IS_AGENT) != 0);
  run.Want("gtid", enclave.GtidOf(agent.actor()), static_cast<int64_t>(word.gtid));
}

RULE("2.1", "SW_GET_INFO: a CPU of the enclave that has no agent: EINVAL") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(enclave.GetInfo(GHOST_AGENT, 0)));
}

RULE("2.1", "SW_GET_INFO: a CPU that is not in this enclave: ENODEV") {
  Enclave enclave(run, {.cpus = "0"}), other(run, {.cpus = "1"});
  run.Want("in none", Errno(ENODEV), ResultText(enclave.GetInfo(GHOST_AGENT, 2)));
  run.Want("in another", Errno(ENODEV), ResultText(enclave.GetInfo(GHOST_AGENT, 1)));
}

RULE("2.1", "SW_GET_INFO: a task's word, by its gtid; the word says the same gtid") {
  Enclave enclave(run);
  Task task(enclave, "W", {.asleep = true});
  run.Want("gtid", task.gtid(), static_cast<int64_t>(task.Word().gtid));
  run.Want("region", 0u, task.sw().id);
}

RULE("2.1", "SW_GET_INFO: a thread that is not in ghost, or nobody's gtid: ENOENT") {
  Enclave enclave(run);
  const int64_t gtid = enclave.GtidOf(*run.world().NewProcess());
  run.Want("not in ghost", Errno(ENOENT), ResultText(enclave.GetInfo(GHOST_TASK, static_cast<uint64_t>(gtid))));
  run.Want("nobody", Errno(ENOENT), ResultText(enclave.GetInfo(GHOST_TASK, 12345)));
  run.Want("negative", Errno(ENOENT), ResultText(enclave.GetInfo(GHOST_TASK, ~uint64_t{0})));
}

RULE("2.1", "SW_GET_INFO: a task of another enclave: ENOENT") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Task task(other, "W", {.asleep = true});
  run.Want("result", Errno(ENOENT), ResultText(enclave.GetInfo(GHOST_TASK, static_cast<uint64_t>(task.gtid()))));
}

RULE("2.1", "SW_GET_INFO: another type: EINVAL") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(enclave.GetInfo(7, 0)));
}

RULE("2.1", "SW_GET_INFO: gtid 0 is the caller") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  ghost_ioc_sw_get_info out = {};
  const ghost_ioc_sw_get_info get = {.request = {.type = GHOST_TASK, .pad = 0, .arg = 0}, .response = {9, 9}};
  run.Want("result", int64_t{0}, enclave.Ioctl(GHOST_IOC_SW_GET_INFO, get, &agent.actor(), &out));
  run.Want("word", agent.sw().index, out.response.index);
}

// ---- 2.2 ----

RULE("2.2", "SW_FREE: no such region: ENOENT") {
  Enclave enclave(run);
  run.Want("result", Errno(ENOENT), ResultText(enclave.Free({.id = 9, .index = 0})));
}

RULE("2.2", "SW_FREE: an index beyond the region: ENOENT") {
  Enclave enclave(run);
  run.Want("capacity", Errno(ENOENT), ResultText(enclave.Free({.id = 0, .index = 65534})));
  run.Want("great", Errno(ENOENT), ResultText(enclave.Free({.id = 0, .index = 0xffffffff})));
}

RULE("2.2", "SW_FREE: a word that may not be freed (yet): EINVAL") {
  Enclave enclave(run);
  Task task(enclave, "W", {.asleep = true});
  run.Want("in use", Errno(EINVAL), ResultText(enclave.Free(task.sw())));
  run.Want("never used", Errno(EINVAL), ResultText(enclave.Free({.id = 0, .index = 60000})));
}

RULE("2.2", "SW_FREE: the word is all 0 afterwards, and available; freeing it again: EINVAL") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  const uint32_t available = enclave.Header(0).available;
  run.world().Kill(task.actor(), 9);
  agent.queue().Expect({"DEAD W seq=2"});
  run.Want("CANFREE", (task.Flags() & GHOST_SW_F_CANFREE) != 0);
  run.Want("SW_FREE", int64_t{0}, enclave.Free(task.sw()));
  const ghost_status_word word = task.Word();
  run.Want("word", word.flags == 0 && word.barrier == 0 && word.gtid == 0 && word.runtime == 0);
  run.Want("available", available + 1, enclave.Header(0).available);
  run.Want("again", Errno(EINVAL), ResultText(enclave.Free(task.sw())));
}

// ---- 2.3 ----

struct Elems {
  int elems;
  uint64_t mapsize;  // 0: EINVAL
  const char* what;
};

constexpr Elems kElems[] = {
    {1, 4096, "1 element"},
    {64, 4096, "64 elements"},
    {1024, 12288, "1024 elements"},
    {65536, 528384, "65536 elements, the greatest number"},
    {0, 0, "0 elements: EINVAL"},
    {3, 0, "no power of two: EINVAL"},
    {-4, 0, "a negative number: EINVAL"},
    {131072, 0, "more than 65536: EINVAL"},
};

const bool kElemsAdded = [] {
  for (const Elems& elems : kElems) {
    AddRule("2.3", absl::StrCat("CREATE_QUEUE: ", elems.what), [elems](Run& run) {
      Enclave enclave(run);
      uint64_t mapsize = 0;
      const int64_t result = enclave.CreateQueue({.elems = elems.elems, .node = 0, .flags = 0}, &mapsize);
      if (elems.mapsize == 0) {
        run.Want("result", Errno(EINVAL), ResultText(result));
      } else {
        run.Want("result", result >= 0);
        run.Want("mapsize", elems.mapsize, mapsize);
      }
    });
  }
  return true;
}();

RULE("2.3", "CREATE_QUEUE: flags: EINVAL") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(enclave.CreateQueue({.elems = 64, .node = 0, .flags = 1})));
}

RULE("2.3", "CREATE_QUEUE: a node that is not there: EINVAL") {
  Enclave enclave(run);
  run.Want("-1", Errno(EINVAL), ResultText(enclave.CreateQueue({.elems = 64, .node = -1, .flags = 0})));
  run.Want("1000", Errno(EINVAL), ResultText(enclave.CreateQueue({.elems = 64, .node = 1000, .flags = 0})));
}

RULE("2.3", "CREATE_QUEUE: mapsize can't be written: EFAULT, and there is no queue") {
  run.Need(!run.traits().user_mode, "FUSE copies the whole argument: there is no half of it that can't be written");
}

RULE("2.3", "CREATE_QUEUE: the header says version 0, start 64 and the elements; head, tail and overflow are 0") {
  Enclave enclave(run);
  uint64_t mapsize = 0;
  const int64_t fd = enclave.CreateQueue({.elems = 256, .node = 0, .flags = 0}, &mapsize);
  std::byte* memory = run.world().Map(static_cast<int>(fd), mapsize, /*writable=*/true);
  run.Want("mapped", memory != nullptr);
  if (run.over()) return;
  const auto& header = *reinterpret_cast<ghost_queue_header*>(memory);
  const auto& ring = *reinterpret_cast<ghost_ring*>(memory + 64);
  run.Want("version", 0u, header.version);
  run.Want("start", 64u, header.start);
  run.Want("nelems", 256u, header.nelems);
  run.Want("ring", 0u, ring.head | ring.tail | ring.overflow);
}

// ---- 2.4 ----

RULE("2.4", "ASSOC_QUEUE: flags: EINVAL, before anything else") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(enclave.Associate(200, 0, 0, /*flags=*/1)));
}

RULE("2.4", "ASSOC_QUEUE: a source that is no task: EINVAL, before the descriptor is looked at") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(enclave.Associate(200, 0, 0, 0, GHOST_AGENT)));
}

RULE("2.4", "ASSOC_QUEUE: no open descriptor, or no queue: EBADF, before the task is looked for") {
  Enclave enclave(run);
  run.Want("not open", Errno(EBADF), ResultText(enclave.Associate(200, 12345, 0)));
  run.Want("no queue", Errno(EBADF), ResultText(enclave.Associate(enclave.ctl(), 12345, 0)));
}

RULE("2.4", "ASSOC_QUEUE: nobody's gtid, or a thread without a status word: ENOENT") {
  Enclave enclave(run);
  Queue queue(enclave);
  const int64_t gtid = enclave.GtidOf(*run.world().NewProcess());
  run.Want("not in ghost", Errno(ENOENT), ResultText(enclave.Associate(queue.fd(), gtid, 0)));
  run.Want("nobody", Errno(ENOENT), ResultText(enclave.Associate(queue.fd(), gtid + 1, 0)));
  run.Want("negative", Errno(ENOENT), ResultText(enclave.Associate(queue.fd(), -1, 0)));
  run.Want("the caller", Errno(ENOENT), ResultText(enclave.Associate(queue.fd(), 0, 0)));
}

RULE("2.4", "ASSOC_QUEUE: another barrier than the task's: ESTALE, and it keeps its queue") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Queue other(enclave);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("older", Errno(ESTALE), ResultText(enclave.Associate(other.fd(), task.gtid(), 0)));
  run.Want("newer", Errno(ESTALE), ResultText(enclave.Associate(other.fd(), task.gtid(), 2)));
  task.Wake();
  agent.Expect({"WAKEUP W seq=2 deferrable=1 last=0"});
}

RULE("2.4", "ASSOC_QUEUE: 0; messages go to the new queue from then on; ALREADY if it is the same one") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Queue other(enclave);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  run.Want("same", int64_t{GHOST_ASSOC_SF_ALREADY}, enclave.Associate(agent.queue().fd(), task.gtid(), 1));
  run.Want("other", int64_t{0}, enclave.Associate(other.fd(), task.gtid(), 1));
  task.Wake();
  other.Expect({"WAKEUP W seq=2 deferrable=1 last=0"});
}

RULE("2.4", "ASSOC_QUEUE: no message and no wake-up: neither barrier moves") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Queue other(enclave);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("result", int64_t{0}, enclave.Associate(other.fd(), task.gtid(), 1));
  run.Want("the agent's", barrier, agent.FreshBarrier());
  run.Want("the task's", 1u, task.Barrier());
}

RULE("2.4", "ASSOC_QUEUE: BRAND_NEW while the messages of a thread that came back are held back") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W", {.asleep = true});
  agent.Expect({"NEW W seq=1 runnable=0"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(task.actor().tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  Task again(enclave, "W2", {.thread = &task.actor(), .asleep = false});
  run.Await("its barrier moves", [&] { return again.Barrier() == 1; });
  run.Want("result", int64_t{GHOST_ASSOC_SF_ALREADY | GHOST_ASSOC_SF_BRAND_NEW},
           enclave.Associate(agent.queue().fd(), task.gtid(), 1));
}

RULE("2.4", "ASSOC_QUEUE: works on an agent's own gtid, with the agent's barrier") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Queue other(enclave);
  const int64_t gtid = enclave.GtidOf(agent.actor());
  const uint32_t barrier = agent.FreshBarrier();
  run.Want("stale", Errno(ESTALE), ResultText(enclave.Associate(other.fd(), gtid, barrier + 1)));
  run.Want("same", int64_t{GHOST_ASSOC_SF_ALREADY}, enclave.Associate(agent.queue().fd(), gtid, barrier));
  run.Want("other", int64_t{0}, enclave.Associate(other.fd(), gtid, barrier));
}

RULE("2.4", "ASSOC_QUEUE: the queue and the ctl may be other enclaves' than the task's") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Queue queue(other);
  Task task(enclave, "W", {.asleep = true});
  run.Want("result", int64_t{0}, other.Associate(queue.fd(), task.gtid(), task.Barrier()));
  task.Wake();
  queue.Expect({"WAKEUP W seq=2 deferrable=1 last=0"});
}

// ---- 2.5 ----

RULE("2.5", "SET_DEFAULT_QUEUE: no open descriptor, or no queue: EBADF") {
  Enclave enclave(run);
  run.Want("not open", Errno(EBADF), ResultText(enclave.SetDefaultQueue(200)));
  run.Want("-1", Errno(EBADF), ResultText(enclave.SetDefaultQueue(-1)));
  run.Want("no queue", Errno(EBADF), ResultText(enclave.SetDefaultQueue(enclave.ctl())));
}

RULE("2.5", "SET_DEFAULT_QUEUE: another enclave's queue: EINVAL") {
  Enclave enclave(run), other(run, {.cpus = ""});
  Queue queue(other);
  run.Want("result", Errno(EINVAL), ResultText(enclave.SetDefaultQueue(queue.fd())));
}

RULE("2.5", "SET_DEFAULT_QUEUE: tasks that enter later send there; the others don't move") {
  Enclave enclave(run);
  Queue first(enclave), second(enclave);
  run.Want("first", int64_t{0}, enclave.SetDefaultQueue(first.fd()));
  Task old(enclave, "A", {.asleep = true});
  run.Want("second", int64_t{0}, enclave.SetDefaultQueue(second.fd()));
  Task young(enclave, "B", {.asleep = true});
  old.Wake();
  first.Expect({"NEW A seq=1 runnable=0", "WAKEUP A seq=2 deferrable=1 last=0"});
  second.Expect({"NEW B seq=1 runnable=0"});
}

// ---- 2.6 ----

RULE("2.6", "CONFIG_QUEUE_WAKEUP: more than two targets, or fewer than none: EINVAL, before the descriptor") {
  Enclave enclave(run);
  ghost_ioc_config_queue_wakeup config = {.qfd = 200, .pad = 0, .w = 0, .ninfo = 3, .flags = 0};
  run.Want("3", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config)));
  config.ninfo = -1;
  run.Want("-1", Errno(EINVAL), ResultText(enclave.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config)));
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: flags: EINVAL, before the descriptor") {
  Enclave enclave(run);
  run.Want("result", Errno(EINVAL), ResultText(enclave.ConfigWakeup(200, {{.cpu = 0, .prio = 0}}, /*flags=*/1)));
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: no open descriptor, or no queue: EBADF, before the targets are read") {
  Enclave enclave(run);
  ghost_ioc_config_queue_wakeup config = {.qfd = 200, .pad = 0, .w = kBadAddress, .ninfo = 1, .flags = 0};
  run.Want("not open", Errno(EBADF), ResultText(enclave.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config)));
  config.qfd = enclave.ctl();
  run.Want("no queue", Errno(EBADF), ResultText(enclave.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config)));
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: targets that can't be read: EFAULT") {
  Enclave enclave(run);
  Queue queue(enclave);
  const ghost_ioc_config_queue_wakeup config = {.qfd = queue.fd(), .pad = 0, .w = kBadAddress, .ninfo = 1, .flags = 0};
  run.Want("result", Errno(EFAULT), ResultText(enclave.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config)));
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: a priority, or a CPU that is not there: EINVAL") {
  Enclave enclave(run);
  Queue queue(enclave);
  run.Want("prio", Errno(EINVAL), ResultText(enclave.ConfigWakeup(queue.fd(), {{.cpu = 0, .prio = 1}})));
  run.Want("CPU -1", Errno(EINVAL), ResultText(enclave.ConfigWakeup(queue.fd(), {{.cpu = -1, .prio = 0}})));
  run.Want("CPU 9999", Errno(EINVAL), ResultText(enclave.ConfigWakeup(queue.fd(), {{.cpu = 9999, .prio = 0}})));
  run.Want("the second", Errno(EINVAL),
           ResultText(enclave.ConfigWakeup(queue.fd(), {{.cpu = 0, .prio = 0}, {.cpu = 9999, .prio = 0}})));
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: a CPU that is in no enclave is fine") {
  Enclave enclave(run, {.cpus = "0"});
  Queue queue(enclave);
  run.Want("result", int64_t{0}, enclave.ConfigWakeup(queue.fd(), {{.cpu = 2, .prio = 0}}));
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: wakes the agent of the last CPU once, for messages that are there already") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  const uint32_t barrier = agent.FreshBarrier();
  agent.Yield();
  run.Want("asleep", agent.away());
  run.Want("config", int64_t{0},
           enclave.ConfigWakeup(agent.queue().fd(), {{.cpu = 1, .prio = 0}, {.cpu = 0, .prio = 0}}));
  run.Want("RUN's result", int64_t{0}, agent.Back());
  run.Want("barrier", barrier + 1, agent.FreshBarrier());
}

RULE("2.6", "CONFIG_QUEUE_WAKEUP: no targets: nobody is woken any more") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("config", int64_t{0}, enclave.ConfigWakeup(agent.queue().fd(), {}));
  const uint32_t barrier = agent.FreshBarrier();
  Task task(enclave, "W", {.asleep = true});
  agent.queue().Expect({"NEW W seq=1 runnable=0"});
  run.Want("barrier", barrier, agent.FreshBarrier());
}

// ---- 2.7 ----

RULE("2.7", "GET_CPU_TIME: of any thread, up to the moment; 0 is the caller") {
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  ghost_ioc_get_cpu_time out = {};
  const int64_t gtid = enclave.GtidOf(thread);
  run.Want("a thread", int64_t{0},
           enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{.gtid = gtid}, nullptr, &out));
  run.Want("the caller", int64_t{0},
           enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{.gtid = 0}, nullptr, &out));
}

RULE("2.7", "GET_CPU_TIME: a task's grows while it runs") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  agent.Expect({"NEW W seq=1 runnable=1"});
  agent.Run(task);
  ghost_ioc_get_cpu_time first = {}, later = {};
  const ghost_ioc_get_cpu_time ask = {.gtid = task.gtid()};
  run.Want("result", int64_t{0}, enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ask, nullptr, &first));
  run.Await("it grows", [&] {
    enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ask, nullptr, &later);
    return later.runtime > first.runtime;
  });
}

RULE("2.7", "GET_CPU_TIME: nobody's gtid, or a negative one: ESRCH") {
  Enclave enclave(run);
  run.Want("77", Errno(ESRCH), ResultText(enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{.gtid = 77})));
  run.Want("-1", Errno(ESRCH), ResultText(enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{.gtid = -1})));
}

}  // namespace
}  // namespace ghost::conformance
