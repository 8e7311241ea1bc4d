/* SPDX-License-Identifier: GPL-2.0 */
/* What a sub-scheduler of flux sees of the rest, and what it must be. docs/flux.md adds one, step by step.
 *
 * A leaf NAME has threads. It is a header, flux_NAME.bpf.h, of four functions:
 *
 *     void flux_NAME_enqueue(__u32 self, __u32 slot)          the thread can run, and waits from now on
 *     void flux_NAME_dequeue(__u32 self, __u32 slot)          … not any more: it was picked, blocked, left
 *     __u32 flux_NAME_first(__u32 self, __u32 cpu)            the slot + 1 of who is next on `cpu`, which it has;
 *                                                             FLUX_YIELD: nobody, give the CPU back; FLUX_KEEP: nobody,
 *                                                             let it idle
 *     int flux_NAME_turn_over(__u32 self, __u32 cpu, __u64 ran_ns)  whether who runs on `cpu` must stop; at each tick
 *
 * A branch NAME has CPUs, which it hands to its children. Two functions about CPUs, one about threads:
 *
 *     __u32 flux_NAME_choose(__u32 self, __u32 cpu)           the child that gets `cpu`, which is free; 0: none
 *     int flux_NAME_takes(__u32 self, __u32 to, __u32 from)   whether the child `to`, which wants a CPU, may have one
 *                                                             that the child `from` has
 *     __u32 flux_NAME_route(__u32 self, __s32 nice)           the child where a thread of this nice value belongs
 *
 * All are `static __always_inline`, and run under flux's lock: no calls of BPF functions, no loops without a bound.
 * What is not theirs: barriers, failed picks, affinities (a thread that may not run everywhere waits with flux itself),
 * which threads there are, kicking CPUs, the counting of CPUs, and CPUs that nobody wants (they idle at the root's last
 * child, from which all may take them).
 *
 * What they must: a leaf with threads that wait names one of them as its first. A branch chooses a child that wants the
 * CPU (flux_wants) if there is one, and none that does not; it chooses nobody before one who may take from him. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_API_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_API_BPF_H_

#include "third_party/bpf/flux.h"
#include "third_party/bpf/ghost.bpf.h"

#define FLUX_YIELD 0
#define FLUX_KEEP 0xffffffffu

struct flux flux;

static __always_inline struct flux_thread *flux_thread(__u32 slot) {
  return &flux.threads[slot & (FLUX_MAX_THREADS - 1)];
}
static __always_inline struct flux_sched *flux_sched(__u32 sched) {
  return &flux.scheds[sched & (FLUX_MAX_SCHEDS - 1)];
}
static __always_inline struct ghost_list *flux_list(__u32 list) {
  /* The compiler would bound FLUX_PINNED_LIST's two parts, and `or` them: Linux 5.10's verifier does not see
   * that what comes of it has bounds. */
  asm volatile("" : "+r"(list));
  return &flux.lists[list & (FLUX_LISTS - 1)];
}
static __always_inline struct flux_cpu *flux_cpu(__u32 cpu) { return &flux.cpus[cpu & (FLUX_MAX_CPUS - 1)]; }

static __always_inline int flux_is_leaf(__u32 sched) { return flux_sched(sched)->type < FLUX_LEAVES_END; }

/* Whether `sched` can use `cpu`: a thread below it waits for any CPU, or for this one. */
static __always_inline int flux_wants(__u32 sched, __u32 cpu) {
  struct flux_sched *its = flux_sched(sched);
  return its->waiting || its->pinned[cpu & (FLUX_MAX_CPUS - 1)];
}

/* The first of the children, from number `i` on, that wants `cpu`; 0: none does. */
static __always_inline __u32 flux_first_that_wants(__u32 self, __u32 i, __u32 cpu) {
  for (; i < FLUX_MAX_CHILDREN; ++i) {
    __u32 child = flux_sched(self)->child[i];
    if (child && flux_wants(child, cpu)) return child;
  }
  return 0;
}

/* Child number `i`, from 0, or if there are not so many the last that has threads (idle has none). */
static __always_inline __u32 flux_child_for_threads(__u32 self, __u32 i) {
  __u32 found = 0;
  for (__u32 j = 0; j < FLUX_MAX_CHILDREN; ++j) {
    __u32 child = flux_sched(self)->child[j];
    if (j <= i && child && flux_sched(child)->type != FLUX_TYPE_idle) found = child;
  }
  return found;
}

/* Whether the child `a` stands before the child `b`: numbers grow from left to right. */
static __always_inline int flux_is_before(__u32 a, __u32 b) { return a < b; }

/* Lists of threads: flux_list_append(number, slot) and flux_list_remove(slot). A thread is in one at most. */
GHOST_LIST(flux_list, flux_thread, flux_list)

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_API_BPF_H_ */
