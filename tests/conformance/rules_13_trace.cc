// What a probe saw on a real kernel of ABI 69: the messages, commits and barriers of one agent and a task W, line by
// line and in order. Each line is a rule, and they are one story.
//
// The recorded agent looks at its status word's barrier and commits with that, without asking twice: where messages
// came after the word was brought up to date, its commit fails with AGENT_STALE. That is kept.
#include <sys/ioctl.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// "== …": what W does next.
// "MSG text len=…": the next message (TextOf), its length, and the flags of the task's status word then.
// "COMMIT task -> state +n": a local commit with the word's barrier; by n the word's barrier has grown when it is over.
// "FREE task", "TXN …", "RUN …": calls of the agent.
constexpr const char* kLines[] = {
    "== W enters, computing",
    "MSG NEW W seq=1 runnable=1 | len=40 INUSE|ALLOC|RUNNABLE",
    "== a second write of W to tasks -> -1 EPERM",
    "== W: nanosleep 2 ms",
    "COMMIT W -> COMPLETE +2",
    "MSG BLOCKED W seq=2 cpu=0 | len=40 INUSE|ALLOC",
    "MSG WAKEUP W seq=3 deferrable=1 last=0 | len=40 INUSE|ALLOC|RUNNABLE",
    "== W: sched_yield",
    "COMMIT W -> COMPLETE +2",
    "MSG YIELD W seq=4 cpu=0 | len=48 INUSE|ALLOC|RUNNABLE",
    "== W: setaffinity 0-3",
    "COMMIT W -> COMPLETE +2",
    "MSG AFFINITY_CHANGED W seq=5 | len=16 INUSE|ALLOC|RUNNABLE",
    "MSG PREEMPT W seq=6 cpu=0 | len=48 INUSE|ALLOC|RUNNABLE",
    "COMMIT W -> AGENT_STALE +1",
    "== W: setpriority 5",
    "COMMIT W -> COMPLETE",
    "MSG PREEMPT W seq=7 cpu=0 | len=48 INUSE|ALLOC|RUNNABLE",
    "COMMIT W -> AGENT_STALE",
    "== W: fork",
    "COMMIT W -> COMPLETE +2",
    "MSG NEW C seq=1 runnable=1 | len=40 INUSE|ALLOC|RUNNABLE",
    "MSG PREEMPT W seq=8 cpu=0 | len=48 INUSE|ALLOC|RUNNABLE",
    "COMMIT C -> AGENT_STALE +1",
    "== C: exit",
    "COMMIT C -> COMPLETE +2",
    "MSG BLOCKED C seq=2 cpu=0 | len=40 INUSE|CANFREE|ALLOC",
    "MSG DEAD C seq=3 | len=16 INUSE|CANFREE|ALLOC",
    "FREE C -> 0",
    "COMMIT W -> AGENT_STALE +1",
    "== W: spawn a thread",
    "COMMIT W -> COMPLETE +2",
    "MSG NEW X seq=1 runnable=1 | len=40 INUSE|ALLOC|RUNNABLE",
    "MSG PREEMPT W seq=9 cpu=0 | len=48 INUSE|ALLOC|RUNNABLE",
    "COMMIT X -> AGENT_STALE +1",
    "== X: exit",
    "COMMIT X -> COMPLETE +2",
    "MSG BLOCKED X seq=2 cpu=0 | len=40 INUSE|CANFREE|ALLOC",
    "MSG DEAD X seq=3 | len=16 INUSE|CANFREE|ALLOC",
    "FREE X -> 0",
    "COMMIT W -> AGENT_STALE +1",
    "== W: setscheduler(OTHER)",
    "COMMIT W -> COMPLETE +2",
    "MSG DEPARTED W seq=10 cpu=0 current=1 | len=32 INUSE|CANFREE|ALLOC|ONCPU|RUNNABLE|GATED",
    "FREE W -> 0",
    "== W enters, computing (again)",
    "MSG NEW W seq=1 runnable=1 | len=40 INUSE|ALLOC|RUNNABLE",
    "== W: nanosleep 2 ms (again)",
    "COMMIT W -> COMPLETE +2 (again)",
    "MSG BLOCKED W seq=2 cpu=0 | len=40 INUSE|ALLOC (again)",
    "MSG WAKEUP W seq=3 deferrable=1 last=0 | len=40 INUSE|ALLOC|RUNNABLE (again)",
    "== W sleeps",
    "COMMIT W -> COMPLETE +2 (third)",
    "MSG BLOCKED W seq=4 cpu=0 | len=40 INUSE|ALLOC",
    "ASSOC same queue -> 1",
    "ASSOC wrong barrier -> -1 ESTALE",
    "ASSOC other queue -> 0",
    "ASSOC back -> 0",
    "TXN gtid of no task -> TARGET_NOT_FOUND +0",
    "TXN gtid of agent -> INVALID_TARGET +0",
    "TXN gtid of CFS thread -> INVALID_TARGET +0",
    "TXN blocked task, right barrier -> TARGET_NOT_RUNNABLE +0",
    "TXN blocked task, wrong barrier -> TARGET_STALE +0",
    "TXN blocked task, right barrier, INC_AGENT_BARRIER_ON_FAILURE -> TARGET_NOT_RUNNABLE +1",
    "TXN gtid -3 -> INVALID_TARGET +0",
    "TXN run_flags bit 3 -> INVALID_FLAGS +0",
    "TXN RTLA_ON_IDLE with gtid -2 -> INVALID_FLAGS +0",
    "TXN NEED_CPU_NOT_IDLE with gtid 0 -> INVALID_FLAGS +0",
    "TXN AGENT gtid + run flag -> INVALID_FLAGS +0",
    "TXN both COMMIT_AT -> INVALID_FLAGS +0",
    "TXN commit flag bit 7 -> INVALID_FLAGS +0",
    "TXN ELIDE + INC_ON_FAILURE -> INVALID_FLAGS +1",
    "TXN version 1 -> UNSUPPORTED_VERSION +0",
    "TXN txn.cpu mismatch -> INVALID_CPU +0",
    "TXN cpu 1 (in enclave, no agent), NULL gtid -> NO_AGENT +0",
    "TXN cpu 2 (not in enclave), NULL gtid -> READY +0",
    "TXN self ping AGENT gtid -> COMPLETE +2",
    "TXN self ping AGENT gtid ELIDE_AGENT_BARRIER_INC -> COMPLETE +1",
    "TXN local run, wrong agent_barrier -> AGENT_STALE +0",
    "RUN yield wrong barrier -> -1 ESTALE",
    "RUN yield on cpu 1 -> -1 EINVAL",
    "RUN ping cpu 1 (no agent) -> -1 EINVAL",
    "RUN ping RTLA_ON_IDLE -> -1 EINVAL",
    "RUN gtid 5 -> -1 EINVAL",
    "RUN flags YIELD -> -1 EINVAL",
    "RUN cpu 99 -> -1 EINVAL",
    "RUN self ping -> 0 +2",
    "== W wakes up",
    "MSG WAKEUP W seq=5 deferrable=1 last=0 | len=40 INUSE|ALLOC|RUNNABLE",
    "== W: exit",
    "COMMIT W -> COMPLETE +2 (last)",
    "MSG BLOCKED W seq=6 cpu=0 | len=40 INUSE|CANFREE|ALLOC",
    "MSG DEAD W seq=7 | len=16 INUSE|CANFREE|ALLOC",
    "FREE W -> 0 (last)",
};

