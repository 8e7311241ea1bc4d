/* SPDX-License-Identifier: GPL-2.0 */
/* A leaf of flux (flux_api.bpf.h): who came last is next, and runs until it blocks. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_LIFO_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_LIFO_BPF_H_

#include "third_party/bpf/flux_api.bpf.h"

static __always_inline void flux_lifo_enqueue(__u32 self, __u32 slot) { flux_list_append(FLUX_QUEUE(self), slot); }

static __always_inline void flux_lifo_dequeue(__u32 self, __u32 slot) { flux_list_remove(slot); }

static __always_inline __u32 flux_lifo_first(__u32 self, __u32 cpu) { return flux_list(FLUX_QUEUE(self))->tail; }

static __always_inline int flux_lifo_turn_over(__u32 self, __u32 cpu, __u64 ran_ns) { return 0; }

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_LIFO_BPF_H_ */
