// Finds the agent programs, by their policies' names.
//
// Any thread.
#ifndef GHOST_UTIL_CTL_PROGRAMS_H_
#define GHOST_UTIL_CTL_PROGRAMS_H_

#include <string>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// The agent program of a policy of ours (util/ctl/policies.h); of one that is not in that table: NAME_agent, agent_NAME
// or NAME. NotFound: it is not built. InvalidArgument: there is none of that name.
absl::StatusOr<std::string> FindAgent(const std::string& policy);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_PROGRAMS_H_
