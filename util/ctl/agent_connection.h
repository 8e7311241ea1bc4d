// A connection to the agent that serves an enclave, for the commands that ask it something.
#ifndef GHOST_UTIL_CTL_AGENT_CONNECTION_H_
#define GHOST_UTIL_CTL_AGENT_CONNECTION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/kernel.h"
#include "lib/program/agent_requests.h"

namespace ghost::ctl {

// NotFound: it has no agent. Unavailable: it has one that can't be asked. PermissionDenied: another user's.
absl::StatusOr<std::unique_ptr<AgentClient>> ConnectToAgentOf(KernelEnclave& enclave);

// Takes the first of `operands` for an enclave, if it looks like one: "2", "enclave_2" or a path. Else "": the only one
// that there is.
std::string TakeEnclave(std::vector<std::string>* operands);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_AGENT_CONNECTION_H_
