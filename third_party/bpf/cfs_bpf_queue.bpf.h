/* SPDX-License-Identifier: GPL-2.0 */
/* cfs_bpf's queues: one for each CPU, by vruntime, and where in it who comes belongs. For cfs_bpf.bpf.c only.
 *
 * vruntime: a task's time on CPU in ns, by its weight. That of nice 0 is 1024, and 1.25 times that for each step of
 * nice less.
 *
 * min_vruntime: where the tasks of a CPU stand. It never goes back: who comes, from sleep or from another CPU, stands
 * no further behind it than half a latency.
 *
 * slice: a task's share, by weight, of the period in which each of a CPU's runs once: `latency`, or as many
 * min_granularities as there are tasks, if that is longer.
 *
 * Functions of which it is not said otherwise are called under the lock, and call nothing. */
#ifndef GHOST_THIRD_PARTY_BPF_CFS_BPF_QUEUE_BPF_H_
#define GHOST_THIRD_PARTY_BPF_CFS_BPF_QUEUE_BPF_H_

#include "third_party/bpf/ghost.bpf.h"

#include "third_party/bpf/cfs_bpf.h"
#include "third_party/bpf/ghost_heap.bpf.h"

/* No task runs for longer without a message: it would overflow. */
#define GREATEST_RUN_NS (1ull << 42)

struct cfs_bpf cfs_bpf;
struct ghost_heap_node cfs_bpf_nodes[CFS_BPF_MAX_TASKS] SEC(".bss.nodes");

/* How a task comes to a queue. */
enum {
  COMES_NEW,
  COMES_WOKEN,
  COMES_YIELDED,
  COMES_BACK, /* preempted, moved, or it could not run */
};

/* What queue_up found: bits. */
enum {
  KICK_IDLE = 1,  /* the CPU was idle */
  KICK_MUST = 2,  /* who runs there is to leave */
  LOOK_AGAIN = 4, /* a CPU has gone idle meanwhile */
};

static __always_inline struct cfs_bpf_task *task_at(__u32 slot) {
  return &cfs_bpf.tasks[slot & (CFS_BPF_MAX_TASKS - 1)];
}
static __always_inline struct cfs_bpf_cpu *cpu_at(__u32 cpu) { return &cfs_bpf.cpus[cpu & (CFS_BPF_MAX_CPUS - 1)]; }

#define NODE_AT(slot) (&cfs_bpf_nodes[(slot) & (CFS_BPF_MAX_TASKS - 1)])
GHOST_HEAP(heap, NODE_AT)

static __always_inline __u64 *vruntime_of(__u32 slot) { return &NODE_AT(slot)->key; }

/* Needs no lock. */
#define COUNT(what) __sync_fetch_and_add(&cfs_bpf.counters.what, 1)
static __always_inline __u64 time_ns(void) { return cfs_bpf.fixed_now_ns ? cfs_bpf.fixed_now_ns : bpf_ktime_get_ns(); }

/* Vruntimes are compared by their difference. */
static __always_inline int before(__u64 a, __u64 b) { return (__s64)(a - b) < 0; }

/* ---- Sets of CPUs ---- */

static __always_inline __u64 *word_of(__u64 *set, __u32 cpu) { return &set[(cpu >> 6) & (CFS_BPF_CPU_WORDS - 1)]; }
static __always_inline int has_cpu(__u64 *set, __u32 cpu) { return *word_of(set, cpu) >> (cpu & 63) & 1; }
static __always_inline void set_cpu(__u64 *set, __u32 cpu) { *word_of(set, cpu) |= 1ull << (cpu & 63); }
static __always_inline void clear_cpu(__u64 *set, __u32 cpu) { *word_of(set, cpu) &= ~(1ull << (cpu & 63)); }

/* Of an idle CPU, that it is none any more. */
static __always_inline int claim_idle(__u32 cpu) {
  if (!has_cpu(cfs_bpf.idle, cpu)) return 0;
  clear_cpu(cfs_bpf.idle, cpu);
  cfs_bpf.idle_count--;
  return 1;
}

