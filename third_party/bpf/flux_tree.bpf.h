/* SPDX-License-Identifier: GPL-2.0 */
/* flux's tree: which sub-scheduler has which CPU and which thread. All of it runs under the lock, and calls nothing.
 *
 * A CPU stands `at` one sub-scheduler, and is counted there and at all above it. It comes in at the root, goes down to
 * children that want it, and up again from those that have nothing for it. A thread that waits is counted at its leaf
 * and at all above it. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_TREE_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_TREE_BPF_H_

/* The sub-schedulers: one line each. */
#include "third_party/bpf/flux_biff.bpf.h"
#include "third_party/bpf/flux_idle.bpf.h"
#include "third_party/bpf/flux_prov.bpf.h"
#include "third_party/bpf/flux_roci.bpf.h"

/* ---- Calls of sub-schedulers, by their type ---- */

static __always_inline void leaf_enqueue(__u32 leaf, __u32 slot) {
#define CASE(name) \
  if (flux_sched(leaf)->type == FLUX_TYPE_##name) flux_##name##_enqueue(leaf, slot);
  FLUX_LEAVES(CASE)
#undef CASE
}

static __always_inline void leaf_dequeue(__u32 leaf, __u32 slot) {
#define CASE(name) \
  if (flux_sched(leaf)->type == FLUX_TYPE_##name) flux_##name##_dequeue(leaf, slot);
  FLUX_LEAVES(CASE)
#undef CASE
}

static __always_inline __u32 leaf_first(__u32 leaf, __u32 cpu) {
#define CASE(name) \
  if (flux_sched(leaf)->type == FLUX_TYPE_##name) return flux_##name##_first(leaf, cpu);
  FLUX_LEAVES(CASE)
#undef CASE
  return FLUX_YIELD;
}

static __always_inline int leaf_turn_over(__u32 leaf, __u32 cpu, __u64 ran_ns) {
#define CASE(name) \
  if (flux_sched(leaf)->type == FLUX_TYPE_##name) return flux_##name##_turn_over(leaf, cpu, ran_ns);
  FLUX_LEAVES(CASE)
#undef CASE
  return 0;
}

static __always_inline __u32 branch_choose(__u32 branch, __u32 cpu) {
#define CASE(name, ...) \
  if (flux_sched(branch)->type == FLUX_TYPE_##name) return flux_##name##_choose(branch, cpu);
  FLUX_BRANCHES(CASE)
#undef CASE
  return 0;
}

/* CPUs that idle are free for all. */
static __always_inline int branch_takes(__u32 branch, __u32 to, __u32 from) {
  if (from == flux.idle) return 1;
#define CASE(name, ...) \
  if (flux_sched(branch)->type == FLUX_TYPE_##name) return flux_##name##_takes(branch, to, from);
  FLUX_BRANCHES(CASE)
#undef CASE
  return 0;
}

static __always_inline __u32 branch_route(__u32 branch, __s32 nice) {
#define CASE(name, ...) \
  if (flux_sched(branch)->type == FLUX_TYPE_##name) return flux_##name##_route(branch, nice);
  FLUX_BRANCHES(CASE)
#undef CASE
  return 0;
}

/* ---- CPUs ---- */

static __always_inline __u64 *cpu_word(__u32 sched, __u32 cpu) {
  return &flux_sched(sched)->cpus[(cpu >> 6) & (FLUX_CPU_WORDS - 1)];
}

static __always_inline int has_cpu(__u32 sched, __u32 cpu) { return *cpu_word(sched, cpu) >> (cpu & 63) & 1; }

/* From its parent, or from outside. */
static __always_inline void give_cpu(__u32 sched, __u32 cpu) {
  *cpu_word(sched, cpu) |= 1ull << (cpu & 63);
  flux_sched(sched)->nr_cpus++;
  flux_sched(sched)->counters.granted++;
  flux_cpu(cpu)->at = sched;
}

/* To its parent, or, from the root, to outside. */
static __always_inline void return_cpu(__u32 cpu) {
  __u32 sched = flux_cpu(cpu)->at;
  *cpu_word(sched, cpu) &= ~(1ull << (cpu & 63));
  flux_sched(sched)->nr_cpus--;
  flux_cpu(cpu)->at = flux_sched(sched)->parent;
}

/* Up to `top`, an ancestor of where it is; 0: out of the tree. */
static __always_inline void take_cpu_up(__u32 cpu, __u32 top) {
  for (int i = 0; i < FLUX_MAX_DEPTH; ++i) {
    __u32 at = flux_cpu(cpu)->at;
    if (!at || at == top) break;
    flux_sched(at)->counters.taken++;
    return_cpu(cpu);
  }
}

/* ---- Threads ---- */

static __always_inline void count_waiting(__u32 leaf, int more) {
  for (int i = 0; i < FLUX_MAX_DEPTH && leaf; ++i) {
    flux_sched(leaf)->waiting += more;
    leaf = flux_sched(leaf)->parent;
  }
}

static __always_inline void count_pinned(__u32 leaf, __u32 cpu, int more) {
  for (int i = 0; i < FLUX_MAX_DEPTH && leaf; ++i) {
    flux_sched(leaf)->pinned[cpu & (FLUX_MAX_CPUS - 1)] += more;
    leaf = flux_sched(leaf)->parent;
  }
}

/* A thread that can run and is nowhere waits. */
static __always_inline void enqueue(__u32 slot) {
  struct flux_thread *thread = flux_thread(slot);
  __u32 leaf = thread->sched;
  if (thread->waits || !thread->runnable || thread->nowhere || thread->cpu >= 0 || !thread->gtid) return;
  thread->order = flux.order++;
  if (thread->home) {
    thread->waits = FLUX_WAITS_AT_CPU;
    flux_list_append(FLUX_PINNED_LIST(leaf, thread->home - 1), slot);
    count_pinned(leaf, thread->home - 1, 1);
  } else {
    thread->waits = FLUX_WAITS;
    leaf_enqueue(leaf, slot);
    count_waiting(leaf, 1);
  }
}

static __always_inline void dequeue(__u32 slot) {
  struct flux_thread *thread = flux_thread(slot);
  __u32 leaf = thread->sched;
  if (thread->waits == FLUX_WAITS_AT_CPU) {
    flux_list_remove(slot);
    count_pinned(leaf, thread->home - 1, -1);
  } else if (thread->waits == FLUX_WAITS) {
    leaf_dequeue(leaf, slot);
    count_waiting(leaf, -1);
  }
  thread->waits = FLUX_NOT_WAITING;
}

static __always_inline void forget_cpu(__u32 slot) {
  struct flux_thread *thread = flux_thread(slot);
  if (thread->cpu >= 0 && flux_cpu(thread->cpu)->current == slot + 1) flux_cpu(thread->cpu)->current = 0;
  thread->cpu = -1;
}

/* The leaf where a thread of this nice value belongs. */
static __always_inline __u32 route(__s32 nice) {
  __u32 at = FLUX_ROOT;
  for (int i = 0; i < FLUX_MAX_DEPTH && !flux_is_leaf(at); ++i) at = branch_route(at, nice);
  return at & (FLUX_MAX_SCHEDS - 1);
}

/* Of a thread that does not wait. */
static __always_inline void join(__u32 slot, __u32 leaf) {
  struct flux_thread *thread = flux_thread(slot);
  if (thread->sched) {
    flux_sched(thread->sched)->threads--;
    flux_sched(thread->sched)->counters.left++;
  }
  thread->sched = leaf;
  if (leaf) {
    flux_sched(leaf)->threads++;
    flux_sched(leaf)->counters.joined++;
  }
}

/* ---- What a CPU does next ---- */

/* The leaf's first for this CPU: of its own choice and those who wait for this CPU the one that has waited longer. */
static __always_inline __u32 first_of(__u32 leaf, __u32 cpu) {
  __u32 first = leaf_first(leaf, cpu);
  __u32 pinned = flux_list(FLUX_PINNED_LIST(leaf & (FLUX_MAX_SCHEDS - 1), cpu & (FLUX_MAX_CPUS - 1)))->head;
  if (!pinned) return first;
  if (first == FLUX_YIELD || first == FLUX_KEEP) return pinned;
  return flux_thread(pinned - 1)->order < flux_thread(first - 1)->order ? pinned : first;
}

/* One step of a free CPU through the tree. Not 0: it is over: a thread (slot + 1), or FLUX_KEEP. */
static __always_inline __u32 step(__u32 cpu) {
  __u32 at = flux_cpu(cpu)->at;
  if (!at) {
    give_cpu(FLUX_ROOT, cpu);
  } else if (flux_is_leaf(at)) {
    __u32 first = first_of(at, cpu);
    if (first) return first;
    flux_sched(at)->counters.yielded++;
    return_cpu(cpu);
  } else {
    __u32 child = branch_choose(at, cpu);
    if (!child && at == FLUX_ROOT) child = flux.idle;
    if (child) {
      give_cpu(child, cpu);
    } else {
      flux_sched(at)->counters.yielded++;
      return_cpu(cpu);
    }
  }
  return 0;
}

/* ---- CPUs for those who wait ---- */

/* The child of `branch` on the way to `leaf`, which is below it. */
static __always_inline __u32 child_towards(__u32 branch, __u32 leaf) {
  for (int i = 0; i < FLUX_MAX_DEPTH; ++i) {
    __u32 parent = flux_sched(leaf)->parent;
    if (!parent || parent == branch) break;
    leaf = parent;
  }
  return leaf;
}

static __always_inline int is_above(__u32 sched, __u32 leaf) { return flux_sched(leaf)->path >> (sched & 31) & 1; }

/* The number of the lowest bit, of which there must be one. (ghost_lowest_bit is a function: none is called under the
 * lock, and calls are too deep in other places.) */
static __always_inline __u32 lowest_bit(__u64 bits) {
  bits = (bits & -bits) - 1;
  bits -= bits >> 1 & 0x5555555555555555ull;
  bits = (bits & 0x3333333333333333ull) + (bits >> 2 & 0x3333333333333333ull);
  bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0full;
  return bits * 0x0101010101010101ull >> 56;
}

/* One of the CPUs that `sched` has, `first` if it is among them; it has one. */
static __always_inline __u32 one_cpu_of(__u32 sched, __u32 first) {
  __u32 word = 0;
  __u64 bits = 0;
  if (has_cpu(sched, first)) return first;
  for (__u32 i = 0; i < FLUX_CPU_WORDS; ++i) {
    if (!bits) {
      word = i;
      bits = flux_sched(sched)->cpus[i];
    }
  }
  return (word * 64 + lowest_bit(bits)) & (FLUX_MAX_CPUS - 1);
}

/* The lowest ancestor of `leaf` that may let it have this CPU; 0: nobody may, or it is on its way there already. */
static __always_inline __u32 who_gives(__u32 leaf, __u32 cpu) {
  __u32 at = flux_cpu(cpu)->at;
  __u32 from = 0;
  for (int i = 0; i < FLUX_MAX_DEPTH && at && !is_above(at, leaf); ++i) {
    from = at;
    at = flux_sched(at)->parent;
  }
  if (!at || !from) return 0;
  return branch_takes(at, child_towards(at, leaf), from) ? at : 0;
}

/* Whether `to` waits for more CPUs than are on their way: those that stand at its parent go to a child. */
static __always_inline int wants_more(__u32 to) {
  __u32 parent = flux_sched(to)->parent;
  __u32 children_have = 0;
  for (int i = 0; i < FLUX_MAX_CHILDREN; ++i) {
    __u32 child = flux_sched(parent)->child[i];
    if (child) children_have += flux_sched(child)->nr_cpus;
  }
  return flux_sched(to)->waiting > flux_sched(parent)->nr_cpus - children_have;
}

/* A sub-scheduler from whom `leaf` may take a CPU, above both `*top`; 0: there is none, or one is on its way. */
static __always_inline __u32 find_giver(__u32 leaf, __u32 *top) {
  __u32 at = leaf;
  for (int i = 1; i < FLUX_MAX_DEPTH; ++i) {
    __u32 child = at;
    at = flux_sched(at)->parent;
    if (!at || !wants_more(child)) break;
    for (int j = FLUX_MAX_CHILDREN - 1; j >= 0; --j) {
      __u32 from = flux_sched(at)->child[j];
      if (!from || from == child || !flux_sched(from)->nr_cpus || !branch_takes(at, child, from)) continue;
      *top = at;
      return from;
    }
  }
  return 0;
}

/* The lowest branch above `cpu` of which another child wants it, and may take it; 0: there is none. */
static __always_inline __u32 who_would_take(__u32 cpu) {
  __u32 at = flux_cpu(cpu)->at;
  for (int i = 1; i < FLUX_MAX_DEPTH; ++i) {
    __u32 from = at;
    at = flux_sched(at)->parent;
    if (!at) break;
    for (int j = 0; j < FLUX_MAX_CHILDREN; ++j) {
      __u32 to = flux_sched(at)->child[j];
      if (!to || to == from || !flux_wants(to, cpu) || !branch_takes(at, to, from)) continue;
      if (flux_sched(to)->pinned[cpu & (FLUX_MAX_CPUS - 1)] || wants_more(to)) return at;
    }
  }
  return 0;
}

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_TREE_BPF_H_ */
