/* Shared between the BPF programs of the scheduling tools (sched*.bpf.c) and their user side (bpf/tools): what the
 * programs are told before they are loaded, and what they count. Plain C with the kernel's types.
 *
 * All that is counted is 64 bits wide and only ever grows: the difference of two readings is what happened between. */
#ifndef GHOST_THIRD_PARTY_BPF_SCHED_TOOL_H_
#define GHOST_THIRD_PARTY_BPF_SCHED_TOOL_H_

#include <linux/types.h>

/* Tasks that a tool can keep something of at a time, if their pids differ in their last 16 bits. */
#define TOOL_MAX_TASKS 65536

/* Threads of agents that ghostd can have. */
#define TOOL_MAX_AGENTS 8192

/* Constant while a tool runs. */
struct tool_options {
  __u64 cgroup;                 /* only tasks in it or below it: its id; 0: all */
  __u32 tgid;                   /* only this process, as the tool's pid namespace has it; 0: all */
  __u32 ghost_only;             /* only ghost tasks */
  __u32 ghostd[2];              /* what may be ghostd's pid: whom it traces is a ghost task */
  __u32 any_ghostd;             /* no pids, but every process that is called ghostd */
  __u32 pid_namespace;          /* the tool's own (its inode) */
  __u32 has_prev_state;         /* sched_switch has a fourth argument (since 5.18) */
  __u32 histogram_scale;        /* values in histograms are ns * (1 + histogram_scale / 2^22) */
  __u32 latched_task_argument;  /* of sched_ghost_latched: which argument is the task that is latched */
  __u32 latched_flags_argument; /* and which are the run flags */
  __u32 fair_is_ext;            /* sched_ext has taken all ordinary tasks over */
};

/* Log-linear: values below 8 have a slot each, then there are 8 slots for each power of two up to 2^41. */
#define TOOL_SLOTS 312
#define TOOL_MAX_EXPONENT 40

struct tool_histogram {
  __u64 count;
  __u64 sum_ns;
  __u64 slots[TOOL_SLOTS];
};

/* schedclasstop: what a CPU does. */
enum tool_class {
  TOOL_CLASS_IDLE,
  TOOL_CLASS_FAIR,
  TOOL_CLASS_RT,
  TOOL_CLASS_DEADLINE,
  TOOL_CLASS_EXT,
  TOOL_CLASS_GHOST,
  TOOL_CLASS_AGENT,
  TOOL_CLASSES,
};

struct tool_cpu_classes {
  __u64 version; /* odd while the rest is being written */
  __u64 since_ns;
  __u64 running; /* enum tool_class; since since_ns, which ns does not have yet */
  __u64 ns[TOOL_CLASSES];
};

/* schedfair: what share of the time that it wanted to run a task did run. */
#define TOOL_NICES 40
#define TOOL_SHARES 20 /* of 5 % each */

struct tool_fairness {
  __u64 shares[TOOL_SHARES];
  __u64 run_ns;
  __u64 wait_ns;
};

/* What schedfair keeps of a task. */
struct tool_fair_task {
  __u64 pid;      /* 0: of none */
  __u64 since_ns; /* of what it does now; 0: asleep, or not known */
  __u64 running;
  __u64 run_ns; /* since it last woke up */
  __u64 wait_ns;
  __u64 life_run_ns; /* since the tool saw it first */
  __u64 life_wait_ns;
  __u64 nice; /* + 20 */
};

/* schedrun's histograms. */
enum tool_run { TOOL_RUN_PREEMPTED, TOOL_RUN_BLOCKED, TOOL_RUNS };

/* schedlat's. */
enum tool_latency { TOOL_RUNNABLE_TO_LATCHED, TOOL_LATCHED_TO_RUN, TOOL_RUNNABLE_TO_RUN, TOOL_LATENCIES };

/* schedghostidle's. */
struct tool_latches {
  __u64 latches;
  __u64 bpf_latches; /* by a BPF program: ghost kernels only */
  __u64 idle_latches;
  __u64 idle_bpf_latches;
};

#endif /* GHOST_THIRD_PARTY_BPF_SCHED_TOOL_H_ */
