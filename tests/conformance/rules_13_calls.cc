// What a probe's calls gave on a real kernel of ABI 69, in the order in which it made them: each is a rule, and they
// are one story. Machine: 4 CPUs, of which 0 and 1 are in enclave 50; a second enclave, 51, owns queue q51.
#include <sched.h>
#include <time.h>

#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// Any result of at least this is as good: descriptors, sizes.
constexpr int64_t kSome = 1000;

struct Recorded {
  const char* call;
  int64_t result;
};

// As in the recording: mkq(elems, node, flags), sdq(queue), aq(queue, type, gtid, barrier, flags), cw(queue, ninfo,
// cpu, prio, flags), swi(type, arg), swf(region, index), gct(gtid), tst(descriptor, cpu, flags), run(gtid, cpu, flags,
// barrier), commit(cpu; group). Descriptors 77 and 99 are not open; 0 is open, and neither a queue nor a timer.
constexpr Recorded kCalls[] = {
    {"null(read-only ctl)", -EACCES},
    {"null(ctl)", 0},
    {"unknown(ctl)", -ENOTTY},
    {"null(tasks)", -ENOTTY},
    {"wr(tasks, 0)", -ENOMEM},
    {"wr(ctl, create sw_region 0 0)", 20},
    {"mkq(0, 0, 0)", -EINVAL},
    {"mkq(3, 0, 0)", -EINVAL},
    {"mkq(-4, 0, 0)", -EINVAL},
    {"mkq(131072, 0, 0)", -EINVAL},
    {"mkq(64, 1, 0)", -EINVAL},
    {"mkq(64, -1, 0)", -EINVAL},
    {"mkq(64, 0, 1)", -EINVAL},
    {"mkq(null)", -EFAULT},
    {"mapsize(1024)", 12288},
    {"mapsize(64)", 4096},
    {"mapsize(65536)", 528384},
    {"sdq(0)", -EBADF},
    {"sdq(77)", -EBADF},
    {"sdq(q51)", -EINVAL},
    {"aq(q1, TASK, cfs_gtid, 0, 0)", -ENOENT},
    {"aq(q1, AGENT, 0, 0, 0)", -EINVAL},
    {"aq(q1, TASK, cfs_gtid, 0, 1)", -EINVAL},
    {"aq(0, TASK, cfs_gtid, 0, 0)", -EBADF},
    {"aq(99, TASK, cfs_gtid, 0, 0)", -EBADF},
    {"aq(q1, TASK, -1, 0, 0)", -ENOENT},
    {"aq(q1, TASK, 0, 0, 0)", -ENOENT},
    {"aq(q1, TASK, cfs_gtid + 1, 0, 0)", -ENOENT},
    {"cw(q1, 3, 0, 0, 0)", -EINVAL},
    {"cw(q1, -1, 0, 0, 0)", -EINVAL},
    {"cw(q1, 1, 0, 1, 0)", -EINVAL},
    {"cw(q1, 1, 99, 0, 0)", -EINVAL},
    {"cw(q1, 1, -1, 0, 0)", -EINVAL},
    {"cw(q1, 1, 0, 0, 1)", -EINVAL},
    {"cw(0, 1, 0, 0, 0)", -EBADF},
    {"cw(99, 1, 0, 0, 0)", -EBADF},
    {"cw(q1, 0, 0, 0, 0)", 0},
    {"cw(q1, 1, 3, 0, 0)", 0},
    {"swi(AGENT, 0)", -EINVAL},
    {"swi(AGENT, 2)", -ENODEV},
    {"swi(TASK, cfs_gtid)", -ENOENT},
    {"swi(TASK, 12345)", -ENOENT},
    {"swi(7, 0)", -EINVAL},
    {"swf(9, 0)", -ENOENT},
    {"swf(0, 70000)", -ENOENT},
    {"swf(0, 0)", -EINVAL},
    {"gct(cfs_gtid)", 0},
    {"gct(0)", 0},
    {"gct(-1)", -ESRCH},
    {"gct(77)", -ESRCH},
    {"tst(tfd, 0, 1)", -EINVAL},
    {"tst(tfd, 0, 2)", -EINVAL},
    {"tst(tfd, 99, 1)", -EINVAL},
    {"tst(tfd, 99, 0)", 0},
    {"tst(99, 0, 0)", -EBADF},
    {"tst(0, 0, 0)", -EINVAL},
    {"run(0, 0, 2, 0)", -EINVAL},
    {"run(-1, 0, 0, 0)", -EINVAL},
    {"commit(0)", 0},
    {"commit(0, group)", 0},
    {"setscheduler(SCHED_GHOST)", -EBADF},
    {"become agent on CPU 2, without a default queue", -ENODEV},
    {"sdq(q1)", 0},
    {"become agent on CPU 2", -ENODEV},
    {"become agent on CPU 0", kSome},
    {"cw(q1, 1, 0, 0, 0)", 0},
    {"swi(AGENT, 0) with an agent", 0},
    {"wr(cpulist, 1) with an agent on CPU 0", -EEXIST},
    {"a second agent on CPU 0", -EBUSY},
    {"a timer on the agent's CPU, by itself", 0},
};

