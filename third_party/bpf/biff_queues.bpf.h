/* SPDX-License-Identifier: GPL-2.0 */
/* Where biff's tasks wait, and who is told: lists, kicks and homes. A part of biff.bpf.c, which includes it once. */
#ifndef GHOST_THIRD_PARTY_BPF_BIFF_QUEUES_BPF_H_
#define GHOST_THIRD_PARTY_BPF_BIFF_QUEUES_BPF_H_

#include "third_party/bpf/biff.h"
#include "third_party/bpf/ghost.bpf.h"

/* Tasks that one pick looks at, and other CPUs' lists. */
#define ATTEMPTS 8

struct biff biff;

static __always_inline struct biff_task *task_at(__u32 slot) { return &biff.tasks[slot & (BIFF_MAX_TASKS - 1)]; }
static __always_inline struct ghost_list *list_at(__u32 list) { return &biff.lists[list & (BIFF_LISTS - 1)]; }
static __always_inline struct biff_cpu *cpu_at(__u32 cpu) { return &biff.cpus[cpu & (BIFF_MAX_CPUS - 1)]; }

#define COUNT(what) __sync_fetch_and_add(&biff.counters.what, 1)

/* ---- Lists: under the lock ---- */

GHOST_LIST(list, task_at, list_at)

/* Keeps `crowded` after a change of the list. */
static __always_inline void note_crowd(__u32 list_number) {
  __u32 cpu = list_number - BIFF_LOCAL_LIST(0);
  if (cpu >= BIFF_MAX_CPUS) return;
  barrier_var(cpu); /* or the compiler leaves out the bounds that the verifier wants to see */
  __u64 *word = &biff.crowded[(cpu >> 6) & (BIFF_MAX_CPUS / 64 - 1)];
  __u64 bit = 1ull << (cpu & 63);
  *word = list_at(BIFF_LOCAL_LIST(cpu))->count ? *word | bit : *word & ~bit;
}

static __always_inline void take_out(__u32 slot) {
  __u32 list_number = task_at(slot)->list;
  list_remove(slot);
  note_crowd(list_number);
}

/* Puts a runnable task that is nowhere into its list. */
static __always_inline void line_up(__u32 slot) {
  struct biff_task *task = task_at(slot);
  if (task->list != BIFF_NO_LIST || !task->runnable || task->cpu >= 0 || !task->gtid) return;
  __u32 list_number = task->home == BIFF_ANYWHERE ? BIFF_GLOBAL_LIST : BIFF_LOCAL_LIST(task->home - 1);
  task->order = biff.order++;
  list_append(list_number, slot);
  note_crowd(list_number);
}

static __always_inline void forget_cpu(__u32 slot) {
  struct biff_task *task = task_at(slot);
  if (task->cpu >= 0 && cpu_at(task->cpu)->current == slot + 1) cpu_at(task->cpu)->current = 0;
  task->cpu = -1;
}

/* Of an idle CPU, that it is none any more. */
static __always_inline int claim_idle(__u32 cpu) {
  __u64 *word = &biff.idle[(cpu >> 6) & (BIFF_MAX_CPUS / 64 - 1)];
  __u64 bit = 1ull << (cpu & 63);
  if (!(*word & bit)) return 0;
  *word &= ~bit;
  return 1;
}

static __always_inline int waits_for(__u32 cpu) {
  return list_at(BIFF_GLOBAL_LIST)->count || list_at(BIFF_LOCAL_LIST(cpu & (BIFF_MAX_CPUS - 1)))->count;
}

/* ---- Kicks ---- */

/* An idle CPU's number + 1, which is none from now on; `first` is looked at first. 0: there is none. */
__noinline __u32 take_idle_cpu(__u32 first) {
  __u32 found = 0;
  __u64 bits = 0;
  __u32 word;
  first &= BIFF_MAX_CPUS - 1;
  GHOST_LOCK();
  word = first >> 6;
  if (claim_idle(first)) {
    found = first + 1;
  } else {
    for (__u32 i = 0; i < BIFF_MAX_CPUS / 64; ++i) {
      if (!bits) {
        word = i;
        bits = biff.idle[i];
      }
    }
    bits &= -bits;
    biff.idle[word & (BIFF_MAX_CPUS / 64 - 1)] &= ~bits;
  }
  GHOST_UNLOCK();
  if (found) return found;
  return bits ? word * 64 + ghost_lowest_bit(bits) + 1 : 0;
}

__noinline int take_this_idle_cpu(__u32 cpu) {
  int found;
  GHOST_LOCK();
  found = claim_idle(cpu);
  GHOST_UNLOCK();
  return found;
}

static __always_inline int any_idle(void) {
  __u64 bits = 0;
  for (__u32 word = 0; word < BIFF_MAX_CPUS / 64; ++word) bits |= biff.idle[word];
  return bits != 0;
}

/* The turn of the task on `cpu` ends if it has had its slice and others wait. */
static __always_inline void end_slice(__u32 cpu) {
  struct biff_cpu *its = cpu_at(cpu);
  if (!its->current || !waits_for(cpu)) return;
  __u64 now = bpf_ktime_get_ns();
  if (now < its->since_ns + biff.slice_ns) return;
  its->since_ns = now; /* once */
  COUNT(slices);
  ghost_kick(cpu, 1, its->cpu_seqnum);
}

/* A task has come to wait for this CPU. True: it is told. */
static __always_inline int call_home(__u32 home) {
  if (!take_this_idle_cpu(home - 1)) return 0;
  ghost_kick(home - 1, 0, 0);
  return 1;
}

