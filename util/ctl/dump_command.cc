// ghostctl dump: what a running agent knows of its tasks and run queues.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/agent_connection.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"

namespace ghost::ctl {
namespace {

constexpr char kHelp[] =
    R"(usage: ghostctl dump [ENCLAVE]

Shows what the agent of ENCLAVE knows: its tasks, with state and place, and its run queues. Each CPU's part is written
by its agent between two schedule passes. (SIGUSR1 makes an agent print the same to its own stderr.)

ENCLAVE is a number, a name (enclave_2) or a path; it may be left out if there is only one. An agent can be asked by
root and by its own user.

options:
  --ghostfs DIR   the ghostfs to use

examples:
  ghostctl dump
  ghostctl dump enclave_2
)";

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs;
  Options options;
  options.AddString("ghostfs", &ghostfs);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  if (options.operands().size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("what is '", options.operands()[1], "'?"));
  }
  const std::string which = options.operands().empty() ? "" : options.operands()[0];
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(ghostfs));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, FindEnclave(*kernel, which));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<AgentClient> agent, ConnectToAgentOf(*enclave));
  GHOST_ASSIGN_OR_RETURN(const std::string dump, agent->Dump());
  std::cout << dump << std::flush;
  return 0;
}

}  // namespace

const Command kDumpCommand = {"dump", "show the tasks and run queues of a running agent", kHelp, Run};

}  // namespace ghost::ctl
