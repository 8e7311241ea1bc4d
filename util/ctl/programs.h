// Finds the other programs of this project: beside ghostctl's own file, as installed and as Bazel lays them out.
#ifndef GHOST_UTIL_CTL_PROGRAMS_H_
#define GHOST_UTIL_CTL_PROGRAMS_H_

#include <string>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// The path of program `name`: in ghostctl's folder, in the one above (bazel-bin/util/ghostctl, bazel-bin/ghostd), or in
// $PATH. NotFound with a hint how to build it.
absl::StatusOr<std::string> FindProgram(const std::string& name);

// The agent program of a policy of ours (util/ctl/policies.h); of one that is not in that table: NAME_agent, agent_NAME
// or NAME. NotFound: it is not built. InvalidArgument: there is none of that name.
absl::StatusOr<std::string> FindAgent(const std::string& policy);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_PROGRAMS_H_
