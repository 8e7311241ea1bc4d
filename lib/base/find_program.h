// Finds the other programs of this project: beside this one's own file, as installed and as Bazel lays them out.
//
// Any thread.
#ifndef GHOST_LIB_BASE_FIND_PROGRAM_H_
#define GHOST_LIB_BASE_FIND_PROGRAM_H_

#include <string>

#include "absl/status/statusor.h"

namespace ghost {

// The path of program `name`: in the folder of this program's file, in one of the two above (bazel-bin/util/ghostctl,
// bazel-bin/experiments/microbenchmarks/…, bazel-bin/ghostd), or in $PATH. NotFound with a hint how to build it.
absl::StatusOr<std::string> FindProgram(const std::string& name);

}  // namespace ghost

#endif  // GHOST_LIB_BASE_FIND_PROGRAM_H_
