// SPDX-License-Identifier: GPL-2.0
// schedfair: what share of the time that tasks wanted a CPU they had one, by nice value: of each stretch from a wake-up
// to the next block, and of a task's whole life.
#include "third_party/bpf/sched_tool.bpf.h"

DEFINE_TASKS(struct tool_fair_task, BPF_F_MMAPABLE)

/* By nice value + 20: stretches; then the lives that have ended. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2 * TOOL_NICES);
  __type(key, __u32);
  __type(value, struct tool_fairness);
} fairness SEC(".maps");

static always_inline void count_share(__u32 index, __u64 run_ns, __u64 wait_ns) {
  struct tool_fairness *of_nice = bpf_map_lookup_elem(&fairness, &index);
  __u64 total = run_ns + wait_ns;
  if (!of_nice || !total) return;
  __u64 share = run_ns * TOOL_SHARES / total;
  if (share > TOOL_SHARES - 1) share = TOOL_SHARES - 1;
  of_nice->shares[share] += 1;
  of_nice->run_ns += run_ns;
  of_nice->wait_ns += wait_ns;
}

/* Nice values mean something to these. */
static always_inline bool is_fair(struct task_struct *task) {
  __u32 policy = task->policy;
  return policy == POLICY_NORMAL || policy == POLICY_BATCH || policy == POLICY_EXT || policy == POLICY_GHOST;
}

static always_inline struct tool_fair_task *make(struct task_struct *task) {
  if (!is_fair(task)) return 0;
  struct tool_fair_task *slot = slot_of(task);
  if (!slot || slot->pid == task->pid) return slot;
  if (slot->pid) count_lost();
  const struct tool_fair_task fresh = {.pid = task->pid};
  *slot = fresh;
  return slot;
}

/* Adds what it did since then, if that is known. */
static always_inline void account(struct tool_fair_task *task, __u64 now, bool runs_now) {
  __u64 since = task->since_ns;
  if (since && now > since) {
    __u64 ns = now - since;
    if (task->running) {
      task->run_ns += ns;
      task->life_run_ns += ns;
    } else {
      task->wait_ns += ns;
      task->life_wait_ns += ns;
    }
  }
  task->since_ns = now;
  task->running = runs_now;
}

static always_inline void on_wake(struct task_struct *task) {
  if (!is_selected(task)) return;
  /* ghostd continues a task that was held: it has been waiting all the time. */
  if ((state_of(task) & STATE_TRACED) && is_held_by_ghostd(task)) return;
  struct tool_fair_task *known = make(task);
  if (!known || known->since_ns) return;
  account(known, bpf_ktime_get_ns(), 0);
}

SEC("tp_btf/sched_waking")
int schedfair_waking(__u64 *ctx) {
  on_wake((struct task_struct *)ctx[0]);
  return 0;
}

SEC("tp_btf/sched_wakeup_new")
int schedfair_wake_new(__u64 *ctx) {
  on_wake((struct task_struct *)ctx[0]);
  return 0;
}

static always_inline __u32 nice_of(struct task_struct *task) {
  __u32 nice = task->static_prio - 100;
  return nice < TOOL_NICES ? nice : TOOL_NICES - 1;
}

static always_inline void switched_out(struct task_struct *prev, __u64 state, __u64 now) {
  struct tool_fair_task *task = make(prev);
  if (!task) return;
  account(task, now, 0);
  task->nice = nice_of(prev);
  if (state & STATE_DEAD) {
    count_share(task->nice + TOOL_NICES, task->life_run_ns, task->life_wait_ns);
    task->pid = 0;
    return;
  }
  /* In a stop it waits for ghostd. */
  if (!state || ((state & STATE_TRACED) && is_held_by_ghostd(prev))) return;
  count_share(task->nice, task->run_ns, task->wait_ns);
  task->run_ns = task->wait_ns = 0;
  task->since_ns = 0;
}

SEC("tp_btf/sched_switch")
int schedfair_switch(__u64 *ctx) {
  struct task_struct *prev = (struct task_struct *)ctx[1];
  struct task_struct *next = (struct task_struct *)ctx[2];
  __u64 now = bpf_ktime_get_ns();
  if (is_selected(prev)) switched_out(prev, state_of_prev(ctx), now);
  if (!is_selected(next)) return 0;
  struct tool_fair_task *task = make(next);
  if (!task) return 0;
  account(task, now, 1);
  task->nice = nice_of(next);
  return 0;
}
