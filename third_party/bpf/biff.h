/* What biff's programs (biff.bpf.c) and its agent (schedulers/biff) share: the whole state of the scheduler, as the one
 * global variable of the programs. The agent writes `config` before the programs run, and `initialized`; all else it
 * only reads. Plain C with the kernel's types. */
#ifndef GHOST_THIRD_PARTY_BPF_BIFF_H_
#define GHOST_THIRD_PARTY_BPF_BIFF_H_

#include <linux/types.h>

#include "third_party/bpf/ghost_list.bpf.h"

#define BIFF_MAX_TASKS 65536 /* status words of a region, and more; a power of two */
#define BIFF_MAX_CPUS 1024   /* a power of two */
#define BIFF_LISTS 2048      /* a power of two, more than BIFF_LOCAL_LIST(BIFF_MAX_CPUS - 1) */

/* The list that a task is in. */
#define BIFF_NO_LIST 0
#define BIFF_GLOBAL_LIST 1
#define BIFF_LOCAL_LIST(cpu) (2 + (cpu))
#define BIFF_PARKED_LIST BIFF_LOCAL_LIST(BIFF_NOWHERE - 1) /* of those that no CPU of the enclave may run */

/* Homes, besides a CPU's number + 1. */
#define BIFF_ANYWHERE 0
#define BIFF_NOWHERE (BIFF_MAX_CPUS + 1)

/* A slot is the number of the task's status word. Links are slots + 1, 0 = none. */
struct biff_task {
  __s64 gtid;  /* 0: no task */
  __u64 order; /* when it joined its list: lower numbers are earlier */
  __u32 barrier;
  __u32 next;
  __u32 prev;
  __u32 list;
  __u32 runnable;
  __s32 cpu;  /* where it is latched or runs; -1: nowhere */
  __u32 home; /* + 1: the CPU on whose list it waits, as it may not run everywhere; or BIFF_ANYWHERE, BIFF_NOWHERE */
  __u32 unused;
};

struct biff_cpu {
  __u32 current; /* slot + 1 of the task that it was given */
  __u32 unused;
  __u64 since_ns;   /* … and when it got the CPU */
  __u64 cpu_seqnum; /* of the last TASK_ON_CPU */
  __u64 picks;      /* tasks that it was given */
};

/* Only ever raised. */
struct biff_counters {
  __u64 woken;
  __u64 blocked;
  __u64 preempted;
  __u64 yielded;
  __u64 arrived;
  __u64 left;
  __u64 picks;
  __u64 slices;    /* preemptions at the end of a slice */
  __u64 elsewhere; /* taken, but not allowed on that CPU: moved to another's list */
  __u64 moved;     /* waited for one CPU, when another was idle on which it may run */
  __u64 stale;     /* taken, but a message about it was on its way */
  __u64 requeued;  /* taken, but it could not run there just then */
  __u64 unknown;   /* messages about tasks that are none of ours */
  __u64 no_room;   /* tasks that found no place */
};

struct biff {
  __u64 slice_ns;                     /* config */
  __u64 cpu_mask[BIFF_MAX_CPUS / 64]; /* config: the enclave's CPUs */
  __u32 initialized;
  __u32 tasks_now;
  __u64 order;
  struct biff_counters counters;
  __u64 idle[BIFF_MAX_CPUS / 64];    /* CPUs that found nothing */
  __u64 crowded[BIFF_MAX_CPUS / 64]; /* CPUs for which tasks wait in their own lists */
  struct ghost_list lists[BIFF_LISTS];
  struct biff_cpu cpus[BIFF_MAX_CPUS];
  struct biff_task tasks[BIFF_MAX_TASKS];
};

#endif /* GHOST_THIRD_PARTY_BPF_BIFF_H_ */
