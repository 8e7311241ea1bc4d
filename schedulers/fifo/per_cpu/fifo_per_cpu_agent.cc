// fifo_per_cpu_agent: the per-CPU FIFO policy as an agent program.
#include "lib/per_cpu_runtime.h"
#include "lib/program/agent_main.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

int main(int argc, char** argv) {
  return ghost::AgentMain<ghost::PerCpuRuntime, ghost::FifoPolicy>(
      {.name = "fifo_per_cpu_agent",
       .summary = "schedules the threads of an enclave: on each CPU in the order in which they came, until they block",
       .examples = {"fifo_per_cpu_agent                      # every CPU of the kernel in use",
                    "fifo_per_cpu_agent --ghost_cpus 0-1",
                    "fifo_per_cpu_agent --enclave enclave_1  # go on with an enclave that is there"},
       .notes = ghost::AgentNotes("threads and run queues")},
      argc, argv);
}