/* ---- Queues ---- */

static __always_inline __u32 heap_of(struct cfs_bpf_task *task) {
  return task->affinity == CFS_BPF_SOME_CPUS ? CFS_BPF_BOUND : CFS_BPF_FREE;
}

static __always_inline void join(__u32 slot, __u32 cpu) {
  struct cfs_bpf_task *task = task_at(slot);
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  __u32 which = heap_of(task);
  heap_insert(&its->roots[which], slot, *vruntime_of(slot), (__u32)cfs_bpf.joined);
  if (!its->count || before(its->rightmost, *vruntime_of(slot))) its->rightmost = *vruntime_of(slot);
  its->count++;
  its->weight += task->weight;
  set_cpu(cfs_bpf.waiting[which], cpu);
  cfs_bpf.joined++;
}

static __always_inline void quit(__u32 slot) {
  struct cfs_bpf_task *task = task_at(slot);
  struct cfs_bpf_cpu *its = cpu_at(task->home);
  __u32 which = heap_of(task);
  if (!heap_contains(slot)) return;
  heap_remove(&its->roots[which], slot);
  its->count--;
  its->weight -= task->weight;
  if (!its->roots[which]) clear_cpu(cfs_bpf.waiting[which], task->home);
}

/* The slot + 1 of the one that is to run next, 0: none waits. */
static __always_inline __u32 first_of(struct cfs_bpf_cpu *its) {
  __u32 free = heap_first(its->roots[CFS_BPF_FREE]), bound = heap_first(its->roots[CFS_BPF_BOUND]);
  if (!free || !bound) return free ? free : bound;
  return heap_before(bound, free) ? bound : free;
}

static __always_inline void forget_cpu(__u32 slot) {
  struct cfs_bpf_task *task = task_at(slot);
  if (task->cpu >= 0 && cpu_at(task->cpu)->current == slot + 1) cpu_at(task->cpu)->current = 0;
  task->cpu = -1;
}

static __always_inline __u32 load_of(struct cfs_bpf_cpu *its) { return its->count + !!its->current; }

static __always_inline __u64 weight_on(struct cfs_bpf_cpu *its) {
  return its->weight + (its->current ? task_at(its->current - 1)->weight : 0);
}

/* ---- Time ---- */

/* ns on CPU as vruntime. */
static __always_inline __u64 weighted(__u64 ns, __u32 weight) { return ns * CFS_BPF_NICE_0_WEIGHT / weight; }

/* How long a task of this weight runs at a time, as one of `count`, who weigh `total`. */
static __always_inline __u64 slice_ns(__u32 weight, __u64 total, __u32 count) {
  __u64 period = count * cfs_bpf.min_granularity_ns;
  if (period < cfs_bpf.latency_ns) period = cfs_bpf.latency_ns;
  __u64 share = period * weight / total;
  return share > cfs_bpf.min_granularity_ns ? share : cfs_bpf.min_granularity_ns;
}

static __always_inline void advance(struct cfs_bpf_cpu *its, __u64 vruntime) {
  if (before(its->min_vruntime, vruntime)) its->min_vruntime = vruntime;
}

/* All that want the CPU stand at the vruntime of the first, or at `vruntime`, or to the right of it. */
static __always_inline void advance_to_least(struct cfs_bpf_cpu *its, __u64 vruntime) {
  __u32 first = first_of(its);
  if (first && before(*vruntime_of(first - 1), vruntime)) vruntime = *vruntime_of(first - 1);
  advance(its, vruntime);
}

/* The vruntime of who has the CPU, of which no message has told yet. */
static __always_inline __u64 vruntime_now(struct cfs_bpf_cpu *its, __u64 now) {
  __u32 slot = its->current - 1;
  return *vruntime_of(slot) + (now > its->since_ns ? weighted(now - its->since_ns, task_at(slot)->weight) : 0);
}

