// global_scalability: how many schedules one global agent makes in a second, as the number of its CPUs grows (Fig 5 of
// the ghOSt paper).
//
// For each number of CPUs an agent of its own, as a child process in an enclave of those CPUs and its own, and a few
// threads for each of them that yield in a loop: each time the agent has to choose again. With "none" Linux schedules
// the same threads, pinned to the same CPUs.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "experiments/microbenchmarks/agent_child.h"
#include "experiments/microbenchmarks/cpu_order.h"
#include "experiments/microbenchmarks/yielders.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghost_thread.h"
#include "lib/ghostfs.h"
#include "lib/topology.h"

ABSL_FLAG(std::string, o, "/dev/stdout", "The file to write to.");
ABSL_FLAG(int, global_cpu, 1, "The CPU of the global agent.");
ABSL_FLAG(int, max_cpus, -1, "The greatest number of CPUs for threads; -1: all there are.");
ABSL_FLAG(int, min_cpus, -1, "The smallest; -1: one.");
ABSL_FLAG(
    int64_t, total_loops, 0,
    "How often all threads together yield, for each number of CPUs. 0: 5000000; over ghostd, where a schedule takes "
    "some 100 us, 50000.");
ABSL_FLAG(int, threads_per_cpu, 5, "How many threads for each CPU.");
ABSL_FLAG(bool, skip_cpu0, true, "Leave CPU 0 to the rest of the system, if others are left for threads.");
ABSL_FLAG(bool, pack_smt, false, "Take both threads of a core before the next core, instead of each core once first.");

