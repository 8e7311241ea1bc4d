/* SPDX-License-Identifier: GPL-2.0 */
/* A leaf of flux (flux_api.bpf.h): threads in the order in which they came, each until it blocks or its slice is over
 * while others wait. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_BIFF_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_BIFF_BPF_H_

#include "third_party/bpf/flux_api.bpf.h"

static __always_inline void flux_biff_enqueue(__u32 self, __u32 slot) { flux_list_append(FLUX_QUEUE(self), slot); }

static __always_inline void flux_biff_dequeue(__u32 self, __u32 slot) { flux_list_remove(slot); }

static __always_inline __u32 flux_biff_first(__u32 self, __u32 cpu) { return flux_list(FLUX_QUEUE(self))->head; }

static __always_inline int flux_biff_turn_over(__u32 self, __u32 cpu, __u64 ran_ns) {
  return ran_ns >= flux.slice_ns && flux_wants(self, cpu);
}

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_BIFF_BPF_H_ */
