// paper_table3: Table 3 of the ghOSt paper (SOSP'21), measured on the kernel that is there, beside the paper's figures.
//
// What is timed
//   Rows 1 to 9: round_trips.h says it with a picture. Clocks are CLOCK_MONOTONIC, read by the task and by the agent,
//   so each figure has one look at the clock in it (how long that takes is said below the table), and rows 1 and 2 the
//   system call by which a task yields. "Target CPU" counts from the kernel's own commit_time to the task's next
//   instruction; the end of a group is the last task's.
//   Rows 10 to 12: linux_rows.h.
// How often
//   --rounds rounds of each, after --warm_up of them; a round in which a task was preempted or a commit failed does not
//   count, and is told. The table has median and 99th percentile.
// Where
//   Agents are pinned by the kernel to their CPUs, tasks run where they are committed to; rows 10 to 12 on the last
//   CPU. The CPUs are chosen as the paper chose: of one socket, and a thread of each core before any core's second.
//   Groups have ten CPUs, or as many as there are; with one CPU there are the local rows alone.
// Where there is no ghost kernel
//   Rows 1 to 9 are n/a.
#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "experiments/common/print_format.h"
#include "experiments/microbenchmarks/cpu_order.h"
#include "experiments/microbenchmarks/ghost_rows.h"
#include "experiments/microbenchmarks/linux_rows.h"
#include "experiments/microbenchmarks/simulated_table3.h"
#include "experiments/microbenchmarks/table3.h"
#include "lib/base/cpu_set.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghost_thread.h"
#include "lib/ghostfs.h"
#include "lib/topology.h"

ABSL_FLAG(ghost::PrintFormat, print_format, ghost::PrintFormat::kPretty,
          "How to print the table: pretty, csv or json.");