/* Somebody runs the task that has just joined a list. `woken`: it has slept, and whose slice is over makes way for it.
 * (Who was preempted stands behind: or two tasks with short slices would do nothing but preempt each other.) */
__noinline int kick_for(__u32 slot, __s32 last_cpu, int woken) {
  __u32 home = task_at(slot)->home;
  if (!biff.initialized || home == BIFF_NOWHERE) return 0;
  if (home != BIFF_ANYWHERE) {
    if (call_home(home)) return 0;
    if (any_idle()) ghost_kick(home - 1, 0, 0); /* it may hand it on */
    last_cpu = home - 1;
  } else {
    __u32 cpu = take_idle_cpu(last_cpu < 0 ? 0 : last_cpu);
    if (cpu) {
      ghost_kick(cpu - 1, 0, 0);
      return 0;
    }
  }
  if (woken) end_slice(last_cpu);
  return 0;
}

/* ---- Homes ---- */

/* The best home among 64 CPUs, of which `allowed` are allowed: the more the better, 0: there is none. */
__noinline __u32 home_in_word(__u32 word, __u64 allowed, __u32 cpu) {
  word &= BIFF_MAX_CPUS / 64 - 1;
  __u64 bits = allowed & biff.cpu_mask[word];
  __u64 idle = bits & biff.idle[word];
  __u64 after = word > cpu >> 6 ? bits : word < cpu >> 6 ? 0 : bits & ~((2ull << (cpu & 63)) - 1);
  if (!bits) return 0;
  if (idle) return (3 << 16) - word * 64 - ghost_lowest_bit(idle);
  if (after) return (2 << 16) - word * 64 - ghost_lowest_bit(after);
  return (1 << 16) - word * 64 - ghost_lowest_bit(bits);
}

/* Where the task, which may not run everywhere, is to wait: for a CPU that is idle, else for the next after `cpu`. */
__noinline __u32 find_home(__s64 gtid, __u32 cpu) {
  __u64 mask[BIFF_MAX_CPUS / 64];
  __u32 best = 0;
  if (ghost_affinity(gtid, mask)) return BIFF_ANYWHERE;
  for (__u32 word = 0; word < BIFF_MAX_CPUS / 64; ++word) {
    __u32 found = home_in_word(word, mask[word], cpu);
    if (found > best) best = found;
  }
  return best ? (-best & (BIFF_MAX_CPUS - 1)) + 1 : BIFF_NOWHERE;
}

/* Moves the task, if it still waits for `from`, to the list of `to`. `idle`: only if that one idles, as it does no more
 * then. */
__noinline int move_home(__u32 slot, __u32 from, __u32 to, int idle) {
  struct biff_task *task = task_at(slot);
  int moved = 0;
  GHOST_LOCK();
  if (task->list == BIFF_LOCAL_LIST(from & (BIFF_MAX_CPUS - 1)) && (!idle || claim_idle(to))) {
    take_out(slot);
    task->home = (to & (BIFF_MAX_CPUS - 1)) + 1;
    line_up(slot);
    moved = 1;
  }
  GHOST_UNLOCK();
  if (moved) COUNT(moved);
  return moved;
}

/* The first task that waits for `cpu`, which is taken, goes to an idle CPU that may run it, if there is one. */
__noinline int hand_on(__u32 cpu) {
  cpu &= BIFF_MAX_CPUS - 1;
  __u32 head = list_at(BIFF_LOCAL_LIST(cpu))->head;
  if (!head) return 0;
  __u32 home = find_home(task_at(head - 1)->gtid, cpu);
  if (home == BIFF_ANYWHERE || home == BIFF_NOWHERE || home == cpu + 1) return 0;
  if (move_home(head - 1, cpu, home - 1, 1)) ghost_kick(home - 1, 0, 0);
  return 0;
}

/* The first CPU from `from` on in whose list tasks wait; BIFF_MAX_CPUS: there is none. */
__noinline __u32 next_crowded(__u32 from) {
  for (__u32 word = 0; word < BIFF_MAX_CPUS / 64; ++word) {
    __u64 bits = biff.crowded[word];
    if (word < from >> 6) continue;
    if (word == from >> 6) bits &= ~0ull << (from & 63);
    if (bits) return word * 64 + ghost_lowest_bit(bits);
  }
  return BIFF_MAX_CPUS;
}

/* `cpu` has nothing to run: it becomes the home of a task that is the first to wait for another. */
__noinline int pull(__u32 cpu) {
  __u32 from = 0;
  for (int i = 0; i < ATTEMPTS; ++i) {
    __u32 other = next_crowded(from);
    if (other >= BIFF_MAX_CPUS) break;
    from = other + 1;
    __u32 head = list_at(BIFF_LOCAL_LIST(other))->head;
    if (!head || !ghost_allowed(task_at(head - 1)->gtid, cpu)) continue;
    if (move_home(head - 1, other, cpu, 0)) return 1;
  }
  return 0;
}

/* `cpu` has something else to run: if it was kicked for a task that waits, another one is. */
__noinline int pass_on(__u32 cpu) {
  take_this_idle_cpu(cpu);
  hand_on(cpu);
  if (!list_at(BIFF_GLOBAL_LIST)->count) return 0;
  __u32 other = take_idle_cpu(cpu);
  if (other) ghost_kick(other - 1, 0, 0);
  return 0;
}

#endif /* GHOST_THIRD_PARTY_BPF_BIFF_QUEUES_BPF_H_ */
