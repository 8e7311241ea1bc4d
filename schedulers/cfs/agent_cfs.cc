// agent_cfs: the completely fair policy as an agent program.
#include "lib/per_cpu_runtime.h"
#include "lib/program/agent_main.h"
#include "schedulers/cfs/cfs_options.h"
#include "schedulers/cfs/cfs_policy.h"

int main(int argc, char** argv) {
  return ghost::AgentMain<ghost::PerCpuRuntime, ghost::CfsPolicy>(
      {.name = "agent_cfs",
       .summary = "schedules the threads of an enclave: on each CPU fairly, by their nice values",
       .examples = {"agent_cfs                              # every CPU of the kernel in use",
                    "agent_cfs --ghost_cpus 0-3 --latency 20ms --min_granularity 2ms",
                    "agent_cfs --enclave enclave_1          # go on with an enclave that is there"},
       .notes = ghost::AgentNotes("threads and run queues")},
      argc, argv, ghost::CfsOptionsFromFlags);
}
