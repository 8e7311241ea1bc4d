// ghostsim: a workload under a policy on a simulated machine with a ghost kernel. Needs no kernel and no privilege.
//
// This file is the command line; the simulation is kernel/usermode/sim, the policies are in ghostsim_policies.cc.
#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kernel/abi/abi_version.h"
#include "kernel/usermode/sim/simulation.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "util/ghostsim_policies.h"

ABSL_FLAG(std::string, policy, "fifo_per_cpu", "The scheduler; --help lists them.");
ABSL_FLAG(int, cpus, 4, "How many CPUs the machine has, 1 to 1024, unless something says its shape.");
ABSL_FLAG(std::string, topology, "",
          "The machine's shape, instead of --cpus: 'sockets 2 cores 28 smt 2'; empty: as the workload says.");
ABSL_FLAG(std::string, ghost_cpus, "", "The CPUs that agents schedule, a list like 0-3,8; empty: all.");
ABSL_FLAG(std::vector<std::string>, set, {}, "NAME=VALUE,…: what the policy has to set, e.g. a time slice.");
ABSL_FLAG(bool, pnt, false,
          "CPUs that would idle take waiting threads by themselves, as the global agent shows them; with a policy that "
          "has one.");
ABSL_FLAG(std::string, workload, "", "The file that describes threads, requests and events; - is stdin.");
ABSL_FLAG(uint64_t, seed, 1, "What all randomness is drawn from.");
ABSL_FLAG(std::string, seeds, "", "FIRST-LAST: one run for each; says only what failed, and how many did not.");
ABSL_FLAG(std::string, trace, "",
          "Write what happened to this file: as text, or for ui.perfetto.dev if it ends in .json.");
ABSL_FLAG(std::string, faults, "none", "What goes wrong: all, none, or a list with rates, kill=0.1,hotplug.");
ABSL_FLAG(int, abi, 91, "The ABI version of the simulated kernel; 0: drawn from the seed.");
ABSL_FLAG(absl::Duration, duration, absl::ZeroDuration(), "Virtual time to simulate; 0: as the workload says.");
ABSL_FLAG(std::vector<std::string>, cost, {}, "NAME=NS,…: what operations cost, see kernel/usermode/sim/cost_model.h.");
ABSL_FLAG(bool, json, false, "Print the summary as JSON.");
ABSL_FLAG(int, check_every, -1,
          "Check the kernel's invariants after every so many entries into it; 0: at the end only; -1: 20 with "
          "--faults, else 0.");
ABSL_FLAG(absl::Duration, liveness, absl::Seconds(1),
          "With --faults: how long a task that can run may wait, once they have stopped; 0: do not look.");

