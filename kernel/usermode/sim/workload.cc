#include "kernel/usermode/sim/workload.h"

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernel/usermode/sim/cost_model.h"
#include "kernel/usermode/sim/workload_text.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

constexpr double kMaxRate = 1e9;

class Parser : private WorkloadText {
 public:
  using WorkloadText::WorkloadText;
  absl::StatusOr<Workload> Parse();

 private:
  absl::Status Statement(Workload* workload);
  absl::Status ParseClass(Workload* workload);
  absl::Status ParseRequests(Workload* workload);
  absl::Status ParseAt(Workload* workload);
  absl::Status ParseCode(WorkloadClass* target, int depth);
  absl::Status ParseOp(WorkloadClass* target, int depth);
  absl::Status ParseSimpleOp(std::string_view word, WorkloadClass* target, Op* op);
  // The class's number; classes may be named before they are described.
  int ClassNumber(std::string_view name);

  std::map<std::string, int, std::less<>> class_numbers_;
  std::vector<std::pair<std::string, int>> class_names_;  // by number; line where it is first named
  std::map<int, WorkloadClass> classes_;
};

int Parser::ClassNumber(std::string_view name) {
  const auto [entry, is_new] = class_numbers_.emplace(std::string(name), class_names_.size());
  if (is_new) class_names_.emplace_back(name, Line());
  return entry->second;
}

absl::Status Parser::ParseSimpleOp(std::string_view word, WorkloadClass* target, Op* op) {
  constexpr std::pair<std::string_view, Op::Kind> kPlain[] = {{"wait", Op::Kind::kWait},
                                                              {"yield", Op::Kind::kYield},
                                                              {"depart", Op::Kind::kDepart},
                                                              {"enter", Op::Kind::kEnter},
                                                              {"exit", Op::Kind::kExit}};
  for (const auto& [name, kind] : kPlain) {
    if (word != name) continue;
    op->kind = kind;
    return absl::OkStatus();
  }
  if (word == "serve") {
    op->kind = Op::Kind::kServe;
    op->number = TakeIf("spinning") ? 1 : 0;
  } else if (word == "run" || word == "sleep") {
    op->kind = word == "run" ? Op::Kind::kRun : Op::Kind::kSleep;
    GHOST_ASSIGN_OR_RETURN(op->time, ParseDistribution());
  } else if (word == "wake") {
    op->kind = Op::Kind::kWake;
    GHOST_ASSIGN_OR_RETURN(const std::string name, ParseName());
    op->number = ClassNumber(name);
  } else if (word == "nice") {
    op->kind = Op::Kind::kNice;
    GHOST_ASSIGN_OR_RETURN(op->number, ParseNumber(-20, 19));
  } else if (word == "hint") {
    op->kind = Op::Kind::kHint;
    HintChange hint;
    GHOST_RETURN_IF_ERROR(ParseHint(&hint));
    if (!hint.any) {
      return Error(absl::StrCat("a hint has no ", Quoted(Peek())),
                   "qos N, deadline TIME, estimate TIME, period TIME, repeating, idle, ready");
    }
    op->number = static_cast<int32_t>(target->hints.size());
    target->hints.push_back(hint);
  } else if (word == "affinity") {
    op->kind = Op::Kind::kAffinity;
    GHOST_ASSIGN_OR_RETURN(const CpuSet cpus, ParseCpus());
    op->number = static_cast<int32_t>(target->cpu_sets.size());
    target->cpu_sets.push_back(std::make_shared<const CpuSet>(cpus));
  } else {
    --at_;
    return Error(absl::StrCat("there is no action ", Quoted(word)),
                 "run, sleep, wait, wake, yield, serve, fork, affinity, nice, hint, depart, enter, exit, loop");
  }
  return absl::OkStatus();
}

