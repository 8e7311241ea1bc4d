/* SPDX-License-Identifier: GPL-2.0 */
/* A branch of flux (flux_api.bpf.h): its children in order, each of which takes CPUs from those after it. All threads
 * belong to the first. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_ROCI_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_ROCI_BPF_H_

#include "third_party/bpf/flux_api.bpf.h"

static __always_inline __u32 flux_roci_choose(__u32 self, __u32 cpu) { return flux_first_that_wants(self, 0, cpu); }

static __always_inline int flux_roci_takes(__u32 self, __u32 to, __u32 from) { return flux_is_before(to, from); }

static __always_inline __u32 flux_roci_route(__u32 self, __s32 nice) { return flux_child_for_threads(self, 0); }

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_ROCI_BPF_H_ */