/* The task, which is in no queue, has run for so long in all. */
static __always_inline void charge(__u32 slot, __u64 runtime_ns) {
  struct cfs_bpf_task *task = task_at(slot);
  __u64 ran_ns = runtime_ns - task->charged_ns;
  if ((__s64)ran_ns <= 0) return;
  if (ran_ns > GREATEST_RUN_NS) ran_ns = GREATEST_RUN_NS;
  *vruntime_of(slot) += weighted(ran_ns, task->weight);
  task->charged_ns = runtime_ns;
}

/* A new task: one slice to the right of the queue, so that who forks much does not gain by it; but no further than
 * whoever is last, so that those who come together start together. */
static __always_inline __u64 start_of(struct cfs_bpf_cpu *its, __u32 weight, __u64 now) {
  __u64 last = its->min_vruntime;
  if (its->count && before(last, its->rightmost)) last = its->rightmost;
  if (its->current && before(last, vruntime_now(its, now))) last = vruntime_now(its, now);
  __u64 slice = slice_ns(weight, weight_on(its) + weight, load_of(its) + 1);
  __u64 start = its->min_vruntime + weighted(slice, weight);
  return before(start, last) ? start : last;
}

/* Where a task stands that comes to the queue of `cpu`. */
static __always_inline void enter(__u32 slot, __u32 cpu, __u32 comes, __u64 now) {
  struct cfs_bpf_task *task = task_at(slot);
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  __u64 vruntime = *vruntime_of(slot);
  if (task->home < 0) {
    vruntime = start_of(its, task->weight, now);
  } else if (task->home != (__s32)cpu) { /* what it is behind elsewhere is no claim here */
    __u64 ahead = vruntime - cpu_at(task->home)->min_vruntime;
    vruntime = its->min_vruntime + ((__s64)ahead > 0 ? ahead : 0);
  }
  __u64 least = its->min_vruntime - cfs_bpf.latency_ns / 2;
  if (before(vruntime, least)) vruntime = least;
  if (comes == COMES_YIELDED && its->count && before(vruntime, its->rightmost)) { /* behind all, up to one latency */
    least = vruntime + cfs_bpf.latency_ns;
    vruntime = before(least, its->rightmost) ? least : its->rightmost;
  }
  *vruntime_of(slot) = vruntime;
  task->home = cpu;
}

/* It is so far behind who has the CPU that it may not wait. */
static __always_inline int challenges(__u32 slot, struct cfs_bpf_cpu *its, __u64 now) {
  if (!its->current || its->kicked) return 0;
  return before(*vruntime_of(slot) + weighted(cfs_bpf.wakeup_granularity_ns, task_at(slot)->weight),
                vruntime_now(its, now));
}

/* Takes the lock. A runnable task that is nowhere joins the queue of `cpu`. `went_idle`: how many CPUs had, when that
 * one was chosen. */
__noinline __u32 queue_up(__u32 slot, __u32 cpu, __u32 comes, __u64 now, __u64 went_idle) {
  struct cfs_bpf_task *task = task_at(slot);
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  __u32 found = 0;
  GHOST_LOCK();
  if (task->gtid && task->runnable && task->cpu < 0 && !heap_contains(slot)) {
    if (its->current) advance_to_least(its, vruntime_now(its, now));
    enter(slot, cpu, comes, now);
    join(slot, cpu);
    if (claim_idle(cpu)) {
      found = KICK_IDLE;
    } else {
      if (cfs_bpf.went_idle != went_idle) found = LOOK_AGAIN;
      if (comes <= COMES_WOKEN && challenges(slot, its, now)) {
        its->kicked = 1;
        found |= KICK_MUST;
      }
    }
  }
  GHOST_UNLOCK();
  return found;
}

#endif /* GHOST_THIRD_PARTY_BPF_CFS_BPF_QUEUE_BPF_H_ */
