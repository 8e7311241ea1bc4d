/* SPDX-License-Identifier: GPL-2.0 */
/* flux: CPUs for those who wait. For a thread that becomes runnable a CPU is called, in the tree; one that may not run
 * everywhere waits for a CPU of its own choice, its home, and is sent to another when that is better. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_PLACE_BPF_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_PLACE_BPF_H_

#include "third_party/bpf/flux_tree.bpf.h"

/* Threads that one pick, or one look at a list, deals with. */
#define ATTEMPTS 8

/* A CPU to kick, as functions return it. 0: none. */
#define KICK(cpu, must) ((cpu) + 1 | ((must) ? 1u << 31 : 0))

static __always_inline void kick(__u32 whom) {
  __u32 cpu = (whom & ~(1u << 31)) - 1;
  if (whom) ghost_kick(cpu, whom >> 31, flux_cpu(cpu)->cpu_seqnum);
}

/* Moves `cpu` to where `leaf` can get it, if it may. */
static __always_inline __u32 claim(__u32 leaf, __u32 cpu) {
  struct flux_cpu *its = flux_cpu(cpu);
  __u32 top = who_gives(leaf, cpu);
  if (top) {
    take_cpu_up(cpu, top);
    return KICK(cpu, its->current);
  }
  return its->at && is_above(its->at, leaf) && !its->current ? KICK(cpu, 0) : 0;
}

/* A CPU for a thread that waits with `leaf` for `home`. Returns whom to kick. */
__noinline __u32 call_home(__u32 leaf, __u32 home) {
  __u32 whom = 0;
  leaf &= FLUX_MAX_SCHEDS - 1;
  home &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  if (flux_sched(leaf)->pinned[home]) whom = claim(leaf, home);
  GHOST_UNLOCK();
  return whom;
}

/* A CPU for threads of `leaf` that may run anywhere: one that idles, `first` if that can be had, or one that another
 * has to give. */
__noinline __u32 call_any(__u32 leaf, __u32 first) {
  __u32 whom = 0, top = 0;
  leaf &= FLUX_MAX_SCHEDS - 1;
  first &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  if (flux_sched(leaf)->waiting) {
    __u32 from = flux.idle;
    top = FLUX_ROOT;
    if (!flux_sched(from)->nr_cpus) from = find_giver(leaf, &top);
    if (from) {
      __u32 cpu = one_cpu_of(from, first);
      take_cpu_up(cpu, top);
      whom = KICK(cpu, flux_cpu(cpu)->current);
    }
  }
  GHOST_UNLOCK();
  return whom;
}

/* The best home among 64 CPUs, of which `allowed` are allowed: the more the better, 0: there is none. */
__noinline __u32 home_in_word(__u32 word, __u64 allowed, __u32 cpu) {
  word &= FLUX_CPU_WORDS - 1;
  __u64 bits = allowed & flux.cpu_mask[word];
  __u64 present = bits & flux_sched(FLUX_ROOT)->cpus[word];
  __u64 idle = bits & flux_sched(flux.idle)->cpus[word];
  __u64 after = word > cpu >> 6 ? present : word < cpu >> 6 ? 0 : present & ~((2ull << (cpu & 63)) - 1);
  if (!bits) return 0;
  if (idle) return (4 << 16) - word * 64 - lowest_bit(idle);
  if (after) return (3 << 16) - word * 64 - lowest_bit(after);
  if (present) return (2 << 16) - word * 64 - lowest_bit(present);
  return (1 << 16) - word * 64 - lowest_bit(bits);
}

/* A CPU on which the thread may run, + 1: one that is idle, else the next after `cpu` that no other class has; 0: it
 * may on none of ours, or the kernel does not tell. */
__noinline __u32 find_home(__s64 gtid, __u32 cpu) {
  __u64 mask[FLUX_CPU_WORDS];
  __u32 best = 0;
  if (ghost_affinity(gtid, mask)) return 0;
  for (__u32 word = 0; word < FLUX_CPU_WORDS; ++word) {
    __u32 found = home_in_word(word, mask[word], cpu);
    if (found > best) best = found;
  }
  return best ? (-best & (FLUX_MAX_CPUS - 1)) + 1 : 0;
}

