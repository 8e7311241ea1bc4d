// SPDX-License-Identifier: GPL-2.0
// What the BPF programs of the scheduling tools share: which tasks are meant, which of them are ghost tasks,
// histograms.
//
// Made for stock kernels from 5.10 on, and for ghost kernels. Fields are found by CO-RE; what only some kernels have is
// asked for with bpf_core_field_exists, or is a constant in `options`, so that the verifier of a kernel without it
// never sees the code that uses it. Programs are tp_btf: the tasks in their contexts are read directly.
#ifndef GHOST_THIRD_PARTY_BPF_SCHED_TOOL_BPF_H_
#define GHOST_THIRD_PARTY_BPF_SCHED_TOOL_BPF_H_

#include "third_party/bpf/vmlinux_min.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "third_party/bpf/sched_tool.h"

/* task_struct.flags */
#define FLAG_KTHREAD 0x00200000

/* Task states that are the same in all versions of interest. */
#define STATE_TRACED 0x8
#define STATE_DEAD 0x80

#define POLICY_NORMAL 0
#define POLICY_BATCH 3
#define POLICY_EXT 7
#define POLICY_GHOST 18

/* Run flags of a ghost kernel: the agent wants to hear of it. Agents' BPF programs set it, and only they. */
#define RUN_FLAG_SEND_ON_CPU (1 << 10)

/* What ghostd stops a thread with, as the thread's exit_code has it: PTRACE_INTERRUPT's trap, and the gate's signals.
 */
#define STOP_INTERRUPT (5 | (128 << 8))
#define STOP_SIGURG 23
#define STOP_SIGSTOP 19

const volatile struct tool_options options;

/* How deep the tool's pid namespace is below the initial one; -1 until the tool was seen on a CPU. */
int pid_level = -1;

/* How often what was kept of a task had to make room for another's. */
__u64 lost;

#define always_inline inline __attribute__((always_inline))

static always_inline void count_lost(void) { __sync_fetch_and_add(&lost, 1); }

static always_inline __u32 namespace_pid(struct task_struct *task) {
  /* Copied, not loaded: Linux before 6.2 allows no arithmetic with a variable on a pointer that it knows. */
  struct pid *pid = BPF_CORE_READ(task, thread_pid);
  if (!pid || (int)BPF_CORE_READ(pid, level) < pid_level) return 0;
  char *at = (char *)pid + bpf_core_field_offset(struct pid, numbers) + pid_level * bpf_core_type_size(struct upid);
  __u32 nr = 0;
  bpf_probe_read_kernel(&nr, sizeof(nr), at + bpf_core_field_offset(struct upid, nr));
  return nr;
}

