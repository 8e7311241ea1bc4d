/* What cfs_bpf's programs (cfs_bpf.bpf.c) and its agent (schedulers/cfs_bpf) share: the state of the scheduler, as the
 * one global variable of the programs that the agent maps. The agent writes what is marked as config before the
 * programs run, and `initialized`; all else it only reads. Plain C with the kernel's types.
 *
 * The nodes of the queues stand apart: Linux 5.10 takes no map of globals of more than 4 MiB. */
#ifndef GHOST_THIRD_PARTY_BPF_CFS_BPF_H_
#define GHOST_THIRD_PARTY_BPF_CFS_BPF_H_

#include <linux/types.h>

#define CFS_BPF_MAX_TASKS 65536 /* status words of a region, and more; a power of two */
#define CFS_BPF_MAX_CPUS 1024   /* a power of two */
#define CFS_BPF_CPU_WORDS (CFS_BPF_MAX_CPUS / 64)
#define CFS_BPF_NICE_VALUES 40 /* -20 to 19 */
#define CFS_BPF_NICE_0_WEIGHT 1024

/* A CPU's queue is two heaps: tasks that may run on every CPU of the enclave, whom any CPU may take over, and others.
 */
enum cfs_bpf_heap {
  CFS_BPF_FREE = 0,
  CFS_BPF_BOUND = 1,
  CFS_BPF_HEAPS = 2,
};

/* What is known of a task's affinity. */
enum cfs_bpf_affinity {
  CFS_BPF_NOT_ASKED = 0, /* it counts as free until a CPU is about to run it, and asks */
  CFS_BPF_ANYWHERE = 1,
  CFS_BPF_SOME_CPUS = 2, /* those of `word` that are in `allowed`; none: it can't run */
};

/* A slot is the number of the task's status word. Its vruntime, ns on CPU by weight, is its node's key, also while it
 * is in no heap. */
struct cfs_bpf_task {
  __s64 gtid;       /* 0: no task */
  __u64 charged_ns; /* of its runtime: what is in its vruntime */
  __u64 allowed;    /* CPUs 64 * word + bit of the enclave */
  __u32 barrier;
  __u32 weight;
  __s32 cpu;  /* where it is latched or runs; -1: nowhere */
  __s32 home; /* the CPU by whose min_vruntime its vruntime counts; its queue, if it waits. -1: it is new */
  __u8 runnable;
  __u8 affinity; /* enum cfs_bpf_affinity */
  __u8 word;
  __u8 unused[5];
};

struct cfs_bpf_cpu {
  __u32 roots[CFS_BPF_HEAPS]; /* the first of each heap: slot + 1, 0 = none */
  __u32 count;                /* tasks that wait */
  __u32 current;              /* slot + 1 of the task that it was given */
  __u64 weight;               /* of those that wait */
  __u64 min_vruntime;         /* never goes back */
  __u64 rightmost;            /* no task that waits has a greater vruntime */
  __u64 since_ns;             /* when `current` got the CPU, or its weight changed */
  __u64 cpu_seqnum;           /* of the last TASK_ON_CPU */
  __u64 balanced_ns;          /* when it last looked whether others have more to do */
  __u64 picks;                /* tasks that it was given */
  __u32 kicked;               /* `current` is to leave */
  __u32 look_from;            /* where the next search for a less loaded CPU begins */
};

/* Only ever raised. */
struct cfs_bpf_counters {
  __u64 woken;
  __u64 blocked;
  __u64 preempted;
  __u64 yielded;
  __u64 arrived;
  __u64 left;
  __u64 picks;
  __u64 slices;      /* preemptions at the end of a slice */
  __u64 challenges;  /* preemptions by one that woke */
  __u64 pulled_idle; /* tasks that a CPU took over from another because it had none */
  __u64 pulled_busy; /* … because the other had more to do */
  __u64 placed_idle; /* tasks that were placed on an idle CPU */
  __u64 elsewhere;   /* taken, but not allowed there: placed anew */
  __u64 nowhere;     /* may run on none of the enclave's CPUs: wait until that changes */
  __u64 stale;       /* taken, but a message about it was on its way */
  __u64 requeued;    /* taken, but it could not run there just then */
  __u64 unknown;     /* messages about tasks that are none of ours */
  __u64 no_room;     /* tasks that found no place */
};

struct cfs_bpf {
  __u64 latency_ns;                   /* config: the period in which each task of a CPU runs once */
  __u64 min_granularity_ns;           /* config: the shortest slice */
  __u64 wakeup_granularity_ns;        /* config: how far behind one that wakes must be to get the CPU at once */
  __u64 balance_ns;                   /* config: how often a busy CPU looks for one that has more to do */
  __u64 fixed_now_ns;                 /* for tests: the time; 0: the clock's */
  __u32 weights[CFS_BPF_NICE_VALUES]; /* config: by nice + 20 */
  __u64 cpu_mask[CFS_BPF_CPU_WORDS];  /* config: the enclave's CPUs */
  __u32 idle_balancing;               /* config: a CPU that runs out of tasks takes over one of another's */
  __u32 initialized;
  __u64 joined;     /* tasks that joined a queue, and … */
  __u64 went_idle;  /* … CPUs that found nothing, so far */
  __u32 idle_count; /* CPUs in `idle` */
  __u32 tasks_now;
  struct cfs_bpf_counters counters;
  __u64 idle[CFS_BPF_CPU_WORDS];                   /* CPUs that found nothing */
  __u64 taken[CFS_BPF_CPU_WORDS];                  /* CPUs that another class or the agent has */
  __u64 waiting[CFS_BPF_HEAPS][CFS_BPF_CPU_WORDS]; /* CPUs whose heap is not empty */
  struct cfs_bpf_cpu cpus[CFS_BPF_MAX_CPUS];
  struct cfs_bpf_task tasks[CFS_BPF_MAX_TASKS];
};

#endif /* GHOST_THIRD_PARTY_BPF_CFS_BPF_H_ */
