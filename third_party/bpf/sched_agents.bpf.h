// SPDX-License-Identifier: GPL-2.0
// Which threads are agents, for the tools' programs: a ghost kernel marks them; ghostd's are in a map that the tool
// keeps up to date, because nothing of theirs that the kernel knows tells them from other threads.
#ifndef GHOST_THIRD_PARTY_BPF_SCHED_AGENTS_BPF_H_
#define GHOST_THIRD_PARTY_BPF_SCHED_AGENTS_BPF_H_

#include "third_party/bpf/sched_tool.bpf.h"

/* Tids, as the tool sees them. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TOOL_MAX_AGENTS);
  __type(key, __u32);
  __type(value, __u8);
} agents SEC(".maps");

/* Whether there are any in the map: a look costs something at each switch. */
__u32 has_agents;

static always_inline bool is_agent(struct task_struct *task) {
  if (is_agent_of_kernel(task)) return 1;
  if (!has_agents) return 0;
  __u32 tid = tid_of(task);
  return bpf_map_lookup_elem(&agents, &tid) != 0;
}

#endif /* GHOST_THIRD_PARTY_BPF_SCHED_AGENTS_BPF_H_ */
