// agent_cfs_bpf: completely fair scheduling in BPF, as an agent program.
#include <memory>
#include <utility>

#include "lib/program/agent_main.h"
#include "schedulers/cfs/cfs_options.h"
#include "schedulers/cfs_bpf/cfs_bpf_runtime.h"

int main(int argc, char** argv) {
  ghost::AgentProgram program;
  program.info = {.name = "agent_cfs_bpf",
                  .summary =
                      "schedules the threads of an enclave: on each CPU fairly, by their nice values, "
                      "by BPF programs in the kernel",
                  .examples = {"agent_cfs_bpf                     # every CPU of the kernel in use",
                               "agent_cfs_bpf --ghost_cpus 0-3 --latency 20ms --min_granularity 2ms",
                               "agent_cfs_bpf --enclave enclave_1 # go on with an enclave that is there"},
                  .notes = ghost::AgentNotes("threads and run queues")};
  program.check_flags = [] { return ghost::CfsOptionsFromFlags().status(); };
  program.make_runtime = [](ghost::Enclave* enclave, ghost::RuntimeOptions options) {
    return std::make_unique<ghost::CfsBpfRuntime>(enclave, std::move(options), *ghost::CfsOptionsFromFlags());
  };
  return ghost::RunAgentProgram(program, argc, argv);
}