class CallStory : public Story {
 public:
  void Step(Run& run, size_t index) override {
    run.OfThisAbi(run.abi().number == 69, "recorded at ABI 69");
    if (run.over()) return;
    if (run.traits().num_cpus != 4) return run.Skip("recorded with 4 CPUs");
    Stage& stage = Begin(run);
    const Recorded& recorded = kCalls[index];
    const int64_t seen = Do(run, stage, recorded.call);
    if (run.over()) return;
    if (recorded.result == kSome) {
      run.Want("result >= 0", seen >= 0);
    } else {
      run.Want("result", ResultText(recorded.result), ResultText(seen));
    }
  }

 private:
  // The objects of all steps; each step has a Run of its own, but the objects keep the first one.
  struct Stage {
    explicit Stage(Run& run)
        : own_run(run),
          enclave(own_run, {.words = false}),
          other(own_run, {.cpus = "", .words = false}),
          q1(enclave),
          q51(other),
          cfs(*own_run.world().NewProcess()) {
      cfs_gtid = enclave.GtidOf(cfs);
      tfd = static_cast<int>(conformance::Do(own_run, own_run.world().Self(), {Op::kTimerfd}));
    }
    Run own_run;
    Enclave enclave, other;
    Queue q1, q51;
    Actor& cfs;
    int64_t cfs_gtid = 0;
    int tfd = -1;
    std::unique_ptr<Agent> agent;
  };

  Stage& Begin(Run& run) {
    if (stage_ == nullptr) stage_ = std::make_unique<Stage>(run);
    if (stage_->own_run.over()) run.Differ("set-up: " + stage_->own_run.verdict().text);
    return *stage_;
  }

  static int64_t Value(Stage& stage, const std::string& word) {
    static const std::map<std::string, int64_t> kNames = {{"TASK", GHOST_TASK}, {"AGENT", GHOST_AGENT}};
    if (word == "q1") return stage.q1.fd();
    if (word == "q51") return stage.q51.fd();
    if (word == "cfs_gtid") return stage.cfs_gtid;
    if (word == "cfs_gtid + 1") return stage.cfs_gtid + 1;
    if (word == "tfd") return stage.tfd;
    if (auto name = kNames.find(word); name != kNames.end()) return name->second;
    int64_t value = 0;
    return absl::SimpleAtoi(word, &value) ? value : INT64_MIN;
  }
  // A descriptor: 0 is one that is no queue, whatever stands there.
  static int Fd(Stage& stage, int64_t number) {
    return number == 0 ? stage.enclave.ctl() : number == 77 || number == 99 ? 200 : static_cast<int>(number);
  }

  int64_t Do(Run& run, Stage& stage, const std::string& call) {
    const size_t open = call.find('(');
    const std::string name = call.substr(0, open);
    std::vector<int64_t> a;
    if (open != std::string::npos) {
      for (const auto& word : absl::StrSplit(call.substr(open + 1, call.rfind(')') - open - 1), ", ")) {
        a.push_back(Value(stage, std::string(word)));
      }
    }
    a.resize(5);
    Enclave& enclave = stage.enclave;
    if (name == "mkq" && call != "mkq(null)") {
      return enclave.CreateQueue(
          {.elems = static_cast<int>(a[0]), .node = static_cast<int>(a[1]), .flags = static_cast<int>(a[2])});
    }
    if (name == "mapsize") {
      uint64_t mapsize = 0;
      enclave.CreateQueue({.elems = static_cast<int>(a[0]), .node = 0, .flags = 0}, &mapsize);
      return static_cast<int64_t>(mapsize);
    }
    if (name == "sdq") return enclave.SetDefaultQueue(Fd(stage, a[0]));
    if (name == "aq") {
      return enclave.Associate(Fd(stage, a[0]), a[2], static_cast<uint32_t>(a[3]), static_cast<int>(a[4]),
                               static_cast<uint32_t>(a[1]));
    }
    if (name == "cw") return ConfigWakeup(stage, a);
    if (name == "swi" && !absl::StrContains(call, "with"))
      return enclave.GetInfo(static_cast<uint32_t>(a[0]), static_cast<uint64_t>(a[1]));
    if (name == "swf") return enclave.Free({.id = static_cast<uint32_t>(a[0]), .index = static_cast<uint32_t>(a[1])});
    if (name == "gct") return enclave.Ioctl(GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{.gtid = a[0]});
    if (name == "tst") return SetTimer(stage, Fd(stage, a[0]), static_cast<int>(a[1]), static_cast<int>(a[2]), nullptr);
    if (name == "run") {
      return enclave.Ioctl(
          GHOST_IOC_RUN,
          ghost_ioc_run{.gtid = a[0], .run_cpu = static_cast<int>(a[1]), .run_flags = static_cast<int>(a[2])});
    }
    if (name == "commit") return enclave.CommitMask({0}, absl::StrContains(call, "group"));
    return DoSpecial(run, stage, call);
  }

