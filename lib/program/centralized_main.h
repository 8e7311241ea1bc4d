// CentralizedMain: AgentMain (lib/program/agent_main.h) for centralized policies: the flags --globalcpu and --pnt,
// the map of cores before all else, and what such a program cannot do with one CPU.
//
//     int main(int argc, char** argv) {
//       return ghost::CentralizedMain<ghost::CentralizedFifoPolicy>({.name = "fifo_centralized_agent", …}, argc, argv);
//     }
//
// The runtime's header is the caller's to include: lib/centralized_runtime.h.
#ifndef GHOST_LIB_PROGRAM_CENTRALIZED_MAIN_H_
#define GHOST_LIB_PROGRAM_CENTRALIZED_MAIN_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/centralized_runtime.h"
#include "lib/cli.h"
#include "lib/enclave.h"
#include "lib/policy.h"
#include "lib/program/agent_main.h"
#include "lib/runtime.h"

namespace ghost {

// What --globalcpu and --pnt say.
void SetCentralizedOptions(RuntimeOptions* options);
// Adds to an agent program what centralized ones have in common.
void MakeCentralized(AgentProgram* program);

// A time slice from a flag, in ns. InvalidArgument unless it is positive; absl::InfiniteDuration() is INT64_MAX.
absl::StatusOr<int64_t> SliceFromFlag(const std::string& flag, absl::Duration value);

// The program as CentralizedMain runs it, for those that change some of it. `options`: as AgentMain's. `make_hints`
// makes the source of hints, in the process that schedules; null: there are none.
template <typename Policy>
AgentProgram MakeCentralizedProgram(const ProgramInfo& info,
                                    std::function<absl::StatusOr<PolicyOptions<Policy>>()> options = nullptr,
                                    std::function<std::shared_ptr<HintSource>()> make_hints = nullptr) {
  AgentProgram program = MakeAgentProgram<CentralizedRuntime, Policy>(info, std::move(options));
  program.make_runtime = [make = std::move(program.make_runtime), make_hints = std::move(make_hints)](
                             Enclave* enclave, RuntimeOptions runtime_options) {
    SetCentralizedOptions(&runtime_options);
    if (make_hints) runtime_options.hints = make_hints();
    return make(enclave, std::move(runtime_options));
  };
  MakeCentralized(&program);
  return program;
}

template <typename Policy>
int CentralizedMain(const ProgramInfo& info, int argc, char** argv,
                    std::function<absl::StatusOr<PolicyOptions<Policy>>()> options = nullptr,
                    std::function<std::shared_ptr<HintSource>()> make_hints = nullptr) {
  return RunAgentProgram(MakeCentralizedProgram<Policy>(info, std::move(options), std::move(make_hints)), argc, argv);
}

}  // namespace ghost

#endif  // GHOST_LIB_PROGRAM_CENTRALIZED_MAIN_H_
