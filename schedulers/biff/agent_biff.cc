// agent_biff: a global FIFO in BPF, as an agent program.
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "lib/program/agent_main.h"
#include "schedulers/biff/biff_runtime.h"
#include "schedulers/biff/slice_flag.h"

int main(int argc, char** argv) {
  ghost::AgentProgram program;
  program.info = {.name = "agent_biff",
                  .summary =
                      "schedules the threads of an enclave in the order in which they came, on all of its CPUs, "
                      "by BPF programs in the kernel",
                  .examples = {"agent_biff                      # every CPU of the kernel in use",
                               "agent_biff --ghost_cpus 0-1 --slice 10ms",
                               "agent_biff --enclave enclave_1  # go on with an enclave that is there"},
                  .notes = ghost::AgentNotes("threads and CPUs")};
  program.check_flags = ghost::CheckSliceFlag;
  program.make_runtime = [](ghost::Enclave* enclave, ghost::RuntimeOptions options) {
    return std::make_unique<ghost::BiffRuntime>(enclave, std::move(options), absl::GetFlag(FLAGS_slice));
  };
  return ghost::RunAgentProgram(program, argc, argv);
}
