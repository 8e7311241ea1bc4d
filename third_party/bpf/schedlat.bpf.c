// SPDX-License-Identifier: GPL-2.0
// schedlat: how long tasks wait. For ghost tasks in two parts: until their scheduler gives them a CPU (they are
// latched), and from then until they run.
#include "third_party/bpf/sched_latch.bpf.h"

DEFINE_HISTOGRAMS(TOOL_LATENCIES)

static always_inline void count_latch(struct task_times *times, __u64 now) {
  count_ns(TOOL_RUNNABLE_TO_LATCHED, now - times->runnable_ns);
}

static always_inline void on_wake(struct task_struct *task) {
  if (!is_selected(task)) return;
  __u64 now = bpf_ktime_get_ns();
  struct task_times *times = woken_at(task, now);
  if (times) count_latch(times, now);
}

SEC("tp_btf/sched_waking")
int schedlat_waking(__u64 *ctx) {
  on_wake((struct task_struct *)ctx[0]);
  return 0;
}

SEC("tp_btf/sched_wakeup_new")
int schedlat_wake_new(__u64 *ctx) {
  on_wake((struct task_struct *)ctx[0]);
  return 0;
}

SEC("tp_btf/sched_ghost_latched")
int schedlat_latched(__u64 *ctx) {
  struct task_struct *task = latched_task(ctx);
  if (!is_selected(task)) return 0;
  struct task_times *times = find_slot(task);
  if (!times || !times->runnable_ns || times->latched_ns) return 0;
  __u64 now = bpf_ktime_get_ns();
  latched_at(times, now);
  count_latch(times, now);
  return 0;
}

static always_inline void switched_out(struct task_struct *prev, __u64 state, __u64 now) {
  if (state & STATE_DEAD) {
    forget_times(prev);
  } else if (!is_held_by_ghostd(prev)) {
    if (!state) runnable_at(prev, now);
  } else if (state & STATE_TRACED) {
    stopped_at(prev, now);
  }
  /* A held task that Linux itself takes off its CPU stays latched: its scheduler does not know. */
}

static always_inline void switched_in(struct task_struct *next, __u64 now) {
  struct task_times *times = find_slot(next);
  if (!times || !times->runnable_ns) return;
  if (times->latched_ns) {
    count_ns(TOOL_LATCHED_TO_RUN, now - times->latched_ns);
  } else if (is_held_by_ghostd(next)) {
    return; /* on its way to the gate */
  }
  count_ns(TOOL_RUNNABLE_TO_RUN, now - times->runnable_ns);
  times->runnable_ns = times->latched_ns = 0;
}

SEC("tp_btf/sched_switch")
int schedlat_switch(__u64 *ctx) {
  struct task_struct *prev = (struct task_struct *)ctx[1];
  struct task_struct *next = (struct task_struct *)ctx[2];
  __u64 now = bpf_ktime_get_ns();
  if (is_selected(prev)) switched_out(prev, state_of_prev(ctx), now);
  if (is_selected(next)) switched_in(next, now);
  return 0;
}
