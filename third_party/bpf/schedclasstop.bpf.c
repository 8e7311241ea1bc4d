// SPDX-License-Identifier: GPL-2.0
// schedclasstop: what each CPU's time goes to, by scheduling class.
#include "third_party/bpf/sched_agents.bpf.h"

DEFINE_PER_CPU(struct tool_cpu_classes, cpus)

/* By what the kernel decides with: prio is that of the class, also while a task has another's by priority inheritance.
 */
static always_inline __u32 class_of(struct task_struct *task) {
  if (!task->pid) return TOOL_CLASS_IDLE;
  if (is_agent(task)) return TOOL_CLASS_AGENT;
  if (is_ghost_task(task)) return TOOL_CLASS_GHOST;
  if (task->prio < 0) return TOOL_CLASS_DEADLINE;
  if (task->prio < 100) return TOOL_CLASS_RT;
  if (task->policy == POLICY_EXT || options.fair_is_ext) return TOOL_CLASS_EXT;
  return TOOL_CLASS_FAIR;
}

static always_inline __u32 meant_class(struct task_struct *task) {
  bool all = !options.tgid && !options.cgroup && !options.ghost_only;
  /* With a selection, the rest of the CPU's time counts as idle: it is not the selected tasks'. */
  return all || is_selected(task) ? class_of(task) : TOOL_CLASS_IDLE;
}

SEC("tp_btf/sched_switch")
int schedclasstop_switch(__u64 *ctx) {
  __u64 now = bpf_ktime_get_ns();
  struct tool_cpu_classes *cpu = cpus_here();
  if (!cpu) return 0;
  __u32 prev_class = meant_class((struct task_struct *)ctx[1]);
  __u32 next_class = meant_class((struct task_struct *)ctx[2]);
  volatile struct tool_cpu_classes *shared = cpu;
  shared->version += 1;
  /* The class at the end of a task's turn: it may have changed meanwhile, and mostly has not. */
  if (shared->since_ns && prev_class < TOOL_CLASSES) shared->ns[prev_class] += now - shared->since_ns;
  shared->since_ns = now;
  shared->running = next_class;
  shared->version += 1;
  return 0;
}