absl::Status Parser::ParseOp(WorkloadClass* target, int depth) {
  if (target->code.size() + 2 > kMaxOps)
    return Error("the class has too many actions", absl::StrCat("at most ", kMaxOps));
  const std::string_view word = Take();
  Op op;
  if (word != "loop" && word != "fork") {
    GHOST_RETURN_IF_ERROR(ParseSimpleOp(word, target, &op));
    target->code.push_back(op);
    return ExpectEnd();
  }
  const bool loop = word == "loop";
  op.kind = loop ? Op::Kind::kLoop : Op::Kind::kFork;
  if (loop && Peek() != "{") {
    GHOST_ASSIGN_OR_RETURN(op.number, ParseNumber(1, INT32_MAX));
  }
  const size_t start = target->code.size();
  target->code.push_back(op);
  GHOST_RETURN_IF_ERROR(ParseCode(target, depth + 1));
  Op end{.kind = loop ? Op::Kind::kEndLoop : Op::Kind::kExit};
  end.target = static_cast<uint32_t>(start);
  target->code.push_back(end);
  target->code[start].target = static_cast<uint32_t>(target->code.size());
  return ExpectEnd();
}

absl::Status Parser::ParseCode(WorkloadClass* target, int depth) {
  if (depth > kMaxNesting) return Error("loops and forks are nested too deeply", absl::StrCat("at most ", kMaxNesting));
  SkipSeparators();
  if (!TakeIf("{")) return Error(absl::StrCat("expected {, found ", Quoted(Peek())), "{ actions }");
  for (;;) {
    SkipSeparators();
    if (AtEnd()) return Error("a { has no }", "close it");
    if (TakeIf("}")) return absl::OkStatus();
    GHOST_RETURN_IF_ERROR(ParseOp(target, depth));
  }
}

absl::Status Parser::ParseClass(Workload*) {
  GHOST_ASSIGN_OR_RETURN(const std::string name, ParseName());
  if (class_names_.size() >= kMaxClasses) return Error("too many classes", absl::StrCat("at most ", kMaxClasses));
  const int number = ClassNumber(name);
  if (classes_.contains(number))
    return Error(absl::StrCat("there is a class ", name, " already"), "give it another name");
  WorkloadClass& result = classes_[number];
  result.name = name;
  for (;;) {
    GHOST_RETURN_IF_ERROR(ParseHint(&result.hint));
    if (Peek() == "{" || IsSeparator()) break;
    if (TakeIf("count")) {
      GHOST_ASSIGN_OR_RETURN(result.count, ParseNumber(0, kMaxThreads));
    } else if (TakeIf("nice")) {
      GHOST_ASSIGN_OR_RETURN(result.nice, ParseNumber(-20, 19));
    } else if (TakeIf("cpus")) {
      GHOST_ASSIGN_OR_RETURN(result.cpus, ParseCpus());
    } else if (TakeIf("start")) {
      GHOST_ASSIGN_OR_RETURN(result.start, ParseDistribution());
    } else if (TakeIf("ordinary")) {
      result.in_ghost = false;
    } else if (TakeIf("pinned")) {
      result.pinned = true;
    } else {
      return Error(
          absl::StrCat("a class has no ", Quoted(Peek())),
          "count N, nice N, cpus LIST [pinned], start TIME, ordinary, qos N and other hints, then { actions }");
    }
  }
  if (result.pinned && result.cpus.empty()) return Error("a pinned class has no cpus", "cpus 0-3 pinned");
  GHOST_RETURN_IF_ERROR(ParseCode(&result, 1));
  result.code.push_back({.kind = Op::Kind::kExit});
  return ExpectEnd();
}

