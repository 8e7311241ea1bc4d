// Finds the other programs of this project: beside ghostctl's own file, as installed and as Bazel lays them out.
#ifndef GHOST_UTIL_CTL_PROGRAMS_H_
#define GHOST_UTIL_CTL_PROGRAMS_H_

#include <string>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// The path of program `name`: in ghostctl's folder, in the one above (bazel-bin/util/ghostctl, bazel-bin/ghostd), or in
// $PATH. NotFound with a hint how to build it.
absl::StatusOr<std::string> FindProgram(const std::string& name);

// The agent program of a policy: "fifo_per_cpu" is fifo_per_cpu_agent, "sol" is agent_sol. A program's own name is
// taken, too.
absl::StatusOr<std::string> FindAgent(const std::string& policy);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_PROGRAMS_H_
