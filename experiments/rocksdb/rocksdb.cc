// rocksdb: a database server under load, and what its requests' latency is made of.
//
// Requests arrive as a Poisson process and are served by real RocksDB; each takes a given time. Workers are scheduled
// by Linux (--scheduler cfs), behind a dispatcher, or by a ghost agent (--scheduler ghost) that learns from a PrioTable
// who has work. docs/experiments.md tells what to do with it; the orchestrators' headers how it works.
#include <stdio.h>
#include <unistd.h>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "experiments/common/print_format.h"
#include "experiments/rocksdb/experiment.h"
#include "experiments/rocksdb/options.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"

ABSL_FLAG(ghost::PrintFormat, print_format, ghost::ExperimentOptions().print_format, "pretty, csv or json.");
ABSL_FLAG(bool, print_last, false, "Of the stages only the last, the total (pretty, csv).");
ABSL_FLAG(bool, print_distribution, false, "Each request with its times, too. Takes 64 bytes of memory for each.");
ABSL_FLAG(bool, print_ns, false, "Times in ns rather than us (pretty, csv).");
ABSL_FLAG(bool, print_get, false, "The Get requests by themselves, too (pretty, csv).");
ABSL_FLAG(bool, print_range, false, "The Range requests by themselves, too (pretty, csv).");
ABSL_FLAG(std::string, rocksdb_db_path, "",
          "The database's directory: new, empty, or from an earlier run. Empty: a temporary one that is removed.");
ABSL_FLAG(double, throughput, ghost::ExperimentOptions().throughput, "Requests per second, Poisson.");
ABSL_FLAG(double, range_query_ratio, ghost::ExperimentOptions().range_query_ratio,
          "The share of Range requests, 0 to 1; the others are Get requests.");
ABSL_FLAG(std::string, load_generator_cpus, "", "A load generator for each of these CPUs. Empty: one, planned.");
ABSL_FLAG(ghost::GeneratorWait, load_generator_wait, ghost::ExperimentOptions().load_generator_wait,
          "How load generators and dispatchers wait: spin, sleep, or auto: spin on CPUs of their own, else sleep.");
ABSL_FLAG(std::string, cfs_dispatcher_cpus, "", "cfs: a dispatcher for each of these CPUs. Empty: one, planned.");
ABSL_FLAG(int, num_workers, ghost::ExperimentOptions().num_workers, "How many workers serve requests.");
ABSL_FLAG(std::string, worker_cpus, "",
          "cfs: workers are pinned to these CPUs, in turn. Empty: planned; must be empty for ghost.");
ABSL_FLAG(ghost::CfsWaitType, cfs_wait_type, ghost::ExperimentOptions().cfs_wait_type,
          "cfs: how workers wait for requests: spin (and yield, where they share a CPU) or futex.");
ABSL_FLAG(ghost::GhostWaitType, ghost_wait_type, ghost::ExperimentOptions().ghost_wait_type,
          "ghost: how workers wait: prio_table (the agent is told who has work) or futex.");
ABSL_FLAG(absl::Duration, get_duration, ghost::ExperimentOptions().get_duration, "What a Get request takes.");
ABSL_FLAG(absl::Duration, range_duration, ghost::ExperimentOptions().range_duration, "What a Range request takes.");
ABSL_FLAG(absl::Duration, get_exponential_mean, ghost::ExperimentOptions().get_exponential_mean,
          "Get requests take as much more, exponentially distributed with this mean.");
ABSL_FLAG(int, batch, ghost::ExperimentOptions().batch, "How many requests a worker is given at once, at most.");
ABSL_FLAG(absl::Duration, experiment_duration, ghost::ExperimentOptions().experiment_duration,
          "For how long requests arrive; inf: until SIGINT or SIGTERM.");
ABSL_FLAG(absl::Duration, discard_duration, ghost::ExperimentOptions().discard_duration,
          "The first part of it, whose requests do not count.");
