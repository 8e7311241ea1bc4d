// A workload: classes of simulated threads and what they do, requests that arrive, and what happens to the machine.
//
// ParseWorkload reads the text that people write; docs/simulation.md has the grammar and examples. What it is not: it
// runs nothing (script.h does). Threads: any.
#ifndef GHOST_KERNEL_USERMODE_SIM_WORKLOAD_H_
#define GHOST_KERNEL_USERMODE_SIM_WORKLOAD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernel/usermode/sim/random.h"
#include "kernel/usermode/sim/topology_spec.h"
#include "lib/base/cpu_set.h"

namespace ghost::sim {

// Times in ns.
struct Distribution {
  enum class Kind : uint8_t { kConstant, kExponential, kUniform, kBimodal };
  Kind kind = Kind::kConstant;
  int64_t a = 0;        // the constant; the mean; the least; the usual one
  int64_t b = 0;        // the most; the other one
  double chance_b = 0;  // kBimodal

  int64_t Draw(Random& random) const;
};

// One action of a class. A class's code is a list of them, with jumps for its loops.
struct Op {
  enum class Kind : uint8_t {
    kRun,    // for `time`
    kSleep,  // for `time`
    kWait,   // until woken
    kWake,   // one waiting thread of class `number`
    kYield,
    kServe,     // one request of its class: waits for it, executes as long as it says, is done with it; `number` 1:
                // it executes while it waits
    kFork,      // a child whose code starts at the next op; the parent goes on at `target`
    kAffinity,  // to cpus[number]
    kNice,      // to `number`
    kHint,      // its work is as hints[number] says
    kDepart,
    kEnter,
    kLoop,     // what follows, `number` times; 0: for ever
    kEndLoop,  // back behind the kLoop at `target`
    kExit,
  };
  Kind kind = Kind::kExit;
  int32_t number = 0;
  uint32_t target = 0;
  Distribution time;
};

// What a thread tells its scheduler of its work (lib/work_hints.h): fields that are there replace what it has said.
struct HintChange {
  bool any = false;  // one of them is there
  std::optional<uint32_t> qos;
  std::optional<int64_t> deadline_ns;  // after the hint is written
  std::optional<int64_t> estimate_ns;
  std::optional<int64_t> period_ns;
  std::optional<bool> repeating;
  std::optional<bool> has_work;
};

struct WorkloadClass {
  std::string name;
  int count = 1;
  int nice = 0;
  CpuSet cpus;          // empty: all
  bool pinned = false;  // the first thread to the first of `cpus` alone, the second to the second, …
  Distribution start;   // after the beginning (or the `at … start`), for each thread
  bool in_ghost = true;
  HintChange hint;  // its threads', from their start on; none: they tell nothing
  std::vector<Op> code;
  std::vector<std::shared_ptr<const CpuSet>> cpu_sets;  // of its kAffinity
  std::vector<HintChange> hints;                        // of its kHint
};

// Requests that arrive at threads of a class whether they are ready or not (open loop): in a Poisson process, or one
// each period.
struct RequestStream {
  std::string name;
  int to = 0;                // class
  double per_second = 0;     // 0: one each period_ns, …
  int64_t period_ns = 0;     // … from from_ns on
  int64_t deadline_ns = -1;  // after its arrival it is to be served; -1: whenever
  Distribution service;      // how long each takes to serve
  bool assigned = false;     // to the thread that has waited longest, which serves no other; else whoever comes first
  int64_t from_ns = 0;
  int64_t until_ns = INT64_MAX;
};

struct MachineEvent {
  enum class Kind : uint8_t { kOffline, kOnline, kBusy, kStart, kKillAgents, kUpgradeAgents };
  int64_t at_ns = 0;
  Kind kind = Kind::kOffline;
  int number = 0;      // CPU; of kStart the class
  int count = 0;       // of kStart
  int64_t for_ns = 0;  // of kBusy
};

struct Workload {
  int64_t duration_ns = 100'000'000;
  int64_t warmup_ns = 0;           // before that; it is simulated, but not in the summary
  std::vector<std::string> costs;  // "message=300", as CostModel::Set takes them
  std::optional<TopologySpec> topology;
  std::vector<WorkloadClass> classes;
  std::vector<RequestStream> streams;
  std::vector<MachineEvent> events;
};

// The limits of a workload; whatever is beyond is an error of its text.
inline constexpr size_t kMaxWorkloadBytes = size_t{1} << 20;
inline constexpr int kMaxThreads = 1'000'000;  // of one class
inline constexpr int kMaxClasses = 256;
inline constexpr size_t kMaxOps = 4096;  // of one class
inline constexpr int kMaxNesting = 16;   // of loops and forks
inline constexpr size_t kMaxStreams = 256;
inline constexpr size_t kMaxEvents = 65536;

// InvalidArgument, with a hint: "NAME:LINE: what is wrong". Takes any text; memory is bounded by the text's length.
absl::StatusOr<Workload> ParseWorkload(std::string_view text, std::string_view name = "workload");
// "sockets 2 cores 28 smt 2": what stands behind `topology` in a workload.
absl::StatusOr<TopologySpec> ParseTopology(std::string_view text, std::string_view name);
// The grammar, for --help.
const char* WorkloadGrammar();

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_WORKLOAD_H_
