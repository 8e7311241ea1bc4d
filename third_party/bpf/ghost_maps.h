/* Shared by programs for a user-mode ghost kernel (ghost.bpf.h), the loader (lib/bpf/programs.h) and ghostd
 * (kernel/usermode/linux/bpf_host.h): the three maps by which a program's helpers look at ghostd's kernel and tell it
 * what they want. All are arrays with BPF_F_MMAPABLE, made by the agent. ghostd writes the first two by plain stores,
 * while no program runs; it never reads them. Plain C with the kernel's types. */
#ifndef GHOST_THIRD_PARTY_BPF_GHOST_MAPS_H_
#define GHOST_THIRD_PARTY_BPF_GHOST_MAPS_H_

#include <linux/types.h>

#define GHOST_VIEW_TASKS 65536 /* a power of two */
#define GHOST_VIEW_CPUS 1024
#define GHOST_VIEW_MASKS 1024 /* different affinities; number 0 is "all CPUs" */
#define GHOST_MAX_EFFECTS 64
/* How far a chain of tasks is followed. With 65,536 tasks in as many buckets one of 16 is a matter of 10^-13. */
#define GHOST_VIEW_CHAIN 24

enum ghost_view_task_flag {
  GHOST_VIEW_RUNNABLE = 1,
  GHOST_VIEW_ON_CPU = 2,
  GHOST_VIEW_INHIBITED = 4,
};

/* Slot s is a task's, and bucket s of the hash table as well: two things that share memory. */
struct ghost_view_task {
  __s64 gtid; /* 0: no task */
  __u32 barrier;
  __u32 flags;
  __s32 cpu;
  __u32 mask; /* number of its affinity in struct ghost_effects */
  __u32 next; /* the slot + 1 of the next task in this one's bucket, 0 = none */
  __u32 head; /* of bucket s: the slot + 1 of its first task, 0 = none */
};

static inline __u32 ghost_view_bucket(__s64 gtid) {
  return (__u32)(((__u64)gtid * 0x9e3779b97f4a7c15ull) >> 48) & (GHOST_VIEW_TASKS - 1);
}

enum ghost_view_cpu_flag {
  GHOST_VIEW_ONLINE = 1,
  GHOST_VIEW_IN_ENCLAVE = 2,
  GHOST_VIEW_AGENT = 4,
  GHOST_VIEW_OTHER_CLASS = 8,
  GHOST_VIEW_TAKEN = 16, /* by a task, the agent or a latch: true of the CPU that picks only */
};

struct ghost_view_cpu {
  __u32 flags;
  __u32 unused;
};

enum ghost_effect_kind {
  GHOST_EFFECT_WAKE_AGENT = 1, /* cpu */
  GHOST_EFFECT_RUN_GTID = 2,   /* gtid, barrier, flags; on the CPU that picks */
  GHOST_EFFECT_RESCHED = 3,    /* cpu, flags */
};

struct ghost_effect {
  __u32 kind;
  __s32 cpu;
  __s64 gtid;
  __u32 barrier;
  __s32 flags;
};

/* One element. */
struct ghost_effects {
  __u32 cpu;     /* whose schedule or message it is: written before each run */
  __u32 nr_cpus; /* of the kernel */
  __u32 hook;    /* 0 pick-next-task, 1 message, 2 select_rq */
  __u32 count;   /* of `effect`: 0 before each run */
  __u32 latched; /* the run has latched a task: 0 before each run */
  __u32 unused[3];
  struct ghost_effect effect[GHOST_MAX_EFFECTS];
  __u64 mask[GHOST_VIEW_MASKS][GHOST_VIEW_CPUS / 64];
};

#endif /* GHOST_THIRD_PARTY_BPF_GHOST_MAPS_H_ */