struct TxnRow {
  const char* name;
  int cpu = 0;
  int64_t gtid = 0;
  uint16_t run_flags = 0;
  uint8_t commit_flags = COMMIT_AT_TXN_COMMIT;
  int version = 0, wrong_cpu = 0, task_barrier_error = 0, agent_barrier_error = 0;
};

constexpr int64_t kAgent = -100, kCfs = -101, kW = -102;  // gtids that are looked up
constexpr uint8_t kSync = COMMIT_AT_TXN_COMMIT;

constexpr TxnRow kTxns[] = {
    {.name = "gtid of no task", .gtid = 12345},
    {.name = "gtid of agent", .gtid = kAgent},
    {.name = "gtid of CFS thread", .gtid = kCfs},
    {.name = "blocked task, right barrier", .gtid = kW},
    {.name = "blocked task, wrong barrier", .gtid = kW, .task_barrier_error = 1},
    {.name = "blocked task, right barrier, INC_AGENT_BARRIER_ON_FAILURE",
     .gtid = kW,
     .commit_flags = kSync | INC_AGENT_BARRIER_ON_FAILURE},
    {.name = "gtid -3", .gtid = -3},
    {.name = "run_flags bit 3", .run_flags = 8},
    {.name = "RTLA_ON_IDLE with gtid -2", .gtid = -2, .run_flags = RTLA_ON_IDLE},
    {.name = "NEED_CPU_NOT_IDLE with gtid 0", .run_flags = NEED_CPU_NOT_IDLE},
    {.name = "AGENT gtid + run flag", .gtid = -1, .run_flags = RTLA_ON_YIELD},
    {.name = "both COMMIT_AT", .commit_flags = COMMIT_AT_SCHEDULE | COMMIT_AT_TXN_COMMIT},
    {.name = "commit flag bit 7", .commit_flags = kSync | 0x80},
    {.name = "ELIDE + INC_ON_FAILURE", .commit_flags = kSync | ELIDE_AGENT_BARRIER_INC | INC_AGENT_BARRIER_ON_FAILURE},
    {.name = "version 1", .version = 1},
    {.name = "txn.cpu mismatch", .wrong_cpu = 1},
    {.name = "cpu 1 (in enclave, no agent), NULL gtid", .cpu = 1},
    {.name = "cpu 2 (not in enclave), NULL gtid", .cpu = 2},
    {.name = "self ping AGENT gtid", .gtid = -1},
    {.name = "self ping AGENT gtid ELIDE_AGENT_BARRIER_INC",
     .gtid = -1,
     .commit_flags = kSync | ELIDE_AGENT_BARRIER_INC},
    {.name = "local run, wrong agent_barrier", .agent_barrier_error = -1},
};

