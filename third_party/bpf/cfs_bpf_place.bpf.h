/* SPDX-License-Identifier: GPL-2.0 */
/* On which CPU a task of cfs_bpf's runs: placement of who becomes runnable, and what CPUs take over from others. For
 * cfs_bpf.bpf.c only. Costs depend on the number of CPUs, not of tasks. Functions take the lock themselves. */
#ifndef GHOST_THIRD_PARTY_BPF_CFS_BPF_PLACE_BPF_H_
#define GHOST_THIRD_PARTY_BPF_CFS_BPF_PLACE_BPF_H_

#include "third_party/bpf/cfs_bpf_queue.bpf.h"

/* Queues whose first bound task a CPU looks at. */
#define QUEUES_TO_TRY 4

/* Whether the task may run on `cpu`, as far as it is known. */
static __always_inline int may_run(__u32 slot, __u32 cpu) {
  struct cfs_bpf_task *task = task_at(slot);
  if (task->affinity != CFS_BPF_SOME_CPUS) return 1;
  return task->word == cpu >> 6 && task->allowed >> (cpu & 63) & 1;
}

/* ---- Placement ---- */

/* The best CPU among 64, of which `allowed` are the enclave's and allowed, for a task that was on `last`: the more the
 * better, 0: none. Idle ones come first, then those that no other class has; `last` or one after it before others. */
__noinline __u32 best_in_word(__u32 word, __u64 allowed, __u32 last) {
  word &= CFS_BPF_CPU_WORDS - 1;
  __u64 after = word > last >> 6 ? ~0ull : word < last >> 6 ? 0 : ~0ull << (last & 63);
  __u64 bits = allowed & cfs_bpf.idle[word];
  __u32 rank = 5;
  if (!bits) {
    bits = allowed & ~cfs_bpf.taken[word];
    rank = 3;
  }
  if (!bits) {
    bits = allowed;
    rank = 1;
  }
  if (!bits) return 0;
  if (bits & after) {
    bits &= after;
    ++rank;
  }
  return rank * CFS_BPF_MAX_CPUS + (CFS_BPF_MAX_CPUS - 1 - word * 64 - ghost_lowest_bit(bits));
}
#define RANK_OF(best) ((best) / CFS_BPF_MAX_CPUS)
#define CPU_OF(best) (CFS_BPF_MAX_CPUS - 1 - (best) % CFS_BPF_MAX_CPUS)
#define RANK_IDLE 5

/* The best among the CPUs on which the task may run, searched from `from` on. */
__noinline __u32 best_for(__u32 slot, __u32 from) {
  struct cfs_bpf_task *task = task_at(slot);
  __u32 best = 0;
  if (task->affinity == CFS_BPF_SOME_CPUS) return best_in_word(task->word, task->allowed, from);
  for (int word = 0; word < CFS_BPF_CPU_WORDS; ++word) {
    if (!cfs_bpf.cpu_mask[word]) continue;
    __u32 found = best_in_word(word, cfs_bpf.cpu_mask[word], from);
    if (found > best) best = found;
  }
  return best;
}

/* Where the task, which was on `last`, is to queue: the CPU + 1; 0: it may run on none of ours. Without an idle one
 * that is `last`, unless another one, each time a different one, has clearly less to do. */
__noinline __u32 choose(__u32 slot, __u32 last) {
  last &= CFS_BPF_MAX_CPUS - 1;
  struct cfs_bpf_cpu *lasts = cpu_at(last);
  __u32 best = best_for(slot, last);
  if (!best) return 0;
  if (RANK_OF(best) >= RANK_IDLE) return CPU_OF(best) + 1;
  __u32 other = best_for(slot, lasts->look_from);
  lasts->look_from = CPU_OF(other) + 1;
  return load_of(cpu_at(CPU_OF(other))) + 1 < load_of(cpu_at(CPU_OF(best))) ? CPU_OF(other) + 1 : CPU_OF(best) + 1;
}

__noinline int take_idle(__u32 cpu) {
  int found;
  GHOST_LOCK();
  found = claim_idle(cpu);
  GHOST_UNLOCK();
  return found;
}

/* An idle CPU comes for a task that waits for `cpu`, which has something else to run. */
__noinline int call_idle(__u32 slot, __u32 cpu) {
  if (!cfs_bpf.idle_count) return 0;
  __u32 chosen = choose(slot, cpu);
  if (chosen && take_idle(chosen - 1)) ghost_kick(chosen - 1, 0, 0);
  return 0;
}

