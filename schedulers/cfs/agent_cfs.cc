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
       .notes =
           "signals:\n"
           "  SIGINT, SIGTERM   end; an enclave that it made is destroyed, its threads go on under CFS\n"
           "  SIGUSR1           dump threads and run queues to stderr\n"
           "in-place upgrade: start a new agent with --enclave, then send SIGINT to the old one. The new one takes\n"
           "the threads over, and says for how long nobody scheduled them.\n"},
      argc, argv, ghost::CfsOptionsFromFlags);
}