class Trace {
 public:
  explicit Trace(Run& run)
      : run_(run),
        enclave_(run),
        queue_(enclave_),
        other_(enclave_),
        agent_(enclave_, 0, {.queue = &queue_}),
        cfs_(*run.world().NewProcess()),
        w_(run.world().NewProcess()) {
    Name(run_, w_->tid(), "W");
  }

  void Line(const std::string& line) {
    const std::vector<std::string> halves = absl::StrSplit(line.substr(0, line.find(" (")), " -> ");
    if (absl::StartsWith(line, "== ")) return Act(line.substr(3));
    if (absl::StartsWith(line, "MSG ")) return ExpectMessage(line.substr(4, line.find(" (") - 4));
    const std::string expected = halves.size() > 1 ? halves[1] : "";
    if (absl::StartsWith(line, "COMMIT ")) return Commit(line.substr(7, 1), expected);
    if (absl::StartsWith(line, "FREE ")) {
      return run_.Want("result", expected, ResultText(enclave_.Free(words_[line.substr(5, 1)])));
    }
    if (absl::StartsWith(line, "ASSOC ")) return Associate(line);
    if (absl::StartsWith(line, "TXN ")) return Transaction(line);
    RunCall(line);
  }

  Run& run() { return run_; }

 private:
  Actor& Named(const std::string& name) { return *(name == "W" ? w_ : actors_[name]); }
  static std::string After(const std::string& line) { return line.substr(line.find(" -> ") + 4); }
  // "COMPLETE +2": the state, and by how much the word's barrier has grown if that is said.
  void WantGrowth(const std::string& expected, const std::string& seen, uint32_t before) {
    const std::vector<std::string> words = absl::StrSplit(expected, " +");
    run_.Want("state", words[0], seen);
    if (words.size() > 1)
      run_.Want("growth of the agent's barrier", words[1], std::to_string(agent_.Barrier() - before));
  }

