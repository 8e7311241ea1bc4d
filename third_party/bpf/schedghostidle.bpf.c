// SPDX-License-Identifier: GPL-2.0
// schedghostidle: how long a CPU is idle until a ghost task is latched for it.
//
// A CPU is idle from when it switches to its idle task until a task runs there: agents, ghostd and kernel threads,
// which may run in between, are what ends the idle time, not work. The latch is looked at when the task that it gave
// the CPU to is switched in, because only then it is certain on which CPU that is.
#include "third_party/bpf/sched_latch.bpf.h"
#include "third_party/bpf/sched_agents.bpf.h"

DEFINE_HISTOGRAMS(1)

DEFINE_PER_CPU(struct tool_latches, latches)

DEFINE_PER_CPU(__u64, idle_since)

/* What `granted` is of a task that a BPF program has latched. */
#define GRANTED_BY_BPF 2

static always_inline void count_latch(bool by_bpf) {
  struct tool_latches *counts = latches_here();
  if (!counts) return;
  counts->latches += 1;
  if (by_bpf) counts->bpf_latches += 1;
}

static always_inline void on_wake(struct task_struct *task) {
  if (!is_selected(task) || !is_ghost_task(task)) return;
  if (woken_at(task, bpf_ktime_get_ns())) count_latch(0);
}

SEC("tp_btf/sched_waking")
int schedghostidle_waking(__u64 *ctx) {
  on_wake((struct task_struct *)ctx[0]);
  return 0;
}

SEC("tp_btf/sched_wakeup_new")
int schedghostidle_wake_new(__u64 *ctx) {
  on_wake((struct task_struct *)ctx[0]);
  return 0;
}

SEC("tp_btf/sched_ghost_latched")
int schedghostidle_latched(__u64 *ctx) {
  struct task_struct *task = latched_task(ctx);
  if (!is_selected(task)) return 0;
  struct task_times *times = make_times(task);
  if (!times) return 0;
  latched_at(times, bpf_ktime_get_ns());
  bool by_bpf = latched_by_bpf(ctx);
  if (by_bpf) times->granted = GRANTED_BY_BPF;
  count_latch(by_bpf);
  return 0;
}

static always_inline void switched_out(struct task_struct *prev, __u64 state, __u64 now) {
  if (state & STATE_DEAD) {
    forget_times(prev);
  } else if ((state & STATE_TRACED) && is_held_by_ghostd(prev)) {
    stopped_at(prev, now);
  }
}

/* `since`: since when the CPU was idle, 0 if it was not. */
static always_inline void switched_in(struct task_struct *next, __u64 since) {
  if (!is_selected(next) || !is_ghost_task(next)) return;
  struct task_times *times = find_slot(next);
  if (!times || !times->latched_ns) return;
  struct tool_latches *counts = latches_here();
  if (since && times->latched_ns >= since && counts) {
    counts->idle_latches += 1;
    if (times->granted == GRANTED_BY_BPF) counts->idle_bpf_latches += 1;
    count_ns(0, times->latched_ns - since);
  }
  times->runnable_ns = times->latched_ns = 0;
}

SEC("tp_btf/sched_switch")
int schedghostidle_switch(__u64 *ctx) {
  struct task_struct *prev = (struct task_struct *)ctx[1];
  struct task_struct *next = (struct task_struct *)ctx[2];
  __u64 now = bpf_ktime_get_ns();
  if (is_selected(prev)) switched_out(prev, state_of_prev(ctx), now);
  __u64 *since = idle_since_here();
  if (!since) return 0;
  if (!next->pid) {
    if (!*since) *since = now;
    return 0;
  }
  if (*since && (next->flags & FLAG_KTHREAD || is_agent(next) || is_ghostd(next))) return 0;
  /* A held task that is on its way to its gate is no work yet. */
  if (*since && is_held_by_ghostd(next)) {
    struct task_times *times = find_slot(next);
    if (times && !times->granted) return 0;
  }
  switched_in(next, *since);
  *since = 0;
  return 0;
}
