// fifo_centralized_agent: the centralized FIFO policy as an agent program.
#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "lib/base/status.h"
#include "lib/centralized_runtime.h"
#include "lib/program/centralized_main.h"
#include "schedulers/fifo/centralized/fifo_policy.h"

ABSL_FLAG(absl::Duration, preemption_time_slice, absl::InfiniteDuration(),
          "How long a thread runs while others wait, such as 50us; inf: until it blocks.");

namespace {

absl::StatusOr<ghost::CentralizedFifoPolicy::Options> OptionsFromFlags() {
  ghost::CentralizedFifoPolicy::Options options;
  GHOST_ASSIGN_OR_RETURN(options.slice_ns,
                         ghost::SliceFromFlag("preemption_time_slice", absl::GetFlag(FLAGS_preemption_time_slice)));
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  return ghost::CentralizedMain<ghost::CentralizedFifoPolicy>(
      {.name = "fifo_centralized_agent",
       .summary = "schedules the threads of an enclave from one CPU: on the others they run in the order in which they "
                  "came",
       .examples = {"fifo_centralized_agent                      # every CPU of the kernel in use",
                    "fifo_centralized_agent --ghost_cpus 0-3 --globalcpu 2 --preemption_time_slice 1ms",
                    "fifo_centralized_agent --enclave enclave_1  # go on with an enclave that is there"},
       .notes =
           ghost::AgentNotes("threads and CPUs", "while it runs: ghostctl set ENCLAVE preemption_time_slice=50us\n")},
      argc, argv, OptionsFromFlags);
}
