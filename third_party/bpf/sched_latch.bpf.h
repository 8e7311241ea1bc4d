// SPDX-License-Identifier: GPL-2.0
// When a task became runnable, and when it was latched: given to a CPU by its scheduler. For the tools' programs.
//
// A ghost kernel says it (the tracepoint sched_ghost_latched). ghostd holds a task that is not scheduled in a ptrace
// stop, its gate, and latching is that it continues the task: a wake-up out of that stop. So a task of ghostd's is
//   woken (or preempted, or has yielded), runs in the kernel until it is at its gate: runnable,
//   continued by ghostd: latched,
//   switched in: it runs its own code.
#ifndef GHOST_THIRD_PARTY_BPF_SCHED_LATCH_BPF_H_
#define GHOST_THIRD_PARTY_BPF_SCHED_LATCH_BPF_H_

#include "third_party/bpf/sched_tool.bpf.h"

struct task_times {
  __u64 pid;
  __u64 runnable_ns; /* since when it waits; 0: it does not */
  __u64 latched_ns;  /* since when it waits for its CPU to switch to it; 0: it does not */
  __u64 granted;     /* latched, and has not blocked or stopped since: what it runs is its own code */
  __u64 carried_ns;  /* schedrun: what it ran before a stop that was not its gate */
};

DEFINE_TASKS(struct task_times, 0)

static always_inline struct task_times *make_times(struct task_struct *task) {
  struct task_times *times = slot_of(task);
  if (!times || times->pid == task->pid) return times;
  if (times->runnable_ns || times->granted) count_lost();
  times->pid = task->pid;
  times->runnable_ns = times->latched_ns = times->granted = times->carried_ns = 0;
  return times;
}

static always_inline void forget_times(struct task_struct *task) {
  struct task_times *times = find_slot(task);
  if (times) times->pid = times->runnable_ns = times->latched_ns = times->granted = 0;
}

static always_inline void runnable_at(struct task_struct *task, __u64 now) {
  struct task_times *times = make_times(task);
  if (!times) return;
  times->runnable_ns = now;
  times->latched_ns = 0;
  times->granted = 0;
}

static always_inline void latched_at(struct task_times *times, __u64 now) {
  times->latched_ns = now;
  times->granted = 1;
}

/* A task that ghostd holds leaves its CPU for a stop. */
static always_inline void stopped_at(struct task_struct *task, __u64 now) {
  if (!is_gate_stop(task)) return;
  struct task_times *times = make_times(task);
  if (!times) return;
  if (!times->runnable_ns) times->runnable_ns = now; /* else it was woken: it waits since then */
  times->latched_ns = 0;
  times->granted = 0;
}

/* A task is being woken. Returns its times if that latches it. */
static always_inline struct task_times *woken_at(struct task_struct *task, __u64 now) {
  if (!(state_of(task) & STATE_TRACED) || !is_held_by_ghostd(task)) {
    runnable_at(task, now);
    return 0;
  }
  struct task_times *times = find_slot(task);
  if (!times || !times->runnable_ns || times->latched_ns) return 0;
  latched_at(times, now);
  return times;
}

/* sched_ghost_latched's arguments, wherever this kernel has them: see options. */
static always_inline struct task_struct *latched_task(__u64 *ctx) {
  if (options.latched_task_argument == 0) return (struct task_struct *)ctx[0];
  return (struct task_struct *)ctx[1];
}

static always_inline bool latched_by_bpf(__u64 *ctx) {
  if (options.latched_flags_argument == 1) return ctx[1] & RUN_FLAG_SEND_ON_CPU;
  if (options.latched_flags_argument == 2) return ctx[2] & RUN_FLAG_SEND_ON_CPU;
  return 0;
}

#endif /* GHOST_THIRD_PARTY_BPF_SCHED_LATCH_BPF_H_ */