ABSL_FLAG(ghost::Scheduler, scheduler, ghost::ExperimentOptions().scheduler, "Who schedules workers: cfs or ghost.");
ABSL_FLAG(uint32_t, ghost_qos, ghost::ExperimentOptions().ghost_qos,
          "ghost: the workers' quality of service in the PrioTable; higher is more urgent.");

namespace ghost {
namespace {

constexpr char kName[] = "rocksdb";

ExperimentOptions ReadFlags() {
  return {.print_format = absl::GetFlag(FLAGS_print_format),
          .print_last = absl::GetFlag(FLAGS_print_last),
          .print_distribution = absl::GetFlag(FLAGS_print_distribution),
          .print_ns = absl::GetFlag(FLAGS_print_ns),
          .print_get = absl::GetFlag(FLAGS_print_get),
          .print_range = absl::GetFlag(FLAGS_print_range),
          .rocksdb_db_path = absl::GetFlag(FLAGS_rocksdb_db_path),
          .throughput = absl::GetFlag(FLAGS_throughput),
          .range_query_ratio = absl::GetFlag(FLAGS_range_query_ratio),
          .load_generator_cpus = absl::GetFlag(FLAGS_load_generator_cpus),
          .load_generator_wait = absl::GetFlag(FLAGS_load_generator_wait),
          .cfs_dispatcher_cpus = absl::GetFlag(FLAGS_cfs_dispatcher_cpus),
          .num_workers = absl::GetFlag(FLAGS_num_workers),
          .worker_cpus = absl::GetFlag(FLAGS_worker_cpus),
          .cfs_wait_type = absl::GetFlag(FLAGS_cfs_wait_type),
          .ghost_wait_type = absl::GetFlag(FLAGS_ghost_wait_type),
          .get_duration = absl::GetFlag(FLAGS_get_duration),
          .range_duration = absl::GetFlag(FLAGS_range_duration),
          .get_exponential_mean = absl::GetFlag(FLAGS_get_exponential_mean),
          .batch = absl::GetFlag(FLAGS_batch),
          .experiment_duration = absl::GetFlag(FLAGS_experiment_duration),
          .discard_duration = absl::GetFlag(FLAGS_discard_duration),
          .scheduler = absl::GetFlag(FLAGS_scheduler),
          .ghost_qos = absl::GetFlag(FLAGS_ghost_qos),
          .enclave = absl::GetFlag(FLAGS_enclave),
          .ghostfs = absl::GetFlag(FLAGS_ghostfs)};
}

absl::Status Main() {
  const ExperimentOptions options = ReadFlags();
  GHOST_RETURN_IF_ERROR(Validate(options));
  // Before there are threads, so that they are blocked in all of them.
  GHOST_ASSIGN_OR_RETURN(SignalFd signals, SignalFd::Open(SignalSet({SIGINT, SIGTERM})));
  return RunExperiment(options, &signals);
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "a database server under load, scheduled by Linux or by a ghost agent: what its latency is made of",
       .examples = {"rocksdb --experiment_duration 15s                       # under Linux",
                    "rocksdb --throughput 50000 --range_query_ratio 0.005    # until Ctrl-C",
                    "agent_shinjuku --ghost_cpus 0-7 --preemption_time_slice 30us &",
                    "rocksdb --scheduler ghost --num_workers 200 --range_query_ratio 0.005 --experiment_duration 15s",
                    "rocksdb --scheduler ghost --ghost_wait_type futex --print_format json   # any agent"},
       .notes =
           "It says 'rocksdb: ready' when requests begin to arrive (on stderr, if what it prints is csv or json),\n"
           "and the results when the duration is over or SIGINT or SIGTERM comes.\n"
           "A request's time counts from when it should have arrived, however late anybody was: see the load\n"
           "generators' lateness in the results.\n"
           "CPUs that are not given are planned: 'CPUs:' says how.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::Status status = ghost::Main();
  if (status.ok()) return 0;
  fflush(stdout);
  const int exit_code = ghost::Report(ghost::kName, status);
  if (absl::IsDeadlineExceeded(status)) _exit(exit_code);  // threads that don't end
  return exit_code;
}
