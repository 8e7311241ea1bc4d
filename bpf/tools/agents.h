// Keeps the map `agents` of a tool's programs as ghostd's `stats` has it (third_party/bpf/sched_agents.bpf.h). Only for
// kernels that don't mark agents themselves.
#ifndef GHOST_BPF_TOOLS_AGENTS_H_
#define GHOST_BPF_TOOLS_AGENTS_H_

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "bpf/tools/ghostd_pids.h"

namespace ghost::tools {

class Agents {
 public:
  // `mount`: ghostd's, or empty.
  explicit Agents(std::string mount) : mount_(std::move(mount)) {}

  // `has_agents` is the programs' variable of this name.
  void Refresh(const bpf_map* map, uint32_t* has_agents) {
    if (mount_.empty()) return;
    const std::vector<pid_t> now = AgentsOfGhostd(mount_);
    const absl::flat_hash_set<pid_t> wanted(now.begin(), now.end());
    for (pid_t tid : wanted) {
      const uint8_t yes = 1;
      if (!known_.contains(tid)) bpf_map_update_elem(bpf_map__fd(map), &tid, &yes, BPF_ANY);
    }
    for (pid_t tid : known_) {
      if (!wanted.contains(tid)) bpf_map_delete_elem(bpf_map__fd(map), &tid);
    }
    known_ = wanted;
    *has_agents = !known_.empty();
  }

 private:
  const std::string mount_;
  absl::flat_hash_set<pid_t> known_;
};

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_AGENTS_H_