ABSL_FLAG(int64_t, rounds, 10'000, "How often each operation is measured.");
ABSL_FLAG(int64_t, warm_up, 1'000, "How often it is done before that.");
ABSL_FLAG(absl::Duration, time_limit, absl::Seconds(60),
          "For each group of rows; what was measured until then counts.");
ABSL_FLAG(std::string, ghost_cpus, "", "The CPUs to use, such as 1-11; the first is the agent's. Empty: what is free.");
ABSL_FLAG(bool, simulate, false, "The table of the simulation's cost model, in virtual time; no kernel is needed.");

namespace ghost {
namespace {

constexpr char kName[] = "paper_table3";

absl::Status Usage(const std::string& what, const std::string& hint) {
  return WithHint(absl::InvalidArgumentError(what), hint);
}

absl::Status CheckFlags() {
  if (absl::GetFlag(FLAGS_rounds) < 1 || absl::GetFlag(FLAGS_rounds) > 10'000'000) {
    return Usage("--rounds: out of range", "from 1 to 10000000");
  }
  if (absl::GetFlag(FLAGS_warm_up) < 0 || absl::GetFlag(FLAGS_warm_up) > 10'000'000) {
    return Usage("--warm_up: out of range", "from 0 to 10000000");
  }
  if (absl::GetFlag(FLAGS_time_limit) < absl::Seconds(1) || absl::GetFlag(FLAGS_time_limit) > absl::Hours(1)) {
    return Usage("--time_limit: out of range", "from 1s to 1h");
  }
  if (!absl::GetFlag(FLAGS_enclave).empty()) {
    return Usage("--enclave: it makes enclaves of its own", "choose CPUs with --ghost_cpus");
  }
  return absl::OkStatus();
}

// CPUs that no enclave has.
absl::StatusOr<CpuSet> FreeCpus(Kernel* kernel, const Topology& topology) {
  CpuSet free = topology.all_cpus();
  GHOST_ASSIGN_OR_RETURN(const std::vector<EnclaveInfo> enclaves, kernel->ListEnclaves());
  for (const EnclaveInfo& info : enclaves) {
    // If it can't be read, it is going.
    if (const absl::StatusOr<CpuSet> taken = EnclaveCpus(info.directory); taken.ok()) free -= *taken;
  }
  if (!free.empty()) return free;
  return WithExitCode(WithHint(absl::UnavailableError("all CPUs belong to enclaves"), "ghostctl enclave ls"),
                      ExitCode::kBusy);
}

absl::StatusOr<GhostRowsOptions> ChooseCpus(Kernel* kernel, const Topology& topology) {
  GhostRowsOptions options = {.rounds = absl::GetFlag(FLAGS_rounds),
                              .warm_up = absl::GetFlag(FLAGS_warm_up),
                              .time_limit = absl::GetFlag(FLAGS_time_limit)};
  CpuSet cpus;
  if (const std::string list = absl::GetFlag(FLAGS_ghost_cpus); !list.empty()) {
    GHOST_ASSIGN_OR_RETURN(cpus, topology.ParseCpus(list));
    if (cpus.empty()) return Usage("--ghost_cpus: no CPU", "as 1-11");
  } else {
    GHOST_ASSIGN_OR_RETURN(cpus, FreeCpus(kernel, topology));
    // CPU 0 has the most to do besides.
    if (cpus.size() > Table3::kPaperGroup + 1) cpus.Remove(0);
  }
  options.agent_cpu = cpus.First();
  std::vector<int> order = CpuOrder(topology, cpus, options.agent_cpu, /*pack_smt=*/false);
  if (order.empty()) order = {options.agent_cpu};
  order.resize(std::min<size_t>(order.size(), Table3::kPaperGroup));
  for (int cpu : order) options.targets.Add(cpu);
  return options;
}

absl::Status MeasureOnKernel(Kernel* kernel, int interrupt, Table3* table) {
  GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::OfKernel(kernel));
  GHOST_ASSIGN_OR_RETURN(GhostRowsOptions options, ChooseCpus(kernel, topology));
  options.interrupt = interrupt;
  CpuSet used = options.targets;
  used.Add(options.agent_cpu);
  table->where = absl::StrCat(kernel->user_mode() ? "ghostd" : "this ghost kernel", ", ABI ", kernel->abi().number,
                              ", CPUs ", ToCpuList(used), " (the agent on ", options.agent_cpu, ")");
  const char* one_cpu = "a remote schedule needs two CPUs";
  for (Table3Row row :
       {Table3Row::kDeliveryGlobal, Table3Row::kRemoteAgent, Table3Row::kRemoteTarget, Table3Row::kRemoteEndToEnd,
        Table3Row::kGroupAgent, Table3Row::kGroupTarget, Table3Row::kGroupEndToEnd}) {
    table->SetMissing(row, one_cpu);
  }
  GHOST_RETURN_IF_ERROR(MeasureGhostRows(kernel, options, table));
  GHOST_ASSIGN_OR_RETURN(const Topology machine, Topology::FromSysfs());
  if (const CpuSet made_up = used - machine.all_cpus(); !made_up.empty()) {
    table->notes.push_back(
        absl::StrCat("CPUs ", ToCpuList(made_up), " are virtual: ", machine.num_cpus(), " real ones do their work"));
  }
  return absl::OkStatus();
}

void MeasureLinux(Table3* table) {
  const absl::StatusOr<Topology> machine = Topology::FromSysfs();
  const int cpu = machine.ok() ? machine->all_cpus().Last() : 0;
  // Each is an average of many, so a tenth of the rounds is as much work.
  const int64_t rounds = std::max<int64_t>(absl::GetFlag(FLAGS_rounds) / 10, 1);
  const auto set = [&](Table3Row row, const absl::StatusOr<Latencies>& latencies) {
    latencies.ok() ? table->Set(row, *latencies) : table->SetMissing(row, std::string(latencies.status().message()));
  };
  set(Table3Row::kSyscall, MeasureSyscall(cpu, rounds));
  set(Table3Row::kPthreadSwitch, MeasurePthreadSwitch(cpu, rounds));
  set(Table3Row::kCfsSwitch, MeasureCfsSwitch(cpu, rounds));
  table->notes.push_back(absl::StrFormat("a look at the clock takes %d ns, and is in rows 1 to 9",
                                         MeasureClock(rounds).percentile_ns(0.5)));
}

absl::StatusOr<Table3> Measure(int interrupt) {
  if (absl::GetFlag(FLAGS_simulate)) return SimulateTable3(std::min<int64_t>(absl::GetFlag(FLAGS_rounds), 10'000));
  Table3 table;
  double load = 0;
  getloadavg(&load, 1);
  // The kernel's rows first: they fork, and the others start threads.
  const absl::StatusOr<std::unique_ptr<Kernel>> kernel = OpenGhostfs(absl::GetFlag(FLAGS_ghostfs));
  if (kernel.ok()) {
    GHOST_RETURN_IF_ERROR(MeasureOnKernel(kernel->get(), interrupt, &table));
  } else {
    if (ExitCodeOf(kernel.status()) != ExitCode::kNoKernel) return kernel.status();
    table.where = "this Linux";
    for (int row = 0; row < static_cast<int>(Table3Row::kSyscall); ++row) {
      table.SetMissing(static_cast<Table3Row>(row), std::string(kernel.status().message()));
    }
  }
  MeasureLinux(&table);
  table.notes.push_back(absl::StrFormat("the load average was %.2f when it began", load));
  return table;
}

absl::Status Main(int interrupt) {
  GHOST_RETURN_IF_ERROR(CheckFlags());
  GHOST_ASSIGN_OR_RETURN(const Table3 table, Measure(interrupt));
  Print(absl::GetFlag(FLAGS_print_format), table);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "Table 3 of the ghOSt paper (SOSP'21), measured here: messages, schedules, context switches",
       .examples =
           {"paper_table3                        # on the kernel that is there; what needs ghost is n/a without",
            "paper_table3 --ghost_cpus 1-11 --rounds 100000 --print_format json",
            "paper_table3 --simulate             # of the simulation's cost model"},
       .notes = "It has agents and tasks of its own, in enclaves of its own. Exit code 0: the table was printed.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  // Before there are threads, so that it is blocked in all of them.
  const absl::StatusOr<ghost::SignalFd> signals = ghost::SignalFd::Open(ghost::SignalSet({SIGINT, SIGTERM}));
  if (!signals.ok()) return ghost::Report(ghost::kName, signals.status());
  const absl::Status status = ghost::Main(signals->fd());
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