namespace ghost::sim {
namespace {

constexpr char kName[] = "ghostsim";
constexpr uint32_t kDrawnAbis[] = {69, 75, 84, 91};  // --abi 0
constexpr uint64_t kChecksWithFaults = 20;
constexpr size_t kLinesOfFailure = 40;
constexpr size_t kTraceCapacity = size_t{1} << 24;

absl::Status UsageError(absl::string_view what, absl::string_view hint) {
  return WithHint(absl::InvalidArgumentError(what), hint);
}

struct Settings {
  SimulationOptions options;
  Workload workload;
  uint64_t first_seed = 1;
  uint64_t last_seed = 1;
  bool many = false;
  int abi = 91;
  std::string trace;
};

std::string PolicyNames(bool (*wanted)(const PolicyEntry&)) {
  std::string names;
  for (const PolicyEntry& policy : SimPolicies()) {
    if (wanted(policy)) absl::StrAppend(&names, names.empty() ? "" : ", ", policy.name);
  }
  return names;
}

absl::Status ReadPolicy(Settings* settings) {
  const std::string name = absl::GetFlag(FLAGS_policy);
  if (const PolicyEntry* policy = FindSimPolicy(name)) {
    settings->options.scheduler = policy->factory;
    settings->options.pnt = absl::GetFlag(FLAGS_pnt);
    if (!settings->options.pnt || policy->pnt) return absl::OkStatus();
    return UsageError(absl::StrCat("--pnt: ", name, " shows no CPU who waits"),
                      absl::StrCat("one of ", PolicyNames([](const PolicyEntry& entry) { return entry.pnt; })));
  }
  return UsageError(absl::StrCat("--policy ", name, ": there is no such policy"),
                    absl::StrCat("policies are ", PolicyNames([](const PolicyEntry&) { return true; })));
}

absl::Status ReadWorkload(Settings* settings) {
  const std::string path = absl::GetFlag(FLAGS_workload);
  if (path.empty()) return UsageError("no --workload given", "ghostsim --help shows how to write one");
  GHOST_ASSIGN_OR_RETURN(const std::string text, ReadFile(path == "-" ? "/dev/stdin" : path));
  GHOST_ASSIGN_OR_RETURN(settings->workload, ParseWorkload(text, path == "-" ? "stdin" : path));
  for (const std::string& cost : settings->workload.costs) GHOST_RETURN_IF_ERROR(settings->options.costs.Set(cost));
  for (const std::string& cost : absl::GetFlag(FLAGS_cost)) GHOST_RETURN_IF_ERROR(settings->options.costs.Set(cost));
  return absl::OkStatus();
}

absl::Status ReadSeeds(Settings* settings) {
  settings->first_seed = settings->last_seed = absl::GetFlag(FLAGS_seed);
  const std::string range = absl::GetFlag(FLAGS_seeds);
  if (range.empty()) return absl::OkStatus();
  const size_t dash = range.find('-');
  settings->many = true;
  if (dash == std::string::npos || !absl::SimpleAtoi(range.substr(0, dash), &settings->first_seed) ||
      !absl::SimpleAtoi(range.substr(dash + 1), &settings->last_seed) || settings->last_seed < settings->first_seed) {
    return UsageError(absl::StrCat("--seeds ", range, ": no range"), "--seeds 1-200");
  }
  return absl::OkStatus();
}

absl::Status ReadMachine(Settings* settings) {
  SimulationOptions& options = settings->options;
  options.num_cpus = absl::GetFlag(FLAGS_cpus);
  if (options.num_cpus < 1 || options.num_cpus > CpuSet::kMaxCpus) {
    return UsageError(absl::StrCat("--cpus ", options.num_cpus, ": out of range"), "a number from 1 to 1024");
  }
  std::optional<TopologySpec> spec = settings->workload.topology;
  if (const std::string text = absl::GetFlag(FLAGS_topology); !text.empty()) {
    GHOST_ASSIGN_OR_RETURN(spec, ParseTopology(text, "--topology"));
  }
  options.topology =
      spec.has_value() ? MakeTopology(*spec) : std::make_shared<const Topology>(Topology::Flat(options.num_cpus));
  if (const std::string text = absl::GetFlag(FLAGS_ghost_cpus); !text.empty()) {
    GHOST_ASSIGN_OR_RETURN(options.agent_cpus, options.topology->ParseCpus(text));
  }
  return absl::OkStatus();
}

absl::Status ReadTunables(Settings* settings) {
  for (const std::string& text : absl::GetFlag(FLAGS_set)) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return UsageError(absl::StrCat("--set ", text, ": no assignment"), "--set NAME=VALUE");
    }
    settings->options.tunables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<Settings> ReadFlags() {
  Settings settings;
  SimulationOptions& options = settings.options;
  GHOST_RETURN_IF_ERROR(ReadPolicy(&settings));
  settings.abi = absl::GetFlag(FLAGS_abi);
  if (settings.abi != 0 && (settings.abi < 0 || FindAbi(static_cast<uint32_t>(settings.abi)) == nullptr)) {
    return UsageError(absl::StrCat("--abi ", settings.abi, ": unknown"),
                      absl::StrCat("one of ", KnownAbis(), ", or 0"));
  }
  GHOST_RETURN_IF_ERROR(ReadWorkload(&settings));
  GHOST_RETURN_IF_ERROR(ReadMachine(&settings));
  GHOST_RETURN_IF_ERROR(ReadTunables(&settings));
  GHOST_RETURN_IF_ERROR(ReadSeeds(&settings));
  GHOST_ASSIGN_OR_RETURN(options.faults, ParseFaults(absl::GetFlag(FLAGS_faults)));
  const absl::Duration duration = absl::GetFlag(FLAGS_duration);
  if (duration < absl::ZeroDuration() || duration > absl::Hours(1)) {
    return UsageError("--duration: out of range", "from 0 (as the workload says) to 1h");
  }
  options.duration_ns = absl::ToInt64Nanoseconds(duration);
  const std::string faults = absl::GetFlag(FLAGS_faults);
  const bool has_faults = faults != "none" && !faults.empty();
  const int check_every = absl::GetFlag(FLAGS_check_every);
  options.check_every = check_every >= 0 ? static_cast<uint64_t>(check_every) : has_faults ? kChecksWithFaults : 0;
  if (has_faults) options.liveness_bound_ns = absl::ToInt64Nanoseconds(absl::GetFlag(FLAGS_liveness));
  settings.trace = absl::GetFlag(FLAGS_trace);
  if (settings.many && !settings.trace.empty()) {
    return UsageError("--trace goes with one --seed", "leave --seeds out");
  }
  return settings;
}

absl::Status WriteWholeFile(const std::string& path, const std::string& text) {
  errno = 0;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (out) return absl::OkStatus();
  return WithHint(ErrnoStatus(errno == 0 ? EIO : errno, absl::StrCat("cannot write ", path)),
                  "name another --trace file");
}

uint32_t AbiOf(const Settings& settings, uint64_t seed) {
  if (settings.abi != 0) return static_cast<uint32_t>(settings.abi);
  return kDrawnAbis[seed % std::size(kDrawnAbis)];
}

// One run. What failed is said with the seed and the last events.
bool RunOne(const Settings& settings, uint64_t seed) {
  std::vector<std::string> names;
  for (const WorkloadClass& c : settings.workload.classes) names.push_back(c.name);
  SimulationOptions options = settings.options;
  options.seed = seed;
  options.abi = AbiOf(settings, seed);
  const bool traced = !settings.trace.empty() || options.liveness_bound_ns > 0;
  Trace trace(settings.trace.empty() ? kLinesOfFailure : kTraceCapacity, std::move(names));
  if (traced) options.trace = &trace;
  Simulation simulation(options, settings.workload);
  absl::Status status = simulation.Run();
  if (!settings.trace.empty()) {
    const bool json = absl::EndsWith(settings.trace, ".json");
    const absl::Status written = WriteWholeFile(settings.trace, json ? trace.ToChromeJson() : trace.ToText());
    if (!written.ok()) {
      Report(kName, written);
      return false;
    }
    if (trace.dropped() > 0) std::cerr << kName << ": the trace lacks its first " << trace.dropped() << " events\n";
  }
  if (!status.ok()) {
    if (traced) std::cerr << trace.LastLines(kLinesOfFailure);
    Report(kName,
           WithHint(absl::Status(status.code(), absl::StrCat("seed ", seed, ": ", std::string(status.message()))),
                    HintOf(status)));
    return false;
  }
  if (settings.many) return true;
  std::cout << (absl::GetFlag(FLAGS_json) ? simulation.summary().ToJson() : simulation.summary().ToText());
  return true;
}

int Main(const Settings& settings) {
  uint64_t failed = 0;
  for (uint64_t seed = settings.first_seed;; ++seed) {
    if (!RunOne(settings, seed)) ++failed;
    if (seed == settings.last_seed) break;
  }
  if (settings.many) {
    const uint64_t runs = settings.last_seed - settings.first_seed + 1;
    std::cout << runs - failed << " of " << runs << " seeds passed\n";
  }
  return static_cast<int>(failed == 0 ? ExitCode::kOk : ExitCode::kFailed);
}

std::string Notes() {
  std::string notes = "policies:\n";
  for (const PolicyEntry& policy : SimPolicies()) {
    absl::StrAppend(&notes, "  ", policy.name, std::string(18 - std::string(policy.name).size(), ' '), policy.what,
                    "\n");
  }
  absl::StrAppend(&notes, "faults, and how often each happens per ms unless --faults says otherwise:\n");
  for (const FaultName& fault : kFaults) {
    absl::StrAppend(&notes, "  ", fault.name, std::string(10 - std::string(fault.name).size(), ' '), fault.usual, "\t",
                    fault.what, "\n");
  }
  absl::StrAppend(&notes, "workload files (examples: kernel/usermode/sim/workloads; more: docs/simulation.md):\n",
                  WorkloadGrammar(), "Exit status: 0 ok, 1 a run failed, 2 usage.\n");
  return notes;
}

}  // namespace
}  // namespace ghost::sim

int main(int argc, char** argv) {
  using namespace ghost;
  const CommandLine line = ParseCommandLine(
      {.name = sim::kName,
       .summary = "runs a workload under a policy on a simulated machine, and says what came of it",
       .examples = {"ghostsim --cpus 20 --workload kernel/usermode/sim/workloads/rocksdb.txt",
                    "ghostsim --workload my.txt --seed 7 --trace out.json   # open it in ui.perfetto.dev",
                    "ghostsim --workload my.txt --faults all --seeds 1-200"},
       .notes = sim::Notes()},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::StatusOr<sim::Settings> settings = sim::ReadFlags();
  if (!settings.ok()) return Report(sim::kName, settings.status());
  return sim::Main(*settings);
}