absl::Status Parser::ParseRequests(Workload* workload) {
  if (workload->streams.size() >= kMaxStreams)
    return Error("too many requests statements", absl::StrCat("at most ", kMaxStreams));
  RequestStream stream;
  GHOST_ASSIGN_OR_RETURN(stream.name, ParseName());
  bool has_class = false;
  while (!IsSeparator()) {
    if (TakeIf("to")) {
      GHOST_ASSIGN_OR_RETURN(const std::string name, ParseName());
      stream.to = ClassNumber(name);
      has_class = true;
    } else if (TakeIf("rate")) {
      if (!absl::SimpleAtod(std::string(Peek()), &stream.per_second) || !(stream.per_second > 0) ||
          stream.per_second > kMaxRate) {
        return Error(absl::StrCat("expected a rate, found ", Quoted(Peek())), "requests a second: rate 100000");
      }
      ++at_;
    } else if (TakeIf("every")) {
      GHOST_ASSIGN_OR_RETURN(stream.period_ns, ParseTime());
      if (stream.period_ns == 0) return Error("the period of requests is 0", "every 10ms");
    } else if (TakeIf("deadline")) {
      GHOST_ASSIGN_OR_RETURN(stream.deadline_ns, ParseTime());
    } else if (TakeIf("run")) {
      GHOST_ASSIGN_OR_RETURN(stream.service, ParseDistribution());
    } else if (TakeIf("assigned")) {
      stream.assigned = true;
    } else if (TakeIf("from")) {
      GHOST_ASSIGN_OR_RETURN(stream.from_ns, ParseTime());
    } else if (TakeIf("until")) {
      GHOST_ASSIGN_OR_RETURN(stream.until_ns, ParseTime());
    } else {
      return Error(absl::StrCat("requests have no ", Quoted(Peek())),
                   "to CLASS, rate N or every TIME, run TIME, deadline TIME, from TIME, until TIME, assigned");
    }
  }
  if (!has_class || (stream.per_second == 0) == (stream.period_ns == 0)) {
    return Error("requests need a class, and a rate or a period",
                 "requests NAME to CLASS rate N run TIME, or every TIME instead of the rate");
  }
  workload->streams.push_back(stream);
  return absl::OkStatus();
}

absl::Status Parser::ParseAt(Workload* workload) {
  using Kind = MachineEvent::Kind;
  if (workload->events.size() >= kMaxEvents)
    return Error("too many at statements", absl::StrCat("at most ", kMaxEvents));
  MachineEvent event;
  GHOST_ASSIGN_OR_RETURN(event.at_ns, ParseTime());
  if (TakeIf("offline") || Peek() == "online") {
    event.kind = TakeIf("online") ? Kind::kOnline : Kind::kOffline;
    GHOST_ASSIGN_OR_RETURN(event.number, ParseNumber(0, CpuSet::kMaxCpus - 1));
  } else if (TakeIf("busy")) {
    event.kind = Kind::kBusy;
    GHOST_ASSIGN_OR_RETURN(event.number, ParseNumber(0, CpuSet::kMaxCpus - 1));
    if (!TakeIf("for")) return Error("busy needs a time", "at TIME busy CPU for TIME");
    GHOST_ASSIGN_OR_RETURN(event.for_ns, ParseTime());
  } else if (TakeIf("start")) {
    event.kind = Kind::kStart;
    GHOST_ASSIGN_OR_RETURN(const std::string name, ParseName());
    event.number = ClassNumber(name);
    GHOST_ASSIGN_OR_RETURN(event.count, ParseNumber(1, kMaxThreads));
  } else if (TakeIf("kill-agents")) {
    event.kind = Kind::kKillAgents;
  } else if (TakeIf("upgrade-agents")) {
    event.kind = Kind::kUpgradeAgents;
  } else {
    return Error(absl::StrCat("nothing is known that happens as ", Quoted(Peek())),
                 "offline CPU, online CPU, busy CPU for TIME, start CLASS N, kill-agents, upgrade-agents");
  }
  workload->events.push_back(event);
  return absl::OkStatus();
}

absl::Status Parser::Statement(Workload* workload) {
  const std::string_view word = Take();
  if (word == "class") return ParseClass(workload);
  if (word == "requests") return ParseRequests(workload);
  if (word == "at") return ParseAt(workload);
  if (word == "duration") {
    GHOST_ASSIGN_OR_RETURN(workload->duration_ns, ParseTime());
    return absl::OkStatus();
  }
  if (word == "warmup") {
    GHOST_ASSIGN_OR_RETURN(workload->warmup_ns, ParseTime());
    return absl::OkStatus();
  }
  if (word == "topology") {
    GHOST_ASSIGN_OR_RETURN(workload->topology, ParseTopologySpec());
    return absl::OkStatus();
  }
  if (word == "cost") {
    CostModel model;
    const std::string assignment(Take());
    if (absl::Status status = model.Set(assignment); !status.ok()) {
      return Error(std::string(status.message()), HintOf(status));
    }
    workload->costs.push_back(assignment);
    return absl::OkStatus();
  }
  --at_;
  return Error(absl::StrCat("there is no statement ", Quoted(word)),
               "class, requests, at, duration, warmup, topology, cost");
}