  void Act(const std::string& what) {
    if (absl::StartsWith(what, "W enters")) {
      // Nothing to do: the agent gives up its CPU; what comes before that makes it look again.
      for (int i = 0; i < 3 && !agent_.away() && !run_.over(); ++i) agent_.YieldAt(agent_.Barrier());
      w_->SetSpinning(true);
      return run_.Want("entry", enclave_.Write("tasks", std::to_string(w_->tid())) > 0);
    }
    if (absl::StartsWith(what, "a second write")) {
      return run_.Want("result", Errno(EPERM), ResultText(enclave_.Write("tasks", std::to_string(w_->tid()))));
    }
    if (what == "W wakes up") return w_->Release();
    static const std::map<std::string, Call> kCalls = {{"nanosleep 2 ms", {Op::kNap, {2'000'000}}},
                                                       {"sched_yield", {Op::kYield}},
                                                       {"setaffinity 0-3", {Op::kSetAffinity, {0, 15}}},
                                                       {"setpriority 5", {Op::kSetNice, {0, 5}}},
                                                       {"fork", {Op::kFork}},
                                                       {"spawn a thread", {Op::kThread}},
                                                       {"setscheduler(OTHER)", {Op::kSetPolicy, {0, 0}}},
                                                       {"exit", {Op::kExit}},
                                                       {"W sleeps", {Op::kBlock}}};
    const std::string name = what.substr(0, what.find(" (")), call = name[1] == ':' ? name.substr(3) : name;
    next_ = {name.substr(0, 1), kCalls.at(call)};
    if (next_.first != "W") PostNext();  // a child has not run yet: it must not find nothing to do, and sleep
  }

  // What was announced is posted once the task has done what it did before: that is when it gets its CPU.
  void PostNext() {
    if (next_.first.empty()) return;
    Actor& actor = Named(next_.first);
    run_.Await("the end of its last call", [&] { return actor.Done(); });
    if (!run_.over()) actor.Post(next_.second);
    next_.first.clear();
  }

  void Commit(const std::string& name, const std::string& expected) {
    const int64_t gtid = gtids_[name];
    ghost_txn& txn = enclave_.Txn(0);
    const uint32_t before = agent_.Barrier();
    txn = {.version = 0,
           .cpu = 0,
           .state = GHOST_TXN_COMPLETE,
           .agent_barrier = before,
           .task_barrier = enclave_.Word(words_[name]).barrier,
           .run_flags = 0,
           .commit_flags = kSync,
           .gtid = gtid,
           .sync_group_owner = -1};
    std::atomic_ref<int32_t>(txn.state).store(GHOST_TXN_READY, std::memory_order_release);
    agent_.Commit({0});
    const std::string state = StateName(std::atomic_ref<int32_t>(txn.state).load(std::memory_order_acquire));
    if (state == "COMPLETE") PostNext();
    agent_.Back();
    WantGrowth(expected, state, before);
  }

  void ExpectMessage(const std::string& expected) {
    const std::vector<std::string> halves = absl::StrSplit(expected, " | ");
    Message message;
    uint32_t length = 0;
    // The same: nothing is runnable. If the message is there already, RUN fails and tells the barrier.
    if (absl::StartsWith(expected, "WAKEUP")) agent_.YieldAt(agent_.Barrier());
    run_.Await("the message", [&] {
      length = queue_.MessageAt(queue_.ring().tail).length;
      return queue_.Next(&message);
    });
    agent_.Back();
    if (run_.over()) return;
    const int64_t gtid = GtidOf(message);
    if (message.type == MSG_TASK_NEW) Meet(halves[0].substr(4, 1), std::get<TaskNew>(message.payload), gtid);
    run_.Want("message", halves[0], TextOf(run_, message));
    const std::string name = run_.names()[static_cast<pid_t>(gtid >> 41)];
    run_.Want("length and flags", halves[1],
              absl::StrCat("len=", length, " ", FlagNames(enclave_.Word(words_[name]).flags)));
  }

  void Meet(const std::string& name, const TaskNew& message, int64_t gtid) {
    if (name != "W") actors_[name] = run_.world().Child();
    Name(run_, Named(name).tid(), name);
    gtids_[name] = gtid;
    words_[name] = message.sw_info;
  }

  void Associate(const std::string& line) {
    const bool to_other = absl::StrContains(line, "other queue"), wrong = absl::StrContains(line, "wrong");
    const uint32_t barrier = enclave_.Word(words_["W"]).barrier + (wrong ? 1 : 0);
    run_.Want("result", After(line),
              ResultText(enclave_.Associate(to_other ? other_.fd() : queue_.fd(), gtids_["W"], barrier)));
  }

