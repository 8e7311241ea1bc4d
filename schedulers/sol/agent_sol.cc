// agent_sol: the SOL policy as an agent program, with statistics of its overhead.
#include <string>

#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "lib/base/status.h"
#include "lib/centralized_runtime.h"
#include "lib/program/centralized_main.h"
#include "schedulers/sol/sol_policy.h"
#include "schedulers/sol/sol_stats.h"

ABSL_FLAG(absl::Duration, preemption_time_slice, absl::InfiniteDuration(),
          "How long a thread runs while others wait, such as 50us; inf: until it blocks.");

namespace {

absl::StatusOr<ghost::SolPolicy::Options> OptionsFromFlags() {
  ghost::SolPolicy::Options options;
  GHOST_ASSIGN_OR_RETURN(options.slice_ns,
                         ghost::SliceFromFlag("preemption_time_slice", absl::GetFlag(FLAGS_preemption_time_slice)));
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  ghost::AgentProgram program = ghost::MakeCentralizedProgram<ghost::SolPolicy>(
      {.name = "agent_sol",
       .summary = "schedules the threads of an enclave from one CPU, in the order in which they came, with as little "
                  "overhead as can be had",
       .examples = {"agent_sol                      # every CPU of the kernel in use",
                    "agent_sol --ghost_cpus 0-3 --globalcpu 2 --preemption_time_slice 1ms",
                    "agent_sol --enclave enclave_1  # go on with an enclave that is there"},
       .notes = ghost::AgentNotes("threads and CPUs, and how the agent's time is spent,",
                                  "at the end it says how many nanoseconds a loop of the agent took on average\n"
                                  "while it runs: ghostctl set ENCLAVE preemption_time_slice=50us\n")},
      OptionsFromFlags);
  program.handle_rpc = ghost::HandleSolRpc;
  program.at_end = ghost::SayMeanLoop;
  return RunAgentProgram(program, argc, argv);
}
