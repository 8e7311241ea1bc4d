// weighted_rr_agent: the example of docs/write-a-policy.md as an agent program.
#include "lib/per_cpu_runtime.h"
#include "lib/program/agent_main.h"
#include "schedulers/examples/weighted_rr/weighted_rr_policy.h"

int main(int argc, char** argv) {
  return ghost::AgentMain<ghost::PerCpuRuntime, ghost::WeightedRrPolicy>(
      {.name = "weighted_rr_agent",
       .summary = "schedules the threads of an enclave: on each CPU in turn, by nice values",
       .examples = {"weighted_rr_agent --ghost_cpus 0-1"}},
      argc, argv);
}