  static int64_t ConfigWakeup(Stage& stage, const std::vector<int64_t>& a) {
    auto* wakeup =
        New<ghost_agent_wakeup>(stage.own_run, {.cpu = static_cast<int>(a[2]), .prio = static_cast<int>(a[3])});
    const ghost_ioc_config_queue_wakeup config = {.qfd = Fd(stage, a[0]),
                                                  .pad = 0,
                                                  .w = Address(wakeup),
                                                  .ninfo = static_cast<int>(a[1]),
                                                  .flags = static_cast<int>(a[4])};
    return stage.enclave.Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config);
  }

  static int64_t SetTimer(Stage& stage, int fd, int cpu, int flags, Actor* by) {
    auto* value = New<itimerspec>(stage.own_run);
    value->it_value.tv_sec = 1000;
    ghost_ioc_timerfd_settime settime = {
        .timerfd = fd, .flags = 0, .in_tmr = Address(value), .out_tmr = 0, .timerfd_ghost = {}};
    settime.timerfd_ghost = {.cpu = cpu, .flags = flags, .type = 0, .cookie = 0};
    return stage.enclave.Ioctl(GHOST_IOC_TIMERFD_SETTIME, settime, by);
  }

  int64_t DoSpecial(Run& run, Stage& stage, const std::string& call) {
    Enclave& enclave = stage.enclave;
    auto null_on = [&](const char* file, int flags) {
      const int64_t fd = Open(run, enclave.Path(file), flags);
      return conformance::Do(run, run.world().Self(), {Op::kIoctl, {static_cast<uint64_t>(fd), GHOST_IOC_NULL, 0}});
    };
    if (call == "null(read-only ctl)") return null_on("ctl", O_RDONLY);
    if (call == "null(ctl)") return enclave.IoctlAt(GHOST_IOC_NULL, 0);
    if (call == "null(tasks)") return null_on("tasks", O_RDWR);
    if (call == "unknown(ctl)") return enclave.IoctlAt(_IO('g', 99), 0);
    if (call == "mkq(null)") return enclave.IoctlAt(GHOST_IOC_CREATE_QUEUE, 0);
    // (The suite's own thread must not become a task: another one stands for it.)
    if (call == "wr(tasks, 0)") return enclave.Write("tasks", std::to_string(stage.cfs.tid()));
    if (call == "wr(ctl, create sw_region 0 0)") return enclave.Write("ctl", "create sw_region 0 0");
    if (absl::StartsWith(call, "setscheduler")) {
      if (!run.traits().ghost_policy) run.Skip("the stock kernel knows no such policy");
      return conformance::Do(run, stage.cfs, {Op::kSetPolicy, {0, SCHED_GHOST}});
    }
    if (absl::StartsWith(call, "become agent on CPU 2")) {
      if (run.traits().agent_cpus <= 2) run.Skip("this machine has no CPU 2 to pin a thread to");
      if (run.over()) return 0;
      return BecomeAgent(enclave, *run.world().NewProcess(), 2, -1);
    }
    if (call == "become agent on CPU 0") {
      stage.agent = std::make_unique<Agent>(enclave, 0, AgentOptions{.queue = &stage.q1});
      return stage.own_run.over() ? -1 : 0;
    }
    if (call == "swi(AGENT, 0) with an agent") return enclave.GetInfo(GHOST_AGENT, 0);
    if (absl::StartsWith(call, "wr(cpulist, 1)")) return enclave.Write("cpulist", "1");
    if (call == "a second agent on CPU 0") return BecomeAgent(enclave, *run.world().NewProcess(), 0, stage.q1.fd());
    if (absl::StartsWith(call, "a timer on the agent's")) {
      const auto fd = static_cast<int>(conformance::Do(run, stage.agent->actor(), {Op::kTimerfd}));
      return SetTimer(stage, fd, 0, TIMERFD_GHOST_ENABLED, &stage.agent->actor());
    }
    run.Differ("the suite does not know this call");
    return 0;
  }

  std::unique_ptr<Stage> stage_;
};

const bool kAdded = [] {
  std::vector<StoryStep> rules;
  for (const Recorded& recorded : kCalls) {
    rules.push_back(
        {"13.2", absl::StrCat(recorded.call, " = ", recorded.result == kSome ? "ok" : ResultText(recorded.result))});
  }
  return AddStory(rules, [] { return std::make_unique<CallStory>(); });
}();

}  // namespace
}  // namespace ghost::conformance
