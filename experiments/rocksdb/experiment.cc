#include "experiments/rocksdb/experiment.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "experiments/common/cpu_plan.h"
#include "experiments/common/print_format.h"
#include "experiments/common/temp_directory.h"
#include "experiments/rocksdb/cfs_orchestrator.h"
#include "experiments/rocksdb/database.h"
#include "experiments/rocksdb/ghost_orchestrator.h"
#include "experiments/rocksdb/orchestrator.h"
#include "experiments/rocksdb/report.h"
#include "experiments/rocksdb/request_handler.h"
#include "experiments/rocksdb/scheduler_hints.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/ghost_thread.h"
#include "lib/topology.h"

namespace ghost {
namespace {

constexpr uint32_t kEntries = 1'000'000;
constexpr int kRangeSize = 1000;  // some 100 us, before it is padded
// From the threads' start to the first arrival that there can be.
constexpr absl::Duration kLead = absl::Milliseconds(10);

absl::Status Usage(absl::string_view what, absl::string_view hint) {
  return WithHint(absl::InvalidArgumentError(what), hint);
}

absl::Status CheckCounts(const ExperimentOptions& options, const CpuNeeds& needs) {
  const int generators = std::max(needs.generator_cpus.size(), 1);
  const int dispatchers = std::max(needs.dispatcher_cpus.size(), 1);
  if (generators > options.num_workers) {
    return Usage(absl::StrCat("--load_generator_cpus ", options.load_generator_cpus, ": more generators than workers"),
                 absl::StrCat("each feeds workers of its own, and --num_workers is ", options.num_workers));
  }
  if (!options.ghost() && dispatchers > generators) {
    return Usage(
        absl::StrCat("--cfs_dispatcher_cpus ", options.cfs_dispatcher_cpus, ": more dispatchers than load generators"),
        "each is fed by at least one: give as many --load_generator_cpus");
  }
  if (needs.worker_cpus.size() > options.num_workers) {
    return Usage(absl::StrCat("--worker_cpus ", options.worker_cpus, ": more CPUs than workers"),
                 absl::StrCat("--num_workers is ", options.num_workers));
  }
  return absl::OkStatus();
}

// `enclave` is empty for cfs.
absl::StatusOr<CpuPlan> MakePlan(const ExperimentOptions& options, const std::string& enclave) {
  GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::FromSysfs());
  GHOST_ASSIGN_OR_RETURN(const CpuSet usable, UsableCpus());
  CpuNeeds needs = {.workers = options.ghost() ? 0 : options.num_workers, .dispatcher = !options.ghost()};
  GHOST_ASSIGN_OR_RETURN(needs.generator_cpus,
                         ParseCpuFlag(topology, usable, "--load_generator_cpus", options.load_generator_cpus));
  GHOST_ASSIGN_OR_RETURN(needs.dispatcher_cpus,
                         ParseCpuFlag(topology, usable, "--cfs_dispatcher_cpus", options.cfs_dispatcher_cpus));
  GHOST_ASSIGN_OR_RETURN(needs.worker_cpus, ParseCpuFlag(topology, usable, "--worker_cpus", options.worker_cpus));
  GHOST_RETURN_IF_ERROR(CheckCounts(options, needs));
  if (options.ghost()) {
    // They may be more than the machine has: ghostd's virtual ones. Then there is no CPU beside them.
    GHOST_ASSIGN_OR_RETURN(needs.avoid, EnclaveCpus(enclave));
  }
  return PlanCpus(topology, usable, needs);
}

Mailbox::Waiting WorkerWaiting(const ExperimentOptions& options, const CpuPlan& plan) {
  if (options.ghost()) {
    return options.ghost_wait_type == GhostWaitType::kPrioTable ? Mailbox::Waiting::kHinted : Mailbox::Waiting::kSleep;
  }
  if (options.cfs_wait_type == CfsWaitType::kFutex) return Mailbox::Waiting::kSleep;
  return plan.workers_own_cpus ? Mailbox::Waiting::kSpin : Mailbox::Waiting::kYield;
}

RunOptions MakeRunOptions(const ExperimentOptions& options, const CpuPlan& plan) {
  const bool front_sleeps = options.load_generator_wait == GeneratorWait::kAuto
                                ? !plan.front_owns_cpus
                                : options.load_generator_wait == GeneratorWait::kSleep;
  return {.throughput = options.throughput,
          .range_ratio = options.range_query_ratio,
          .get_keys = kEntries,
          .range_keys = kEntries - kRangeSize + 1,
          .num_workers = options.num_workers,
          .batch = options.batch,
          .cpus = plan,
          .front_sleeps = front_sleeps,
          .worker_waiting = WorkerWaiting(options, plan),
          .samples = options.print_distribution,
          .seed = static_cast<uint64_t>(Time::Now().ns())};
}

// Until then, or until a signal comes: then the next one has its usual effect.
void WaitUntil(Time end, SignalFd* signals) {
  for (;;) {
    const int64_t left_ns = Time::NanosecondsBetween(Time::Now(), end);
    if (left_ns <= 0) return;
    const int64_t left_ms = std::min<int64_t>(left_ns / 1'000'000 + 1, 3'600'000);
    pollfd wanted = {.fd = signals->fd(), .events = POLLIN, .revents = 0};
    if (poll(&wanted, 1, static_cast<int>(left_ms)) <= 0 || !signals->Next().has_value()) continue;
    const sigset_t set = SignalSet({SIGINT, SIGTERM});
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    return;
  }
}

// The hints of a run, if its scheduler is to get any.
absl::StatusOr<std::unique_ptr<SchedulerHints>> MakeHints(const ExperimentOptions& options) {
  if (!options.ghost() || options.ghost_wait_type == GhostWaitType::kFutex) return std::make_unique<SchedulerHints>();
  auto hints = std::make_unique<PrioTableHints>(options.num_workers, options.ghost_qos, options.get_duration);
  GHOST_RETURN_IF_ERROR(hints->status());
  return hints;
}

void PrintOptions(const ExperimentOptions& options, const RunOptions& run) {
  if (options.print_format != PrintFormat::kPretty) return;
  for (const auto& [name, value] : options.ToPairs()) {
    printf("%s: %s\n", name.c_str(), value.empty() ? "(none)" : value.c_str());
  }
  printf("CPUs: %s; load generators %s while they wait\n", run.cpus.ToString().c_str(),
         run.front_sleeps ? "sleep" : "spin");
}

absl::StatusOr<RunResults> Measure(const ExperimentOptions& options, Orchestrator* orchestrator, SignalFd* signals) {
  if (const absl::Status started = orchestrator->Start(); !started.ok()) {
    const absl::Status ended = orchestrator->End();
    return ended.ok() ? started : ended;
  }
  SayReady("rocksdb", options.print_format);
  const Time start = Time::Now() + kLead;
  const Time end = start + options.experiment_duration;
  orchestrator->Open({.start = start, .measure_from = start + options.discard_duration, .end = end});
  WaitUntil(end, signals);
  return orchestrator->Close();
}

// Whether the results are what they say.
absl::Status CheckResults(const RunResults& results, const std::string& enclave) {
  if (results.failed > 0) {
    return absl::InternalError(absl::StrCat(results.failed, " requests could not be served by the database"));
  }
  if (enclave.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> status = ReadFile(enclave + "/status");
  if (status.ok() && absl::StrContains(*status, "active yes")) return absl::OkStatus();
  return WithHint(absl::FailedPreconditionError(absl::StrCat("the agent of ", enclave, " has gone during the run")),
                  "the results are not its alone");
}

}  // namespace

absl::Status RunExperiment(const ExperimentOptions& options, SignalFd* signals) {
  std::string enclave;
  if (options.ghost()) {
    GHOST_ASSIGN_OR_RETURN(enclave, FindEnclave(options.enclave, options.ghostfs));
  }
  GHOST_ASSIGN_OR_RETURN(const CpuPlan plan, MakePlan(options, enclave));
  const RunOptions run = MakeRunOptions(options, plan);
  PrintOptions(options, run);

  std::optional<TempDirectory> temporary;
  std::string path = options.rocksdb_db_path;
  if (path.empty()) {
    GHOST_ASSIGN_OR_RETURN(TempDirectory directory, TempDirectory::Make("ghost-rocksdb"));
    path = directory.path() + "/db";
    temporary.emplace(std::move(directory));
  }
  GHOST_ASSIGN_OR_RETURN(const Database database, Database::Open(path, {.entries = kEntries}));
  DatabaseHandler handler(&database, {.get_duration = options.get_duration,
                                      .range_duration = options.range_duration,
                                      .get_exponential_mean = options.get_exponential_mean,
                                      .range_size = kRangeSize});
  GHOST_ASSIGN_OR_RETURN(const std::unique_ptr<SchedulerHints> hints, MakeHints(options));
  std::unique_ptr<Orchestrator> orchestrator;
  if (options.ghost()) {
    orchestrator =
        std::make_unique<GhostOrchestrator>(run, GhostOrchestrator::Ghost{.enclave = enclave}, &handler, hints.get());
  } else {
    orchestrator = std::make_unique<CfsOrchestrator>(run, &handler);
  }
  const absl::StatusOr<RunResults> results = Measure(options, orchestrator.get(), signals);
  if (!results.ok()) {
    // Its threads may use all of this for ever.
    if (absl::IsDeadlineExceeded(results.status())) orchestrator.release();
    return results.status();
  }
  fputs(FormatReport(options, *results).c_str(), stdout);
  fflush(stdout);
  return CheckResults(*results, enclave);
}

}  // namespace ghost
