// What the scheduling tools ask about a ghostd: its pid, and which threads are its agents.
#ifndef GHOST_BPF_TOOLS_GHOSTD_PIDS_H_
#define GHOST_BPF_TOOLS_GHOSTD_PIDS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ghost::tools {

// The processes that hold the lock of the ghostd that serves `mount` (docs/usermode-kernel.md): ghostd, and its
// guardian, which traces nobody. Empty: not to be seen from here (another network or mount namespace).
std::vector<pid_t> PidsOfGhostd(const std::string& mount);

// The agents' threads, from ghostd's file `stats`. Empty if it can't be read now.
std::vector<pid_t> AgentsOfGhostd(const std::string& mount);

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_GHOSTD_PIDS_H_
