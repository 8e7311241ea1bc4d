// antagonist: threads that soak up CPU time, and how much of it they got.
//
// What a batch job does beside a latency-critical one: each worker computes for a share of each 100 us. "Run duration"
// is CPU time that a worker really had, by its own CPU-time clock and read for all workers at once, so a worker that
// waits for a CPU gains nothing; "work share" is that of the time that was measured. "Total" is the sum, and the mean
// of the shares.
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "experiments/antagonist/report.h"
#include "experiments/antagonist/workers.h"
#include "experiments/common/cpu_plan.h"
#include "experiments/common/print_format.h"
#include "experiments/common/scheduler_flag.h"
#include "lib/base/cpu_set.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghost_thread.h"
#include "lib/topology.h"

ABSL_FLAG(ghost::PrintFormat, print_format, ghost::PrintFormat::kPretty, "How to print results: pretty, csv or json.");
ABSL_FLAG(double, work_share, 1.0, "The share of each 100 us that a thread computes, 0 to 1.");
ABSL_FLAG(int, num_threads, 0, "How many threads; 0: one for each CPU (ghost: of the enclave, but one of several).");
ABSL_FLAG(std::string, cpus, "", "cfs: the CPUs, such as 10-17; thread i is pinned to the i-th. Empty: all.");
ABSL_FLAG(absl::Duration, experiment_duration, absl::InfiniteDuration(), "For how long; inf: until a signal ends it.");
ABSL_FLAG(ghost::Scheduler, scheduler, ghost::Scheduler::kCfs, "Who schedules the threads: cfs or ghost.");
ABSL_FLAG(uint32_t, ghost_qos, 2, "ghost: their quality of service in the PrioTable; higher is more urgent.");

