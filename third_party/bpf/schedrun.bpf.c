// SPDX-License-Identifier: GPL-2.0
// schedrun: for how long tasks run until they block, or until they lose their CPU.
#include "third_party/bpf/sched_latch.bpf.h"

DEFINE_HISTOGRAMS(TOOL_RUNS)

/* When this CPU switched last; 0: not since the tool is there. */
DEFINE_PER_CPU(__u64, switched)

/* Only for tasks that ghostd holds: what they run between their wake-up and their gate is not theirs. */
SEC("tp_btf/sched_waking")
int schedrun_waking(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  if (task->ptrace && is_held_by_ghostd(task) && is_selected(task)) woken_at(task, bpf_ktime_get_ns());
  return 0;
}

/* What of a run that ends here was the task's own, in ns; 0: nothing, or the run is not over. `ns`: since the switch.
 */
static always_inline __u64 own_run(struct task_struct *prev, __u64 state, __u64 now, __u64 ns) {
  if (!prev->ptrace || !is_held_by_ghostd(prev)) return ns;
  struct task_times *times = find_slot(prev);
  bool granted = times && times->granted;
  if (granted && (state & STATE_TRACED) && !is_gate_stop(prev)) {
    times->carried_ns += ns; /* ghostd lets it go on at once */
    return 0;
  }
  if (granted) {
    ns += times->carried_ns;
    times->runnable_ns = times->latched_ns = times->carried_ns = 0;
  }
  if (state & STATE_DEAD) {
    forget_times(prev);
  } else if (state & STATE_TRACED) {
    stopped_at(prev, now);
  } else if (state && times) {
    times->granted = 0;
  }
  return granted ? ns : 0;
}

SEC("tp_btf/sched_switch")
int schedrun_switch(__u64 *ctx) {
  struct task_struct *prev = (struct task_struct *)ctx[1];
  __u64 now = bpf_ktime_get_ns();
  __u64 *last = switched_here();
  if (!last) return 0;
  __u64 since = *last;
  *last = now;
  if (!is_selected(prev)) return 0;
  __u64 state = state_of_prev(ctx);
  __u64 ns = own_run(prev, state, now, since ? now - since : 0);
  /* A stop is nothing that a task does by itself. */
  if (ns) count_ns(state && !(state & STATE_TRACED) ? TOOL_RUN_BLOCKED : TOOL_RUN_PREEMPTED, ns);
  return 0;
}
