/* SPDX-License-Identifier: GPL-2.0 */
/* A branch of flux (flux_api.bpf.h): as many CPUs as its `limit` are provisioned for its first child, which takes them
 * whenever it wants them. What goes beyond that it has only as long as no other child wants it. The others stand in
 * order. Threads with a negative nice value belong to the first child, those with 0 to the second, all others to the
 * third, if there is one. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_PROV_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_PROV_BPF_H_

#include "third_party/bpf/flux_api.bpf.h"

static __always_inline __u32 flux_prov_choose(__u32 self, __u32 cpu) {
  __u32 first = flux_sched(self)->child[0];
  if (flux_sched(first)->nr_cpus < flux_sched(self)->limit && flux_wants(first, cpu)) return first;
  __u32 other = flux_first_that_wants(self, 1, cpu);
  if (other) return other;
  return flux_wants(first, cpu) ? first : 0;
}

static __always_inline int flux_prov_takes(__u32 self, __u32 to, __u32 from) {
  __u32 first = flux_sched(self)->child[0];
  if (to == first) return flux_sched(first)->nr_cpus < flux_sched(self)->limit;
  if (from == first) return flux_sched(first)->nr_cpus > flux_sched(self)->limit;
  return flux_is_before(to, from);
}

static __always_inline __u32 flux_prov_route(__u32 self, __s32 nice) {
  return flux_child_for_threads(self, nice < 0 ? 0 : nice == 0 ? 1 : 2);
}

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_PROV_BPF_H_ */