/* Somebody runs the thread that waits. */
static __always_inline void call_for(__u32 slot, __s32 last_cpu) {
  struct flux_thread *thread = flux_thread(slot);
  if (!flux.initialized) return;
  if (thread->home) {
    kick(call_home(thread->sched, thread->home - 1));
  } else {
    kick(call_any(thread->sched, last_cpu < 0 ? 0 : last_cpu));
  }
}

/* ---- Homes ---- */

/* A thread that may not run on `cpu`, which took it, or for which it waits, waits for one where it may; `idle`: only if
 * that one idles. If none of ours is one, until its affinity changes; if there was a message meanwhile, that may have
 * been it. Returns whether it waits for another one now. */
__noinline int send_home(__u32 slot, __u32 cpu, __u32 barrier, int idle) {
  struct flux_thread *thread = flux_thread(slot);
  __u32 home = find_home(thread->gtid, cpu);
  int moves;
  GHOST_LOCK();
  moves = thread->waits == FLUX_WAITS_AT_CPU && home != thread->home;
  if (idle && !(home && has_cpu(flux.idle, home - 1))) moves = 0;
  if (moves || thread->cpu == (__s32)cpu) {
    forget_cpu(slot);
    dequeue(slot);
    if (thread->barrier == barrier) {
      thread->home = home;
      thread->nowhere = home == 0;
    }
    enqueue(slot);
  }
  GHOST_UNLOCK();
  if (moves || !idle) call_for(slot, cpu);
  return moves;
}

/* ---- CPUs that others have ---- */

__noinline int leave_tree(__u32 cpu) {
  int was_there;
  cpu &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  was_there = flux_cpu(cpu)->at != 0;
  take_cpu_up(cpu, 0);
  GHOST_UNLOCK();
  return was_there;
}

/* The slot + 1 of number `n` of the threads that wait with `leaf` for `cpu`; 0: there are not so many. */
__noinline __u32 who_waits_for(__u32 leaf, __u32 cpu, __u32 n) {
  __u32 found;
  leaf &= FLUX_MAX_SCHEDS - 1;
  cpu &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  found = flux_list(FLUX_PINNED_LIST(leaf, cpu))->head;
  for (__u32 i = 0; i < ATTEMPTS; ++i) {
    if (i < n && found) found = flux_thread(found - 1)->next;
  }
  GHOST_UNLOCK();
  return found;
}

/* The first threads that wait for `cpu` get another one, where they may: one that idles; or any, if others have `cpu`.
 */
__noinline int spread(__u32 cpu) {
  cpu &= FLUX_MAX_CPUS - 1;
  int here = flux_cpu(cpu)->at != 0;
  if (here && !flux_sched(flux.idle)->nr_cpus) return 0;
  for (__u32 leaf = FLUX_ROOT; leaf < FLUX_MAX_SCHEDS; ++leaf) {
    if (!flux_is_leaf(leaf) || !flux_sched(leaf)->pinned[cpu]) continue;
    __u32 stay = 0;
    for (int i = 0; i < ATTEMPTS; ++i) {
      __u32 waits = who_waits_for(leaf, cpu, stay);
      if (!waits) break;
      stay += !send_home(waits - 1, cpu, flux_thread(waits - 1)->barrier, here);
    }
  }
  return 0;
}

/* `cpu` has something else to run: those for whom it was called get another. */
static __always_inline int pass_on(__u32 cpu) {
  if (!leave_tree(cpu)) return 0;
  for (__u32 leaf = FLUX_ROOT; leaf < FLUX_MAX_SCHEDS; ++leaf) {
    if (flux_is_leaf(leaf) && flux_sched(leaf)->waiting) kick(call_any(leaf, cpu));
  }
  return spread(cpu);
}

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_PLACE_BPF_H_ */
