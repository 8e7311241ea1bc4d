// AgentMain: the whole of an agent program but its policy.
//
//     int main(int argc, char** argv) {
//       return ghost::AgentMain<ghost::PerCpuRuntime, ghost::FifoPolicy>({.name = "fifo_per_cpu_agent", …}, argc,
//       argv);
//     }
//
// What such a program does: it reads its flags, finds the kernel, forks the child that is the scheduler
// (lib/program/agent_process.h), and stays as its parent. On stdout it says, flushed and in these words,
// "Initializing...", "Initialization complete, ghOSt active.", and at the end an empty line and "Done!". All else goes
// to stderr.
//
// SIGINT and SIGTERM (and SIGHUP, unless it was ignored) end it: agents first, then the enclave, if this program made
// it and no new agent waits for it; exit code 0. A second one kills the child at once: exit code 1, the enclave stays.
// SIGUSR1 dumps the state of tasks and run queues to stderr. ghostctl asks a running agent, and sets its policy's
// tunables (lib/program/agent_requests.h).
//
// Taking over: with --enclave, a live agent of that enclave is waited for (--handover_timeout). From the line
// "Initializing..." on, a signal makes it hand over: it ends, its tasks and the enclave stay, and the new agent says
// for how long nobody scheduled them.
//
// Exit codes: 0 ended as asked, 1 failed or the child died, 2 wrong flags, 3 no kernel, 4 not permitted, 5 CPUs or
// enclave busy.
#ifndef GHOST_LIB_AGENT_MAIN_H_
#define GHOST_LIB_AGENT_MAIN_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/cpu_set.h"
#include "lib/cli.h"
#include "lib/enclave.h"
#include "lib/kernel.h"
#include "lib/policy.h"
#include "lib/program/agent_body.h"
#include "lib/program/agent_requests.h"
#include "lib/runtime.h"
#include "lib/topology.h"

namespace ghost {

struct AgentProgram {
  ProgramInfo info;
  MakeRuntime make_runtime = nullptr;
  // Called after flags are parsed, before anything is opened. Null: nothing to check.
  std::function<absl::Status()> check_flags = nullptr;
  // Requests of its own, from its parent and from ghostctl; in ap_rpc. Null: it has none.
  HandleProgramRpc handle_rpc = nullptr;
  // Called in the process that schedules, once it has ended that as it was asked to. Null: nothing to say.
  std::function<void(Runtime&)> at_end = nullptr;
  // Called before "Initializing..." is said, with the CPUs to schedule; with --enclave, which has its own, they are
  // empty. An error of it (with its hint) ends the program. Null: nothing to check or to say.
  std::function<absl::Status(const Topology&, const CpuSet& cpus)> before_start = nullptr;
  // Said at the end of a program that ended as asked.
  std::string farewell = "\nDone!";
  // Null: OpenGhostfs(--ghostfs). Called before the fork; the child uses what it returned.
  std::function<absl::StatusOr<std::unique_ptr<Kernel>>()> open_kernel = nullptr;
};

// What --help says of any agent program: its signals, which dump `what`, and taking over. `more`, lines of its own,
// comes between the two.
std::string AgentNotes(absl::string_view what, absl::string_view more = "");

// Returns main's exit code.
int RunAgentProgram(const AgentProgram& program, int argc, char** argv);

// The program as AgentMain runs it, for those that change some of it.
template <template <typename> class RuntimeOf, typename Policy>
AgentProgram MakeAgentProgram(const ProgramInfo& info,
                              std::function<absl::StatusOr<PolicyOptions<Policy>>()> options = nullptr) {
  AgentProgram program = {.info = info};
  auto policy_options = std::make_shared<PolicyOptions<Policy>>();
  if (options != nullptr) {
    program.check_flags = [policy_options, options = std::move(options)] {
      absl::StatusOr<PolicyOptions<Policy>> result = options();
      if (result.ok()) *policy_options = *std::move(result);
      return result.status();
    };
  }
  program.make_runtime = [policy_options](Enclave* enclave, RuntimeOptions runtime_options) {
    return std::make_unique<RuntimeOf<Policy>>(enclave, std::move(runtime_options), *policy_options);
  };
  return program;
}

// `options` is called once flags are parsed; an error of it (with its hint) ends the program, with exit code 2 unless
// it says otherwise. Null: the defaults.
template <template <typename> class RuntimeOf, typename Policy>
int AgentMain(const ProgramInfo& info, int argc, char** argv,
              std::function<absl::StatusOr<PolicyOptions<Policy>>()> options = nullptr) {
  return RunAgentProgram(MakeAgentProgram<RuntimeOf, Policy>(info, std::move(options)), argc, argv);
}

}  // namespace ghost

#endif  // GHOST_LIB_AGENT_MAIN_H_