  void Transaction(const std::string& line) {
    const std::string name = line.substr(4, line.find(" -> ") - 4);
    for (const TxnRow& row : kTxns) {
      if (name != row.name) continue;
      const uint32_t before = agent_.FreshBarrier();
      ghost_txn& txn = enclave_.Txn(row.cpu);
      txn = {.version = row.version,
             .cpu = row.wrong_cpu != 0 ? 1 : row.cpu,
             .state = GHOST_TXN_COMPLETE,
             .agent_barrier = before + static_cast<uint32_t>(row.agent_barrier_error),
             .task_barrier = enclave_.Word(words_["W"]).barrier + static_cast<uint32_t>(row.task_barrier_error),
             .run_flags = row.run_flags,
             .commit_flags = row.commit_flags,
             .gtid = row.gtid == kAgent ? enclave_.GtidOf(agent_.actor())
                     : row.gtid == kCfs ? enclave_.GtidOf(cfs_)
                     : row.gtid == kW   ? gtids_["W"]
                                        : row.gtid,
             .sync_group_owner = -1};
      std::atomic_ref<int32_t>(txn.state).store(GHOST_TXN_READY, std::memory_order_release);
      run_.Want("result", int64_t{0}, enclave_.CommitMask({row.cpu}, false, &agent_.actor()));
      const std::string state = StateName(std::atomic_ref<int32_t>(txn.state).load(std::memory_order_acquire));
      agent_.FreshBarrier();
      return WantGrowth(After(line), state, before);
    }
    run_.Differ("the suite does not know this transaction");
  }

  void RunCall(const std::string& line) {
    static const std::map<std::string, ghost_ioc_run> kRuns = {
        {"yield wrong barrier", {.gtid = 0, .run_cpu = 0}},
        {"yield on cpu 1", {.gtid = 0, .run_cpu = 1}},
        {"ping cpu 1 (no agent)", {.gtid = -1, .run_cpu = 1}},
        {"ping RTLA_ON_IDLE", {.gtid = -1, .run_cpu = 0, .run_flags = RTLA_ON_IDLE}},
        {"gtid 5", {.gtid = 5, .run_cpu = 0}},
        {"flags YIELD", {.gtid = 0, .run_cpu = 0, .run_flags = RTLA_ON_YIELD}},
        {"cpu 99", {.gtid = 0, .run_cpu = 99}},
        {"self ping", {.gtid = -1, .run_cpu = 0}}};
    ghost_ioc_run call = kRuns.at(line.substr(4, line.find(" -> ") - 4));
    const uint32_t before = agent_.FreshBarrier();
    call.agent_barrier = before + (absl::StrContains(line, "wrong") ? 1 : 0);
    const std::string result = ResultText(agent_.RunIoctl(call));
    agent_.FreshBarrier();
    WantGrowth(After(line), result, before);
  }

  Run& run_;
  Enclave enclave_;
  Queue queue_, other_;
  Agent agent_;
  Actor& cfs_;
  Actor* w_;
  std::map<std::string, Actor*> actors_;
  std::map<std::string, int64_t> gtids_;
  std::map<std::string, ghost_sw_info> words_;
  std::pair<std::string, Call> next_;
};

class TraceStory : public Story {
 public:
  void Step(Run& run, size_t index) override {
    run.OfThisAbi(run.abi().number == 69, "recorded at ABI 69");
    if (run.over()) return;
    if (run_ == nullptr) {
      run_ = std::make_unique<Run>(run);
      trace_ = std::make_unique<Trace>(*run_);
    }
    if (run_->over()) return run.Differ("a line before this one differs");
    trace_->Line(kLines[index]);
    run.verdict() = run_->verdict();
  }

 private:
  std::unique_ptr<Run> run_;  // of all the steps
  std::unique_ptr<Trace> trace_;
};

const bool kAdded = [] {
  std::vector<StoryStep> rules;
  std::map<std::string, int> times;
  for (const char* line : kLines) {
    const int time = ++times[line];
    rules.push_back({"13.3", time == 1 ? line : absl::StrCat(line, " [", time, "]")});
  }
  return AddStory(rules, [] { return std::make_unique<TraceStory>(); });
}();

}  // namespace
}  // namespace ghost::conformance
