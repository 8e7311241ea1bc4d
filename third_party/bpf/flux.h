/* What flux's programs (flux.bpf.c) and its agent (schedulers/flux) share: the kinds of sub-schedulers, and the whole
 * state, as the one global variable of the programs. The agent writes what is marked `config` before the programs run,
 * and `initialized`; all else it only reads. Plain C with the kernel's types. docs/flux.md explains the whole. */
#ifndef GHOST_THIRD_PARTY_BPF_FLUX_H_
#define GHOST_THIRD_PARTY_BPF_FLUX_H_

#include <linux/types.h>

#include "third_party/bpf/ghost_list.bpf.h"

/* The kinds of sub-schedulers: NAME stands for flux_NAME.bpf.h. Leaves have threads. Branches hand CPUs to children, of
 * which they need so many; and what their `limit` is if nothing is said (0: they have none). */
#define FLUX_LEAVES(X) X(biff) X(idle)
#define FLUX_BRANCHES(X) X(roci, 2, 0) X(prov, 2, 1)

enum flux_type {
  FLUX_TYPE_none,
#define FLUX_TYPE(name, ...) FLUX_TYPE_##name,
  FLUX_LEAVES(FLUX_TYPE) /* leaves first */
  FLUX_LEAVES_END,
  FLUX_BRANCHES(FLUX_TYPE)
#undef FLUX_TYPE
};

#define FLUX_MAX_THREADS 65536 /* status words of a region, and more; a power of two */
#define FLUX_MAX_CPUS 1024     /* a power of two */
#define FLUX_MAX_SCHEDS 16     /* a power of two; 0 is none of them */
#define FLUX_MAX_CHILDREN 4
#define FLUX_MAX_DEPTH 4 /* from the root to a leaf, both counted */
#define FLUX_ROOT 1

#define FLUX_CPU_WORDS (FLUX_MAX_CPUS / 64)

/* A leaf's own queue, and its threads that wait for one CPU. 0 is no list. */
#define FLUX_QUEUE(sched) (sched)
#define FLUX_PINNED_LIST(sched, cpu) ((sched)*FLUX_MAX_CPUS + (cpu))
#define FLUX_LISTS (FLUX_MAX_SCHEDS * FLUX_MAX_CPUS)

enum flux_wait {
  FLUX_NOT_WAITING,
  FLUX_WAITS,       /* with its leaf, for any CPU */
  FLUX_WAITS_AT_CPU /* for its home, as it may not run everywhere */
};

/* A slot is the number of the thread's status word. Links are slots + 1, 0 = none. */
struct flux_thread {
  __s64 gtid;  /* 0: no thread */
  __u64 order; /* when it began to wait: lower numbers are earlier */
  __u32 barrier;
  __u32 next;
  __u32 prev;
  __u32 list;
  __u32 home; /* the CPU + 1 that it waits for, as it may not run everywhere; 0: it may */
  __s32 cpu;  /* where it is latched or runs; -1: nowhere */
  __s32 nice; /* 0 before ABI 75 */
  __u8 sched; /* its leaf */
  __u8 waits; /* enum flux_wait */
  __u8 runnable;
  __u8 nowhere; /* it may run on none of our CPUs: it does not wait */
};

struct flux_cpu {
  __u32 at;         /* the sub-scheduler that has it; 0: another class or the agent does */
  __u32 current;    /* slot + 1 of the thread that it was given */
  __u64 since_ns;   /* … and when it got the CPU */
  __u64 cpu_seqnum; /* of the last TASK_ON_CPU */
  __u64 picks;      /* threads that it was given */
};

/* Of one sub-scheduler; only ever raised. */
struct flux_sched_counters {
  __u64 joined;  /* threads that came */
  __u64 left;    /* threads that went, or died */
  __u64 picks;   /* threads that were given a CPU */
  __u64 slices;  /* preemptions at the end of a slice */
  __u64 granted; /* CPUs that its parent gave it */
  __u64 yielded; /* CPUs that it gave back */
  __u64 taken;   /* CPUs that were taken from it for another */
};

struct flux_sched {
  __u32 type;                     /* config: enum flux_type */
  __u32 parent;                   /* config; 0: it is the root */
  __u32 child[FLUX_MAX_CHILDREN]; /* config; 0: no more */
  __u32 path;                     /* config: bit i: i is an ancestor, or itself */
  __u32 limit;                    /* config: a branch's own number */
  __u32 threads;                  /* a leaf's */
  __u32 waiting;                  /* threads below it that wait for any CPU: so many CPUs it wants besides its own */
  __u32 nr_cpus;                  /* that it and those below it have */
  __u32 unused;
  __u64 cpus[FLUX_CPU_WORDS];  /* which ones */
  __u32 pinned[FLUX_MAX_CPUS]; /* threads below it that wait for this one */
  struct flux_sched_counters counters;
};

/* Of all; only ever raised. */
struct flux_counters {
  __u64 woken;
  __u64 blocked;
  __u64 preempted;
  __u64 yielded;
  __u64 elsewhere; /* taken, but not allowed on that CPU: waits for another */
  __u64 stale;     /* taken, but a message about it was on its way */
  __u64 requeued;  /* taken, but it could not run there just then */
  __u64 moved;     /* from one leaf to another */
  __u64 unknown;   /* messages about threads that are none of ours */
  __u64 no_room;   /* threads that found no place */
};

struct flux {
  __u64 slice_ns;                 /* config */
  __u64 cpu_mask[FLUX_CPU_WORDS]; /* config: the enclave's CPUs */
  __u32 idle;                     /* config: the root's last child: it has the CPUs that nobody wants */
  __u32 initialized;
  __u32 threads_now;
  __u32 unused;
  __u64 order;
  struct flux_counters counters;
  struct flux_sched scheds[FLUX_MAX_SCHEDS];
  struct ghost_list lists[FLUX_LISTS];
  struct flux_cpu cpus[FLUX_MAX_CPUS];
  struct flux_thread threads[FLUX_MAX_THREADS];
};

#endif /* GHOST_THIRD_PARTY_BPF_FLUX_H_ */