namespace ghost {
namespace {

constexpr char kName[] = "antagonist";
constexpr int kMaxThreads = 4096;

struct Settings {
  AntagonistWorkers::Options workers;
  PrintFormat format = PrintFormat::kPretty;
  Scheduler scheduler = Scheduler::kCfs;
  absl::Duration duration;
};

absl::Status Usage(const std::string& what, const std::string& hint) {
  return WithHint(absl::InvalidArgumentError(what), hint);
}

absl::StatusOr<std::vector<int>> CpusForCfs() {
  GHOST_ASSIGN_OR_RETURN(const CpuSet usable, UsableCpus());
  GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::FromSysfs());
  GHOST_ASSIGN_OR_RETURN(const CpuSet cpus, ParseCpuFlag(topology, usable, "--cpus", absl::GetFlag(FLAGS_cpus)));
  return (cpus.empty() ? usable : cpus).ToVector();
}

// With several CPUs, one is the agent's.
absl::StatusOr<int> CpusForTasks(const std::string& enclave) {
  GHOST_ASSIGN_OR_RETURN(const CpuSet cpus, EnclaveCpus(enclave));
  return std::max(cpus.size() - 1, 1);
}

absl::Status ReadNumbers(Settings* settings) {
  settings->workers.work_share = absl::GetFlag(FLAGS_work_share);
  if (!(settings->workers.work_share >= 0 && settings->workers.work_share <= 1)) {
    return Usage(absl::StrCat("--work_share ", settings->workers.work_share, ": out of range"), "from 0 to 1");
  }
  settings->workers.count = absl::GetFlag(FLAGS_num_threads);
  if (settings->workers.count < 0 || settings->workers.count > kMaxThreads) {
    return Usage(absl::StrCat("--num_threads ", settings->workers.count, ": out of range"),
                 absl::StrCat("from 1 to ", kMaxThreads, ", or 0: one for each CPU"));
  }
  settings->duration = absl::GetFlag(FLAGS_experiment_duration);
  if (settings->duration <= absl::ZeroDuration()) {
    return Usage("--experiment_duration: must be more than nothing", "as 15s, or inf");
  }
  settings->workers.ghost_qos = absl::GetFlag(FLAGS_ghost_qos);
  return absl::OkStatus();
}

absl::StatusOr<Settings> ReadFlags() {
  Settings settings;
  settings.format = absl::GetFlag(FLAGS_print_format);
  settings.scheduler = absl::GetFlag(FLAGS_scheduler);
  GHOST_RETURN_IF_ERROR(ReadNumbers(&settings));
  AntagonistWorkers::Options& workers = settings.workers;
  if (settings.scheduler == Scheduler::kCfs) {
    GHOST_ASSIGN_OR_RETURN(workers.cpus, CpusForCfs());
    if (workers.count == 0) workers.count = static_cast<int>(workers.cpus.size());
    return settings;
  }
  if (!absl::GetFlag(FLAGS_cpus).empty()) {
    return Usage("--cpus goes with --scheduler cfs", "in ghost the agent decides where threads run: leave it out");
  }
  GHOST_ASSIGN_OR_RETURN(workers.enclave, FindEnclave(absl::GetFlag(FLAGS_enclave), absl::GetFlag(FLAGS_ghostfs)));
  if (workers.count == 0) {
    GHOST_ASSIGN_OR_RETURN(workers.count, CpusForTasks(workers.enclave));
  }
  return settings;
}

// Until the duration is over or somebody wants the end. From then on a signal has its usual effect.
void Wait(SignalFd* signals, Time end) {
  for (Time now = Time::Now(); now < end; now = Time::Now()) {
    const int64_t left_ms = end == Time::Infinite() ? -1 : Time::NanosecondsBetween(now, end) / 1'000'000 + 1;
    pollfd wanted = {.fd = signals->fd(), .events = POLLIN, .revents = 0};
    if (poll(&wanted, 1, static_cast<int>(std::min<int64_t>(left_ms, 1'000'000'000))) > 0) break;
  }
  while (signals->Next().has_value()) continue;
  const sigset_t mask = SignalSet({SIGINT, SIGTERM});
  sigprocmask(SIG_UNBLOCK, &mask, nullptr);
}

absl::Status Main(const Settings& settings, SignalFd* signals) {
  AntagonistWorkers workers(settings.workers);
  const absl::Status started = workers.Start();
  AntagonistReport report = {.scheduler = AbslUnparseFlag(settings.scheduler),
                             .work_share = settings.workers.work_share};
  if (started.ok()) {
    SayReady(kName, settings.format);
    const std::vector<int64_t> before = workers.CpuTimes();
    const Time start = Time::Now();
    Wait(signals, start + settings.duration);
    report.duration_ns = Time::NanosecondsBetween(start, Time::Now());
    report.run_duration_ns = workers.CpuTimes();
    for (size_t i = 0; i < before.size(); ++i) report.run_duration_ns[i] -= before[i];
    Print(settings.format, report);
  }
  const absl::Status stopped = workers.Stop();
  if (absl::IsDeadlineExceeded(stopped)) {
    // Threads that do not end can't be joined.
    _exit(Report(kName, started.ok() ? stopped : started));
  }
  return started.ok() ? stopped : started;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "threads that soak up CPU time, and how much of it they got",
       .examples = {"antagonist --experiment_duration 10s                      # under Linux, one thread for each CPU",
                    "antagonist --cpus 10-17 --num_threads 8 --work_share 0.5   # until Ctrl-C",
                    "agent_shinjuku --ghost_cpus 0-3 &",
                    "antagonist --scheduler ghost --ghost_qos 1 --print_format json"},
       .notes = "It says 'antagonist: ready' when it begins to measure (on stderr, if what it prints is csv or json),\n"
                "and the results when the duration is over or SIGINT or SIGTERM comes.\n"
                "In ghost its threads are as urgent as other work of the same quality of service: to give them what\n"
                "others leave, give them a lower one.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::StatusOr<ghost::Settings> settings = ghost::ReadFlags();
  if (!settings.ok()) return ghost::Report(ghost::kName, settings.status());
  // Before there are threads, so that it is blocked in all of them.
  absl::StatusOr<ghost::SignalFd> signals = ghost::SignalFd::Open(ghost::SignalSet({SIGINT, SIGTERM}));
  if (!signals.ok()) return ghost::Report(ghost::kName, signals.status());
  const absl::Status status = ghost::Main(*settings, &*signals);
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
