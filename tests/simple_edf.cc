// simple_edf: simple_exp's experiments (tests/simple_experiments.h), and one with hints (shared/prio_table.h), for
// agents that read them; any other agent does as well.
//
//   SimpleRepeatable      a thread with a piece of work each 10 ms: when it is done it says so, and the scheduler says
//                         when the next one is due. One that does not read hints won't: then the thread waits for two
//                         periods, and goes on by itself.
#include <stdio.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "lib/base/spin.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/cli.h"
#include "shared/prio_table_helper.h"
#include "tests/simple_experiments.h"

ABSL_FLAG(int, spin_threads, 100, "BusyExp: how many threads compute (for --scale=1).");
ABSL_FLAG(int, spin_msec, 10, "BusyExp: for how many ms each.");
ABSL_FLAG(bool, need_hints, false, "SimpleRepeatable fails if the scheduler does not begin any period.");

namespace ghost {
namespace {

constexpr char kName[] = "simple_edf";
constexpr int kPeriods = 10;
constexpr absl::Duration kPeriod = absl::Milliseconds(10);
constexpr absl::Duration kWork = absl::Milliseconds(1);
constexpr int kMaxThreads = 100'000;
constexpr int kMaxSpinMs = 60'000;

// The work of the experiment's thread; returns how many periods the scheduler began.
int RepeatWork(PrioTableHelper& hints) {
  int begun = 0;
  hints.SetThread(0, /*wcid=*/0);
  for (int period = 0; period < kPeriods; ++period) {
    SpinFor(kWork);
    hints.MarkIdle(0);
    if (hints.WaitUntilRunnable(0, Time::Now() + 2 * kPeriod)) {
      ++begun;
    } else {
      hints.MarkRunnable(0);
    }
  }
  return begun;
}

absl::StatusOr<std::string> SimpleRepeatable(SimpleExperiments& experiments) {
  // Before the thread is a task: so its scheduler finds the table at once.
  PrioTableHelper hints(/*num_items=*/1, /*num_classes=*/1);
  GHOST_RETURN_IF_ERROR(hints.status());
  hints.SetWorkClass(0, {.qos = 1, .exectime = kWork, .period = kPeriod});
  std::atomic<int> begun = -1;
  GHOST_RETURN_IF_ERROR(experiments.RunThreads(1, [&] { begun = RepeatWork(hints); }));
  if (begun < 0) return absl::InternalError("the thread has not finished");
  if (begun == 0 && absl::GetFlag(FLAGS_need_hints)) {
    return WithHint(absl::InternalError("the scheduler has begun no period"),
                    "agents that read hints: agent_exp, agent_shinjuku");
  }
  return absl::StrFormat("1 thread of %s worked for %s in each of %d periods of %s, %d of them begun by its scheduler",
                         experiments.enclave(), absl::FormatDuration(kWork), kPeriods, absl::FormatDuration(kPeriod),
                         begun.load());
}

absl::Status CheckRange(absl::string_view flag, int value, int max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat(flag, " must be between 1 and ", max)),
                  "as --spin_threads 100 --spin_msec 10");
}

absl::Status Main() {
  const int threads = absl::GetFlag(FLAGS_spin_threads);
  const int spin_ms = absl::GetFlag(FLAGS_spin_msec);
  GHOST_RETURN_IF_ERROR(CheckRange("--spin_threads", threads, kMaxThreads));
  GHOST_RETURN_IF_ERROR(CheckRange("--spin_msec", spin_ms, kMaxSpinMs));
  GHOST_ASSIGN_OR_RETURN(
      const std::unique_ptr<SimpleExperiments> experiments,
      SimpleExperiments::Create({.program = kName, .busy_threads = threads, .busy_time = absl::Milliseconds(spin_ms)}));
  GHOST_RETURN_IF_ERROR(experiments->RunAll());
  return experiments->Run("SimpleRepeatable", [&] { return SimpleRepeatable(*experiments); });
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "simple_exp's experiments, and one with hints in a PrioTable",
       .examples = {"agent_exp --ghost_cpus 0-1 &",
                    "simple_edf                 # in the first enclave that has an agent",
                    "simple_edf --enclave enclave_2 --scale 0.1 --spin_threads 20 --spin_msec 50"},
       .notes =
           "Exit code 0: every experiment did what it should. Any agent will do; --need_hints wants one that reads\n"
           "hints.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  setvbuf(stdout, nullptr, _IOLBF, 0);  // a line is seen when it is said, also by a file
  const absl::Status status = ghost::Main();
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