absl::StatusOr<Workload> Parser::Parse() {
  Workload workload;
  for (SkipSeparators(); !AtEnd(); SkipSeparators()) {
    if (IsSeparator()) continue;
    GHOST_RETURN_IF_ERROR(Statement(&workload));
    GHOST_RETURN_IF_ERROR(ExpectEnd());
    if (!AtEnd() && !IsSeparator()) return Error("a } has no {", "take it away");
  }
  for (size_t number = 0; number < class_names_.size(); ++number) {
    auto found = classes_.find(static_cast<int>(number));
    if (found == classes_.end()) {
      const auto& [name, line] = class_names_[number];
      return WithHint(absl::InvalidArgumentError(absl::StrCat(name_, ":", line, ": there is no class ", name)),
                      absl::StrCat("describe it: class ", name, " { … }"));
    }
    workload.classes.push_back(std::move(found->second));
  }
  return workload;
}

}  // namespace

int64_t Distribution::Draw(Random& random) const {
  switch (kind) {
    case Kind::kConstant:
      return a;
    case Kind::kExponential:
      return random.Exponential(a);
    case Kind::kUniform:
      return a + static_cast<int64_t>(random.Below(static_cast<uint64_t>(b - a) + 1));
    case Kind::kBimodal:
      return random.Chance(chance_b) ? b : a;
  }
  return a;
}

absl::StatusOr<Workload> ParseWorkload(std::string_view text, std::string_view name) {
  if (text.size() > kMaxWorkloadBytes) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(std::string(name), ": the workload is too long")),
                    absl::StrCat("at most ", kMaxWorkloadBytes, " bytes; classes have a count"));
  }
  return Parser(text, name).Parse();
}

absl::StatusOr<TopologySpec> ParseTopology(std::string_view text, std::string_view name) {
  GHOST_ASSIGN_OR_RETURN(const Workload workload, ParseWorkload("topology " + std::string(text), name));
  return *workload.topology;
}

const char* WorkloadGrammar() {
  return R"(  duration TIME                    how long to simulate (--duration goes before it)
  warmup TIME                      … and how long before that, which the summary leaves out
  topology sockets N cores N smt N [l3 CORES]
                                   the machine (--topology goes before it)
  cost NAME=NS | cost MODEL        what an operation costs (--cost goes before it); models: paper, shinjuku, zero
  class NAME [count N] [nice N] [cpus LIST [pinned]] [start DIST] [ordinary] [HINT] { ACTIONS }
                                   N threads; ordinary: not scheduled by agents; pinned: one of the CPUs for each
  requests NAME to CLASS (rate PER_SECOND | every TIME) run DIST [deadline TIME] [from TIME] [until TIME] [assigned]
                                   arrive in a Poisson process, or one each TIME; a thread of CLASS serves each:
                                   whoever comes first, or (assigned) the one that has waited longest when it came
  at TIME offline CPU | online CPU | busy CPU for TIME | start CLASS N | kill-agents | upgrade-agents
actions, one a line or with ; between them:
  run DIST                         execute
  sleep DIST | wait | wake CLASS   a timer; until woken; wake a waiting thread
  serve [spinning]                 wait for a request, execute it; spinning: execute while it waits
  yield | exit | depart | enter    depart to CFS, and enter the enclave again
  nice N | affinity LIST
  hint HINT                        what its scheduler is told of its work
  fork { ACTIONS }                 a new thread; ends with its actions
  loop [N] { ACTIONS }             N times, or for ever
HINT: [qos N] [deadline TIME] [estimate TIME] [period TIME] [repeating] [idle | ready]
DIST: TIME | exp MEAN | uniform LEAST MOST | bimodal TIME OTHER CHANCE_OF_OTHER
TIME: 250ns 20us 1.5ms 2s          CHANCE: 0.005 or 0.5%          # starts a comment
)";
}

}  // namespace ghost::sim
