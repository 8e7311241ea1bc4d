/* SPDX-License-Identifier: GPL-2.0 */
/* A leaf of flux (flux_api.bpf.h), and always the root's last child: it has the CPUs that nobody wants, and lets them
 * idle. No thread belongs to it. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_IDLE_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_IDLE_BPF_H_

#include "third_party/bpf/flux_api.bpf.h"

static __always_inline void flux_idle_enqueue(__u32 self, __u32 slot) { flux_list_append(FLUX_QUEUE(self), slot); }

static __always_inline void flux_idle_dequeue(__u32 self, __u32 slot) { flux_list_remove(slot); }

static __always_inline __u32 flux_idle_first(__u32 self, __u32 cpu) {
  return flux_wants(FLUX_ROOT, cpu) ? FLUX_YIELD : FLUX_KEEP;
}

static __always_inline int flux_idle_turn_over(__u32 self, __u32 cpu, __u64 ran_ns) { return 0; }

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_IDLE_BPF_H_ */