namespace ghost {
namespace {

constexpr char kName[] = "global_scalability";
constexpr int64_t kLoops = 5'000'000;
constexpr int64_t kLoopsOverGhostd = 50'000;

struct Scheduler {
  const char* name;
  const char* agent;  // its program; "": Linux
};
constexpr Scheduler kSchedulers[] = {{"edf", "agent_exp"},
                                     {"shinjuku", "agent_shinjuku"},
                                     {"sol", "agent_sol"},
                                     {"fifo", "fifo_centralized_agent"},
                                     {"none", ""}};

struct Settings {
  std::string agent;    // "": Linux
  std::string enclave;  // the one to use; "": a new one for each step
  int global_cpu = 1;
  std::vector<int> cpus;  // for threads, in the order in which they are taken
  int min_cpus = 1;
  int max_cpus = 1;
  int64_t total_loops = kLoops;
  int threads_per_cpu = 5;
};

absl::Status Usage(const std::string& what, const std::string& hint) {
  return WithHint(absl::InvalidArgumentError(what), hint);
}

// -1 and no name: none; N: enclave_N.
std::string EnclaveFlag() {
  const std::string flag = absl::GetFlag(FLAGS_enclave);
  int number;
  if (!absl::SimpleAtoi(flag, &number)) return flag;
  return number < 0 ? "" : absl::StrCat("enclave_", number);
}

absl::Status ChooseCpus(const Topology& topology, const CpuSet& usable, Settings* settings) {
  settings->global_cpu = absl::GetFlag(FLAGS_global_cpu);
  if (!usable.Contains(settings->global_cpu)) {
    return Usage(absl::StrCat("--global_cpu ", settings->global_cpu, ": there is no such CPU"),
                 absl::StrCat("CPUs are ", ToCpuList(usable)));
  }
  CpuSet candidates = usable;
  candidates.Remove(settings->global_cpu);
  if (absl::GetFlag(FLAGS_skip_cpu0) && candidates != CpuSet{0}) candidates.Remove(0);
  settings->cpus = CpuOrder(topology, candidates, settings->global_cpu, absl::GetFlag(FLAGS_pack_smt));
  const int most = static_cast<int>(settings->cpus.size());
  if (most == 0) {
    return WithHint(absl::FailedPreconditionError("there is no CPU for threads beside the agent's"),
                    "two CPUs at least are needed: ghostd --cpus 2 has them anywhere");
  }
  const int min = absl::GetFlag(FLAGS_min_cpus), max = absl::GetFlag(FLAGS_max_cpus);
  settings->min_cpus = min == -1 ? 1 : min;
  settings->max_cpus = max == -1 ? most : max;
  if (settings->min_cpus < 1 || settings->max_cpus > most || settings->min_cpus > settings->max_cpus) {
    return Usage(absl::StrCat("--min_cpus ", min, " --max_cpus ", max, ": out of range"),
                 absl::StrCat("from 1 to ", most, ", and the first not above the second"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AgentOf(const std::vector<std::string>& arguments) {
  if (arguments.size() == 1) {
    for (const Scheduler& scheduler : kSchedulers) {
      if (arguments[0] == scheduler.name) return std::string(scheduler.agent);
    }
  }
  return Usage(arguments.empty() ? "which scheduler?" : absl::StrCat("not a scheduler: ", arguments.back()),
               "one of edf, shinjuku, sol, fifo, none");
}

absl::Status ReadNumbers(bool user_mode, Settings* settings) {
  settings->total_loops = absl::GetFlag(FLAGS_total_loops);
  if (settings->total_loops < 0) return Usage("--total_loops: less than nothing", "as 5000000");
  if (settings->total_loops == 0) settings->total_loops = user_mode ? kLoopsOverGhostd : kLoops;
  settings->threads_per_cpu = absl::GetFlag(FLAGS_threads_per_cpu);
  if (settings->threads_per_cpu < 1 || settings->threads_per_cpu > 1000) {
    return Usage("--threads_per_cpu: out of range", "from 1 to 1000");
  }
  return absl::OkStatus();
}

// What one number of CPUs gives.
absl::StatusOr<std::string> Measure(const Settings& settings, int num_cpus, const std::string& enclave) {
  YieldersOptions options = {.enclave = enclave, .threads = num_cpus * settings.threads_per_cpu};
  options.cpus.assign(settings.cpus.begin(), settings.cpus.begin() + num_cpus);
  options.loops_per_thread = std::max<int64_t>(settings.total_loops / options.threads, 1);
  GHOST_ASSIGN_OR_RETURN(const absl::Duration took, RunYielders(options));
  const double loops = static_cast<double>(options.loops_per_thread) * options.threads;
  return absl::StrFormat("%d,%.0f,%d\n", num_cpus, loops / absl::ToDoubleSeconds(took), options.loops_per_thread);
}

// The enclave that has this CPU.
absl::StatusOr<std::string> EnclaveWith(Kernel* kernel, int cpu) {
  GHOST_ASSIGN_OR_RETURN(const std::vector<EnclaveInfo> enclaves, kernel->ListEnclaves());
  for (const EnclaveInfo& info : enclaves) {
    const absl::StatusOr<CpuSet> cpus = EnclaveCpus(info.directory);
    if (cpus.ok() && cpus->Contains(cpu)) return info.directory;
  }
  return absl::NotFoundError(absl::StrCat("no enclave has CPU ", cpu));
}

absl::StatusOr<std::string> Step(Kernel* kernel, const Settings& settings, int num_cpus) {
  if (settings.agent.empty()) return Measure(settings, num_cpus, "");
  CpuSet cpus = {settings.global_cpu};
  for (int i = 0; i < num_cpus; ++i) cpus.Add(settings.cpus[i]);
  std::vector<std::string> arguments = {"--ghostfs", kernel->root(), "--globalcpu", absl::StrCat(settings.global_cpu)};
  if (settings.enclave.empty()) {
    arguments.insert(arguments.end(), {"--ghost_cpus", ToCpuList(cpus)});
  } else {
    GHOST_ASSIGN_OR_RETURN(const auto enclave, kernel->AttachEnclave(settings.enclave));
    GHOST_RETURN_IF_ERROR(enclave->WriteFile("cpulist", ToCpuList(cpus)));
    arguments.insert(arguments.end(), {"--enclave", settings.enclave});
  }
  GHOST_ASSIGN_OR_RETURN(const std::unique_ptr<AgentChild> agent, AgentChild::Start(settings.agent, arguments));
  GHOST_ASSIGN_OR_RETURN(const std::string enclave, EnclaveWith(kernel, settings.global_cpu));
  absl::StatusOr<std::string> row = Measure(settings, num_cpus, enclave);
  const absl::Status stopped = agent->Stop();
  if (row.ok() && !stopped.ok()) return stopped;
  return row;
}

absl::Status RunSteps(Kernel* kernel, const Settings& settings) {
  const std::string path = absl::GetFlag(FLAGS_o);
  std::ofstream file;
  if (path != "/dev/stdout") {
    file.open(path, std::ios::trunc);
    if (!file) return WithHint(ErrnoStatus(errno, absl::StrCat("cannot write ", path)), "name another file: --o");
  }
  std::ostream& out = path == "/dev/stdout" ? std::cout : file;
  out << "nr_task_cpus,scheds_per_sec,loops_per_thread\n" << std::flush;
  for (int num_cpus = settings.min_cpus; num_cpus <= settings.max_cpus; ++num_cpus) {
    GHOST_ASSIGN_OR_RETURN(const std::string row, Step(kernel, settings, num_cpus));
    out << row << std::flush;
    if (!out) return WithHint(ErrnoStatus(EIO, absl::StrCat("cannot write ", path)), "is there room?");
  }
  return absl::OkStatus();
}

absl::Status MeasureLinux(Settings settings) {
  GHOST_RETURN_IF_ERROR(ReadNumbers(/*user_mode=*/false, &settings));
  GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::FromSysfs());
  GHOST_RETURN_IF_ERROR(ChooseCpus(topology, topology.all_cpus(), &settings));
  return RunSteps(nullptr, settings);
}

absl::Status MeasureAgent(Settings settings) {
  GHOST_ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> kernel, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
  GHOST_RETURN_IF_ERROR(ReadNumbers(kernel->user_mode(), &settings));
  GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::OfKernel(kernel.get()));
  const std::string name = EnclaveFlag();
  if (name.empty()) {
    GHOST_RETURN_IF_ERROR(ChooseCpus(topology, topology.all_cpus(), &settings));
    return RunSteps(kernel.get(), settings);
  }
  GHOST_ASSIGN_OR_RETURN(const auto enclave, kernel->AttachEnclave(name));
  GHOST_ASSIGN_OR_RETURN(const CpuSet cpus, EnclaveCpus(enclave->directory()));
  settings.enclave = enclave->directory();
  GHOST_RETURN_IF_ERROR(ChooseCpus(topology, cpus, &settings));
  absl::Status status = RunSteps(kernel.get(), settings);
  // As it was found.
  const absl::Status restored = enclave->WriteFile("cpulist", ToCpuList(cpus));
  return status.ok() ? restored : status;
}

absl::Status Main(const std::vector<std::string>& arguments) {
  Settings settings;
  GHOST_ASSIGN_OR_RETURN(settings.agent, AgentOf(arguments));
  return settings.agent.empty() ? MeasureLinux(settings) : MeasureAgent(settings);
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "how many schedules a second one global agent makes, as the number of its CPUs grows",
       .arguments = "edf|shinjuku|sol|fifo|none",
       .examples = {"global_scalability sol                     # starts agent_sol, once for each number of CPUs",
                    "global_scalability none --o linux.csv      # the same threads under Linux",
                    "global_scalability fifo --max_cpus 4 --total_loops 1000000"},
       .notes =
           "CSV: how many CPUs have threads, schedules a second (of all of them), how often each thread yielded.\n"
           "Each step has an enclave of its own, or with --enclave that one, with as many of its CPUs.\n"
           "Over ghostd (ghostd --cpus 8 offers eight CPUs on any machine) ghostd's own cost is in the figures.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::Status status = ghost::Main(line.arguments);
  if (status.ok()) return 0;
  const int code = ghost::Report(ghost::kName, status);
  // Threads that stand still can't be joined; the agent ends with this process.
  if (absl::IsDeadlineExceeded(status)) _exit(code);
  return code;
}
