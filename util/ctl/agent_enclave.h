// Which enclave an agent program serves, found from outside: any agent, ours or anybody's.
#ifndef GHOST_UTIL_CTL_AGENT_ENCLAVE_H_
#define GHOST_UTIL_CTL_AGENT_ENCLAVE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// "enclave_2", of which a process in the session that `leader` leads holds a file open. NotFound if there is none.
absl::StatusOr<std::string> EnclaveOfAgent(pid_t leader);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_AGENT_ENCLAVE_H_