/* Whether the task's own pid namespace is the tool's: then its level is, too. */
static always_inline void learn_pid_level(struct task_struct *task) {
  struct pid *pid = BPF_CORE_READ(task, thread_pid);
  if (!pid) return;
  __u32 level = BPF_CORE_READ(pid, level);
  char *at = (char *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
  struct pid_namespace *space = 0;
  bpf_probe_read_kernel(&space, sizeof(space), at + bpf_core_field_offset(struct upid, ns));
  if (BPF_CORE_READ(space, ns.inum) == options.pid_namespace) pid_level = level;
}

/* Pids as the tool sees them; 0: it does not. */
static always_inline __u32 tid_of(struct task_struct *task) {
  if (pid_level == 0) return task->pid;
  if (pid_level < 0) learn_pid_level(task);
  return pid_level < 0 ? 0 : namespace_pid(task);
}

static always_inline __u32 tgid_of(struct task_struct *task) {
  if (pid_level == 0) return task->tgid;
  return tid_of(task->group_leader);
}

/* -- Ghost tasks -- */

static always_inline bool is_agent_of_kernel(struct task_struct *task) {
  struct task_struct___ghost *ghost = (struct task_struct___ghost *)task;
  if (!bpf_core_field_exists(ghost->ghost)) return 0;
  return task->policy == POLICY_GHOST && BPF_CORE_READ_BITFIELD_PROBED(ghost, ghost.agent);
}

static always_inline bool is_ghostd(struct task_struct *task) {
  if (options.any_ghostd) {
    const char name[8] = "ghostd";
    char comm[8] = {};
    bpf_probe_read_kernel(comm, sizeof(comm), task->comm);
    return *(__u64 *)comm == *(const __u64 *)name;
  }
  if (!options.ghostd[0]) return 0;
  __u32 pid = tgid_of(task);
  return pid == options.ghostd[0] || pid == options.ghostd[1];
}

/* Whether ghostd holds it whenever it does not run. */
static always_inline bool is_held_by_ghostd(struct task_struct *task) {
  return task->ptrace && is_ghostd(task->parent);
}

static always_inline bool is_ghost_task(struct task_struct *task) {
  if (task->policy == POLICY_GHOST) return !is_agent_of_kernel(task);
  return is_held_by_ghostd(task);
}

/* Whether a stop that the task has just entered is ghostd's gate: it has been preempted, has yielded or was woken, and
 * waits to be scheduled. Other stops (a clone, a signal that is to be delivered) ghostd ends at once. */
static always_inline bool is_gate_stop(struct task_struct *task) {
  int code = task->exit_code;
  return code == STOP_INTERRUPT || code == STOP_SIGURG || code == STOP_SIGSTOP;
}

/* -- Which tasks are meant -- */

static int cgroup_level = -1; /* of options.cgroup, once a task was found in it */

static always_inline __u64 ancestor_id(struct cgroup *cgroup, int level) {
  __u64 id = 0;
  if (bpf_core_type_exists(struct cgroup___ids) && bpf_core_field_exists(((struct cgroup___ids *)0)->ancestor_ids)) {
    char *at = (char *)cgroup + bpf_core_field_offset(struct cgroup___ids, ancestor_ids) + level * sizeof(__u64);
    bpf_probe_read_kernel(&id, sizeof(id), at);
    return id;
  }
  struct cgroup *ancestor = 0;
  char *at = (char *)cgroup + bpf_core_field_offset(struct cgroup, ancestors) + level * sizeof(ancestor);
  bpf_probe_read_kernel(&ancestor, sizeof(ancestor), at);
  return BPF_CORE_READ(ancestor, kn, id);
}

static always_inline bool is_in_cgroup(struct task_struct *task) {
  struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
  int depth = BPF_CORE_READ(cgroup, level);
  int known = cgroup_level;
  if (known >= 0) return known <= depth && ancestor_id(cgroup, known) == options.cgroup;
  for (int level = 0; level < 16; ++level) {
    if (level > depth) break;
    if (ancestor_id(cgroup, level) == options.cgroup) {
      cgroup_level = level;
      return 1;
    }
  }
  return 0;
}

static always_inline bool is_selected(struct task_struct *task) {
  if (!task->pid) return 0; /* a CPU's idle task */
  if (options.tgid && tgid_of(task) != options.tgid) return 0;
  if (options.ghost_only && !is_ghost_task(task)) return 0;
  return !options.cgroup || is_in_cgroup(task);
}

/* -- sched_switch -- */

static always_inline __u64 state_of(struct task_struct *task) {
  struct task_struct___state *old = (struct task_struct___state *)task;
  if (bpf_core_field_exists(old->state)) return old->state;
  return task->__state;
}

/* What the task that leaves its CPU waits for; 0: for nothing but a CPU. */
static always_inline __u64 state_of_prev(__u64 *ctx) {
  if (ctx[0]) return 0; /* preempted */
  if (options.has_prev_state) return (__u32)ctx[3];
  return state_of((struct task_struct *)ctx[1]);
}

/* -- Histograms -- */

static always_inline __u32 exponent_of(__u64 value) {
  __u32 exponent = 0;
  if (value >> 32) value >>= 32, exponent += 32;
  if (value >> 16) value >>= 16, exponent += 16;
  if (value >> 8) value >>= 8, exponent += 8;
  if (value >> 4) value >>= 4, exponent += 4;
  if (value >> 2) value >>= 2, exponent += 2;
  return exponent + (value >> 1);
}

static always_inline void histogram_add(struct tool_histogram *histogram, __u64 ns) {
  __u64 value = ns >> 41 ? 1ULL << 41 : ns;
  value += (value * options.histogram_scale) >> 22;
  __u64 slot = value;
  if (value >= 8) {
    __u32 exponent = exponent_of(value);
    slot = exponent > TOOL_MAX_EXPONENT ? TOOL_SLOTS - 1 : ((exponent - 2) << 3) + ((value >> (exponent - 3)) & 7);
  }
  if (slot > TOOL_SLOTS - 1) slot = TOOL_SLOTS - 1; /* for the verifier */
  histogram->count += 1;
  histogram->sum_ns += ns;
  histogram->slots[slot] += 1;
}

/* Of this CPU; programs on sched_switch and wake-ups are not preempted. */
#define DEFINE_HISTOGRAMS(number)                                                \
  struct {                                                                       \
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                     \
    __uint(max_entries, number);                                                 \
    __type(key, __u32);                                                          \
    __type(value, struct tool_histogram);                                        \
  } histograms SEC(".maps");                                                     \
  static always_inline void count_ns(__u32 index, __u64 ns) {                    \
    struct tool_histogram *histogram = bpf_map_lookup_elem(&histograms, &index); \
    if (histogram) histogram_add(histogram, ns);                                 \
  }

/* -- What is kept of CPUs -- */

/* A value of this type for each CPU; name_here() is this CPU's. */
#define DEFINE_PER_CPU(type_of_value, name)               \
  struct {                                                \
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);              \
    __uint(max_entries, 1);                               \
    __type(key, __u32);                                   \
    __type(value, type_of_value);                         \
  } name SEC(".maps");                                    \
  static always_inline type_of_value *name##_here(void) { \
    __u32 zero = 0;                                       \
    return bpf_map_lookup_elem(&name, &zero);             \
  }

/* -- What is kept of tasks -- */

/* A slot for each pid modulo their number: found without a call, unlike a hash table's, and several times as fast. Of
 * two tasks that meet in a slot, which are TOOL_MAX_TASKS pids apart, the one that was seen last has it. */
#define DEFINE_TASKS(type_of_task, flags_of_map)                           \
  struct {                                                                 \
    __uint(type, BPF_MAP_TYPE_ARRAY);                                      \
    __uint(max_entries, TOOL_MAX_TASKS);                                   \
    __uint(map_flags, flags_of_map);                                       \
    __type(key, __u32);                                                    \
    __type(value, type_of_task);                                           \
  } tasks SEC(".maps");                                                    \
  static always_inline type_of_task *slot_of(struct task_struct *task) {   \
    __u32 index = task->pid & (TOOL_MAX_TASKS - 1);                        \
    return bpf_map_lookup_elem(&tasks, &index);                            \
  }                                                                        \
  /* Null: nothing is kept of it. */                                       \
  static always_inline type_of_task *find_slot(struct task_struct *task) { \
    type_of_task *slot = slot_of(task);                                    \
    return slot && slot->pid == task->pid ? slot : 0;                      \
  }

char _license[] SEC("license") = "GPL";

#endif /* GHOST_THIRD_PARTY_BPF_SCHED_TOOL_BPF_H_ */
