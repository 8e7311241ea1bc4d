// agent_shinjuku: the Shinjuku policy as an agent program.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/centralized_runtime.h"
#include "lib/program/centralized_main.h"
#include "schedulers/hints/prio_table_hints.h"
#include "schedulers/shinjuku/shinjuku_policy.h"

ABSL_DECLARE_FLAG(std::string, ghost_cpus);
ABSL_FLAG(std::optional<int32_t>, firstcpu, std::nullopt,
          "The first of --ncpus CPUs to schedule, instead of --ghost_cpus (1, if only --ncpus is given).");
ABSL_FLAG(std::optional<int32_t>, ncpus, std::nullopt,
          "How many CPUs to schedule, from --firstcpu on (5, if only --firstcpu is given).");
ABSL_FLAG(absl::Duration, preemption_time_slice, absl::Microseconds(50),
          "How long a thread runs while others of its class wait; from 1us to inf.");

namespace ghost {
namespace {

absl::Status Usage(const std::string& what, const std::string& hint) {
  return WithHint(absl::InvalidArgumentError(what), hint);
}

// --firstcpu and --ncpus are another way to say --ghost_cpus.
absl::Status ReadCpuFlags() {
  const std::optional<int32_t> first = absl::GetFlag(FLAGS_firstcpu), count = absl::GetFlag(FLAGS_ncpus);
  if (!first.has_value() && !count.has_value()) return absl::OkStatus();
  if (absl::GetFlag(FLAGS_ghost_cpus) != "all") {
    return Usage("--ghost_cpus and --firstcpu, --ncpus contradict each other", "give --ghost_cpus alone");
  }
  const int64_t from = first.value_or(1), to = from + count.value_or(5) - 1;
  if (from < 0 || to < from || to >= CpuSet::kMaxCpus) {
    return Usage(absl::StrCat("--firstcpu=", from, " --ncpus=", count.value_or(5), ": no such range of CPUs"),
                 "as --ghost_cpus 1-5, that is --firstcpu 1 --ncpus 5");
  }
  absl::SetFlag(&FLAGS_ghost_cpus, absl::StrCat(from, "-", to));
  return absl::OkStatus();
}

absl::StatusOr<ShinjukuPolicy::Options> OptionsFromFlags() {
  GHOST_RETURN_IF_ERROR(ReadCpuFlags());
  ShinjukuPolicy::Options options;
  GHOST_ASSIGN_OR_RETURN(options.slice_ns,
                         SliceFromFlag("preemption_time_slice", absl::GetFlag(FLAGS_preemption_time_slice)));
  if (options.slice_ns < ShinjukuPolicy::kMinSliceNs) {
    return Usage("--preemption_time_slice: less than 1us", "a duration from 1us on, such as 50us, or inf");
  }
  return options;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  return ghost::CentralizedMain<ghost::ShinjukuPolicy>(
      {.name = "agent_shinjuku",
       .summary = "schedules the threads of an enclave from one CPU: on the others in slices of microseconds, higher "
                  "quality of service first",
       .examples = {"agent_shinjuku                         # every CPU of the kernel in use",
                    "agent_shinjuku --ghost_cpus 0-3 --preemption_time_slice 30us",
                    "agent_shinjuku --firstcpu 1 --ncpus 5  # CPUs 1 to 5",
                    "agent_shinjuku --enclave enclave_1     # go on with an enclave that is there"},
       .notes = absl::StrCat(
           "threads:\n"
           "  Programs may say in a PrioTable what their threads have to do; those of others have quality of service\n"
           "  0 and take turns.\n",
           ghost::AgentNotes("threads and CPUs", "while it runs: ghostctl set ENCLAVE preemption_time_slice=30us\n"))},
      argc, argv, ghost::OptionsFromFlags, [] { return std::make_shared<ghost::PrioTableHints>(); });
}