/* Finds a CPU for a runnable task that is nowhere, and sees to it that it comes. */
__noinline int place(__u32 slot, __u32 last, __u32 comes) {
  __u64 now = time_ns();
  __u64 went_idle = cfs_bpf.went_idle;
  __u32 chosen = choose(slot, last);
  if (!chosen) {
    COUNT(nowhere);
    return 0;
  }
  __u32 cpu = chosen - 1;
  __u32 found = queue_up(slot, cpu, comes, now, went_idle);
  if (!cfs_bpf.initialized) return 0;
  if (found & KICK_IDLE) {
    COUNT(placed_idle);
    ghost_kick(cpu, 0, 0);
  }
  if (found & KICK_MUST) {
    COUNT(challenges);
    ghost_kick(cpu, 1, cpu_at(cpu)->cpu_seqnum);
  }
  if (found & LOOK_AGAIN) call_idle(slot, cpu);
  return 0;
}

/* ---- Taking over from other CPUs ---- */

/* Of 64 CPUs, without `cpu`, the one in whose queue most waits, in its heap `which` something: its weight and number;
 * only those below `below` count. 0: none. */
__noinline __u64 busiest_in_word(__u32 word, __u32 which, __u32 cpu, __u64 below) {
  word &= CFS_BPF_CPU_WORDS - 1;
  __u64 bits = cfs_bpf.waiting[which & 1][word];
  __u64 busiest = 0;
  if (word == cpu >> 6) bits &= ~(1ull << (cpu & 63));
  for (int i = 0; i < 64 && bits; ++i) {
    __u32 other = word * 64 + ghost_lowest_bit(bits);
    __u64 score = cpu_at(other)->weight * CFS_BPF_MAX_CPUS + other;
    bits &= bits - 1;
    if (score > busiest && score < below) busiest = score;
  }
  return busiest;
}

__noinline __u64 busiest_queue(__u32 which, __u32 cpu, __u64 below) {
  __u64 busiest = 0;
  for (int word = 0; word < CFS_BPF_CPU_WORDS; ++word) {
    if (!cfs_bpf.waiting[which & 1][word]) continue;
    __u64 found = busiest_in_word(word, which, cpu, below);
    if (found > busiest) busiest = found;
  }
  return busiest;
}

/* The first of the heap `which` of `from` leaves it for `cpu`, which is about to run it if it is idle; else it joins
 * the queue, if then there is still less to do than at `from`. Returns its slot + 1, or 0. */
__noinline __u32 take_over(__u32 which, __u32 from, __u32 cpu, __u32 idle) {
  from &= CFS_BPF_MAX_CPUS - 1;
  cpu &= CFS_BPF_MAX_CPUS - 1;
  struct cfs_bpf_cpu *theirs = cpu_at(from), *its = cpu_at(cpu);
  __u32 taken;
  GHOST_LOCK();
  taken = heap_first(theirs->roots[which & 1]);
  if (taken && !may_run(taken - 1, cpu)) taken = 0;
  if (taken && !idle && !has_cpu(cfs_bpf.taken, from)) {
    if (weight_on(its) + task_at(taken - 1)->weight >= weight_on(theirs)) taken = 0;
  }
  if (taken) {
    quit(taken - 1);
    enter(taken - 1, cpu, COMES_BACK, 0);
    if (idle) {
      task_at(taken - 1)->cpu = cpu;
      advance(its, *vruntime_of(taken - 1));
    } else {
      join(taken - 1, cpu);
    }
  }
  GHOST_UNLOCK();
  return taken;
}

/* Looks where most wait for a task that `cpu` may take over. Of those that may not run everywhere only the first ones
 * are looked at: others look for an idle CPU themselves at the end of a slice. Returns its slot + 1, or 0. */
__noinline __u32 pull(__u32 cpu, __u32 idle) {
  __u64 below = ~0ull;
  __u64 busiest = busiest_queue(CFS_BPF_FREE, cpu, below);
  if (busiest) {
    __u32 taken = take_over(CFS_BPF_FREE, busiest % CFS_BPF_MAX_CPUS, cpu, idle);
    if (taken) return taken;
  }
  for (int i = 0; i < QUEUES_TO_TRY; ++i) {
    below = busiest_queue(CFS_BPF_BOUND, cpu, below);
    if (!below) return 0;
    __u32 taken = take_over(CFS_BPF_BOUND, below % CFS_BPF_MAX_CPUS, cpu, idle);
    if (taken) return taken;
  }
  return 0;
}

#endif /* GHOST_THIRD_PARTY_BPF_CFS_BPF_PLACE_BPF_H_ */
