// ghostctl rpc: any request to a running agent, by number; for what a program has of its own.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/agent_connection.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"

namespace ghost::ctl {
namespace {

constexpr char kHelp[] =
    R"(usage: ghostctl rpc ENCLAVE CODE [ARGUMENT [ARGUMENT]]

Sends the request CODE with up to two numbers to the agent of ENCLAVE, and prints the response's number. Every agent has
1 (dump tasks and run queues to its stderr; prints 0) and 2 (count tasks), unless its program has another use for them:
agent_sol has 2 (mean ns per loop) and 3 (dump statistics to its stderr). For get, set and dump there are commands.

options:
  --ghostfs DIR   the ghostfs to use

examples:
  ghostctl rpc 1 2
)";

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs;
  Options options;
  options.AddString("ghostfs", &ghostfs);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  const std::vector<std::string>& operands = options.operands();
  if (operands.size() < 2) return absl::InvalidArgumentError("an enclave and a request's number, please");
  if (operands.size() > 4) return absl::InvalidArgumentError(absl::StrCat("what is '", operands[4], "'?"));
  int64_t numbers[3] = {};
  for (size_t i = 1; i < operands.size(); ++i) {
    GHOST_RETURN_IF_ERROR(ParseNumber(operands[i], "a whole number", INT64_MIN, INT64_MAX, &numbers[i - 1]));
  }
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(ghostfs));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, FindEnclave(*kernel, operands[0]));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<AgentClient> agent, ConnectToAgentOf(*enclave));
  GHOST_ASSIGN_OR_RETURN(const int64_t code, agent->Request(numbers[0], numbers[1], numbers[2]));
  if (code == -1) {
    return WithHint(absl::UnimplementedError(absl::StrCat("the agent does not know the request ", numbers[0])),
                    "ghostctl rpc --help");
  }
  absl::PrintF("%d\n", code);
  return 0;
}

}  // namespace

const Command kRpcCommand = {"rpc", "send a request by number to a running agent", kHelp, Run};

}  // namespace ghost::ctl
