// Gives enclaves that have lost their agent a new one, in the background.
#ifndef GHOST_UTIL_CTL_ADOPT_H_
#define GHOST_UTIL_CTL_ADOPT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ghost::ctl {

// Starts one process of the agent program `path` for each enclave directory, and says which serves what once it is
// active. They live on, children of a process that stays behind for them; each ends by SIGINT. Returns the exit status:
// 1 if one of them did not start. The caller must be single-threaded.
absl::StatusOr<int> AdoptEnclaves(const std::string& path, const std::vector<std::string>& directories,
                                  const std::string& ghostfs);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_ADOPT_H_
