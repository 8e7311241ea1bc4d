/* SPDX-License-Identifier: GPL-2.0 */
/* What a BPF program of a ghost agent includes: contexts, helpers, sections, for two kinds of kernel from one source.
 *
 *     #include "third_party/bpf/ghost.bpf.h"
 *     SEC(GHOST_SEC_PNT) int my_pnt(struct bpf_ghost_sched *ctx) { …; return 0; }
 *     SEC(GHOST_SEC_MSG) int my_msg(struct bpf_ghost_msg *msg) { …; return 0; }          // not 0: drop it
 *     SEC(GHOST_SEC_SELECT_RQ) int my_select(struct bpf_ghost_select_rq *ctx) { return -1; }
 *     GHOST_LICENSE;
 *
 * bpf/bpf.bzl's ghost_bpf_objects compiles it once for each layout of the ABI (GHOST_BPF_ABI is the oldest version of
 * those that share it) and once for a user-mode kernel (GHOST_BPF_USERMODE, with ABI 91's layout). The loader
 * (lib/bpf/programs.h) takes the one that fits and sets types.
 *
 *   ghost kernel       program types 1000 to 1003, helpers 3000 to 3006 by number
 *   user-mode kernel   BPF_PROG_TYPE_SYSCALL, run by ghostd with BPF_PROG_TEST_RUN. Helpers are functions here: they
 *                      check what the kernel's would in the view that ghostd keeps (ghost_maps.h), and note what is to
 *                      be done; ghostd does it, in order, when the program has returned. ghostd has one thread, so that
 *                      nothing changes in between. A message's program runs after the event, not under a lock.
 *
 * ghost_cpu() instead of bpf_get_smp_processor_id(): a user-mode kernel's CPU may be virtual. GHOST_LOCK and
 * GHOST_UNLOCK are a bpf_spin_lock on ghost kernels, where programs run on all CPUs at once, and nothing under ghostd.
 * Between them: no calls, no look-ups; data stands in global variables. */
#ifndef GHOST_THIRD_PARTY_BPF_GHOST_BPF_H_
#define GHOST_THIRD_PARTY_BPF_GHOST_BPF_H_

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "third_party/bpf/ghost_maps.h"

#ifndef GHOST_BPF_ABI
#error "GHOST_BPF_ABI: the oldest ABI version of the layout"
#endif

#define GHOST_SEC_PNT "ghost_sched/pnt"
#define GHOST_SEC_MSG "ghost_msg/msg_send"
#define GHOST_SEC_SELECT_RQ "ghost_select_rq/select_rq"
#define GHOST_SEC_HALT_POLL "ghost_halt_poll/halt_poll" /* ghost kernels from ABI 84 only: ghostd has no idle loop */
#define GHOST_LICENSE char _license[] SEC("license") = "GPL"

#ifndef ENOENT
#define EPERM 1
#define ENOENT 2
#define EBUSY 16
#define EXDEV 18
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#define ESTALE 116
#endif

/* ---- Messages ---- */

enum ghost_message {
  MSG_TASK_DEAD = 64,
  MSG_TASK_BLOCKED,
  MSG_TASK_WAKEUP,
  MSG_TASK_NEW,
  MSG_TASK_PREEMPT,
  MSG_TASK_YIELD,
  MSG_TASK_DEPARTED,
  MSG_TASK_SWITCHTO,
  MSG_TASK_AFFINITY_CHANGED,
  MSG_TASK_ON_CPU, /* TASK_LATCHED before 78 */
  MSG_TASK_PRIORITY_CHANGED,
  MSG_TASK_LATCH_FAILURE,
  MSG_CPU_TICK = 128,
  MSG_CPU_TIMER_EXPIRED,
  MSG_CPU_NOT_IDLE,
  MSG_CPU_AVAILABLE,
  MSG_CPU_BUSY,
};

struct ghost_sw_info {
  __u32 id;
  __u32 index;
};
struct ghost_msg_payload_task_new {
  __u64 gtid;
#if GHOST_BPF_ABI >= 77
  __u64 parent_gtid;
#endif
  __u64 runtime;
  __u16 runnable;
#if GHOST_BPF_ABI >= 75
  __s32 nice;
#endif
  struct ghost_sw_info sw_info;
#if GHOST_BPF_ABI >= 88
  __u64 agent_data;
#endif
};
struct ghost_msg_payload_task_blocked {
  __u64 gtid;
  __u64 runtime;
  __u64 cpu_seqnum;
  __s32 cpu;
  char from_switchto;
};
struct ghost_msg_payload_task_wakeup {
  __u64 gtid;
  __u64 agent_data;
  char deferrable;
  __s32 last_ran_cpu;
  __s32 wake_up_cpu;
  __s32 waker_cpu;
};
struct ghost_msg_payload_task_preempt {
  __u64 gtid;
  __u64 runtime;
  __u64 cpu_seqnum;
  __u64 agent_data;
  __s32 cpu;
  char from_switchto;
  char was_latched;
};
struct ghost_msg_payload_task_yield {
  __u64 gtid;
  __u64 runtime;
  __u64 cpu_seqnum;
  __u64 agent_data;
  __s32 cpu;
  char from_switchto;
};
struct ghost_msg_payload_task_dead {
  __u64 gtid;
};
struct ghost_msg_payload_task_departed {
  __u64 gtid;
  __u64 cpu_seqnum;
  __s32 cpu;
  char from_switchto;
  char was_current;
};
struct ghost_msg_payload_task_affinity_changed {
  __u64 gtid;
};
struct ghost_msg_payload_task_priority_changed {
  __u64 gtid;
  __s32 nice;
};
struct ghost_msg_payload_task_on_cpu {
  __u64 gtid;
  __u64 commit_time;
  __u64 cpu_seqnum;
  __s32 cpu;
};
struct ghost_msg_payload_task_latch_failure {
  __u64 gtid;
  __s32 error;
};
struct ghost_msg_payload_cpu {
  __s32 cpu;
};

/* ---- Contexts ---- */

struct bpf_ghost_sched {
  __u8 agent_on_rq;
  __u8 agent_runnable;
  __u8 might_yield;
  __u8 dont_idle; /* out */
#if GHOST_BPF_ABI >= 82
  __u8 must_resched; /* in and out. (ABI 81 has it, too, but nothing else that is new.) */
#endif
  __u64 next_gtid __attribute__((aligned(8)));
};

struct bpf_ghost_msg {
  union {
    struct ghost_msg_payload_task_dead dead;
    struct ghost_msg_payload_task_blocked blocked;
    struct ghost_msg_payload_task_wakeup wakeup;
    struct ghost_msg_payload_task_new newt;
    struct ghost_msg_payload_task_preempt preempt;
    struct ghost_msg_payload_task_yield yield;
    struct ghost_msg_payload_task_departed departed;
    struct ghost_msg_payload_task_affinity_changed affinity;
    struct ghost_msg_payload_task_priority_changed priority;
    struct ghost_msg_payload_task_on_cpu on_cpu;
    struct ghost_msg_payload_task_latch_failure latch_failure;
    struct ghost_msg_payload_cpu cpu_tick;
    struct ghost_msg_payload_cpu cpu_available;
    struct ghost_msg_payload_cpu cpu_busy;
  };
  __u16 type;
  __u32 seqnum;
#if GHOST_BPF_ABI >= 82
  __s32 pref_cpu; /* out: whose agent to wake; -1 no preference, -2 nobody */
#endif
};

struct bpf_ghost_select_rq {
  __u64 gtid;
  __u32 task_cpu;
  __u32 waker_cpu;
  __u32 sd_flag;
  __u32 wake_flags;
  __u8 skip_ttwu_queue; /* out */
};

enum { GHOST_PREPARE_HALT_POLL, GHOST_CONTINUE_HALT_POLL, GHOST_END_HALT_POLL };
struct bpf_ghost_halt_poll {
  __u32 type;
};

#define GHOST_OFFSET(type, member, offset) \
  _Static_assert(__builtin_offsetof(struct type, member) == (offset), #type "." #member)
GHOST_OFFSET(bpf_ghost_sched, next_gtid, 8);
#if GHOST_BPF_ABI >= 88
GHOST_OFFSET(bpf_ghost_msg, type, 48);
#else
GHOST_OFFSET(bpf_ghost_msg, type, 40);
#endif
#if GHOST_BPF_ABI >= 77
GHOST_OFFSET(ghost_msg_payload_task_new, sw_info, 32);
#elif GHOST_BPF_ABI >= 75
GHOST_OFFSET(ghost_msg_payload_task_new, sw_info, 24);
#else
GHOST_OFFSET(ghost_msg_payload_task_new, sw_info, 20);
#endif
_Static_assert(sizeof(struct bpf_ghost_select_rq) == 32, "bpf_ghost_select_rq");

/* ---- Helpers ---- */

/* Of bpf_ghost_sync_commit: tasks that two CPUs get together, or none. */
struct bpf_sync_commit_args {
  __s32 cpus[2];
  __u64 gtids[2] __attribute__((aligned(8)));
  __u32 task_barriers[2];
  __s32 run_flags[2];
  __s32 commit_flags[2];
};
_Static_assert(sizeof(struct bpf_sync_commit_args) == 48, "bpf_sync_commit_args");

enum {
  SEND_TASK_ON_CPU = 1 << 10,
};

enum {
  RESCHED_ANY_CLASS = 1 << 0,
  RESCHED_GHOST_CLASS = 1 << 1,
  RESCHED_IDLE_CLASS = 1 << 2,
  RESCHED_OTHER_CLASS = 1 << 3,
  SET_MUST_RESCHED = 1 << 4,
  WAKE_AGENT = 1 << 5,
};

#ifndef GHOST_BPF_USERMODE

static long (*bpf_ghost_wake_agent)(__u32 cpu) = (void *)3000;
static long (*bpf_ghost_run_gtid)(__s64 gtid, __u32 task_barrier, __s32 run_flags) = (void *)3001;
#if GHOST_BPF_ABI >= 79
static long (*bpf_ghost_resched_cpu2)(__u32 cpu, __u32 flags) = (void *)3003;
#else
static long (*bpf_ghost_resched_cpu)(__u32 cpu, __u64 cpu_seqnum) = (void *)3002;
#endif
#if GHOST_BPF_ABI >= 88 /* 87 has it, too, but shares 82's layout. `args`: of a bpf_sync_commit_args */
#define GHOST_HAS_SYNC_COMMIT 1
static long (*bpf_ghost_sync_commit)(struct bpf_dynptr *args) = (void *)3004;
#endif
#if GHOST_BPF_ABI >= 91
#define GHOST_HAS_AFFINITY 1
static long (*bpf_ghost_get_affinity)(__s64 gtid, __u8 *mask, __u32 size) = (void *)3005;
#define GHOST_HAS_COMM 1
static long (*bpf_ghost_get_comm)(__s64 gtid, char *comm, __u32 size) = (void *)3006;
#endif

static __always_inline __u32 ghost_cpu(void) { return bpf_get_smp_processor_id(); }

struct ghost_lock {
  struct bpf_spin_lock lock;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct ghost_lock);
} ghost_locks SEC(".maps");
#define GHOST_LOCK()                                                                  \
  __u32 ghost_lock_key = 0;                                                           \
  struct ghost_lock *ghost_lock = bpf_map_lookup_elem(&ghost_locks, &ghost_lock_key); \
  if (ghost_lock) bpf_spin_lock(&ghost_lock->lock)
#define GHOST_UNLOCK() \
  if (ghost_lock) bpf_spin_unlock(&ghost_lock->lock)

#else /* GHOST_BPF_USERMODE */

#define GHOST_HAS_AFFINITY 1
#define GHOST_LOCK()
#define GHOST_UNLOCK()

#ifndef BPF_F_MMAPABLE
#define BPF_F_MMAPABLE (1U << 10)
#endif

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, GHOST_VIEW_TASKS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct ghost_view_task);
} ghost_tasks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, GHOST_VIEW_CPUS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct ghost_view_cpu);
} ghost_cpus SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct ghost_effects);
} ghost_effects SEC(".maps");

static __always_inline struct ghost_effects *ghost_run(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&ghost_effects, &zero);
}

static __always_inline __u32 ghost_cpu(void) {
  struct ghost_effects *run = ghost_run();
  return run ? run->cpu : 0;
}

/* Not static: the verifier then looks at it once, not at each call. So are the others that take only numbers. */
__noinline __u32 ghost_view_slot(__s64 gtid) {
  __u32 bucket = ghost_view_bucket(gtid);
  struct ghost_view_task *task = bpf_map_lookup_elem(&ghost_tasks, &bucket);
  if (!task) return 0;
  __u32 slot = task->head;
  for (int i = 0; i < GHOST_VIEW_CHAIN && slot; ++i) {
    __u32 key = slot - 1;
    task = bpf_map_lookup_elem(&ghost_tasks, &key);
    if (!task) return 0;
    if (task->gtid == gtid) return slot;
    slot = task->next;
  }
  return 0;
}

static __always_inline struct ghost_view_task *ghost_view_task(__s64 gtid) {
  __u32 slot = ghost_view_slot(gtid);
  if (!slot) return 0;
  --slot;
  return bpf_map_lookup_elem(&ghost_tasks, &slot);
}

static __always_inline __u32 ghost_view_cpu_flags(__u32 cpu) {
  struct ghost_view_cpu *found = bpf_map_lookup_elem(&ghost_cpus, &cpu);
  return found ? found->flags : 0;
}

/* The effect to fill in, or null: too many (a kernel's helper never says so; its caller gets -ENOSPC). */
static __always_inline struct ghost_effect *ghost_effect(struct ghost_effects *run) {
  __u32 count = run->count;
  if (count >= GHOST_MAX_EFFECTS) return 0;
  run->count = count + 1;
  return &run->effect[count];
}

__noinline long bpf_ghost_wake_agent(__u32 cpu) {
  __u32 flags = ghost_view_cpu_flags(cpu);
  struct ghost_effects *run = ghost_run();
  if (!run || cpu >= run->nr_cpus) return -EINVAL;
  if (!(flags & GHOST_VIEW_IN_ENCLAVE)) return -EXDEV;
  if (!(flags & GHOST_VIEW_AGENT)) return -EINVAL;
  struct ghost_effect *effect = ghost_effect(run);
  if (!effect) return -ENOSPC;
  effect->kind = GHOST_EFFECT_WAKE_AGENT;
  effect->cpu = cpu;
  return 0;
}

#define GHOST_KNOWN_RUN_FLAGS (1 | 2 | 4 | 32 | 64 | 512 | 1024 | 2048 | 4096)
#define GHOST_DO_NOT_PREEMPT 4096

__noinline long bpf_ghost_run_gtid(__s64 gtid, __u32 task_barrier, __s32 run_flags) {
  struct ghost_effects *run = ghost_run();
  if (!run || run->hook != 0) return -EPERM;
  __u32 cpu = ghost_view_cpu_flags(run->cpu);
  if ((run_flags & ~GHOST_KNOWN_RUN_FLAGS) || !(cpu & GHOST_VIEW_AGENT)) return -EINVAL;
  struct ghost_view_task *task = ghost_view_task(gtid);
  if (gtid <= 0 || !task) return -ENOENT;
  if ((task->flags & GHOST_VIEW_INHIBITED) || task->barrier != task_barrier) return -ESTALE;
  if (!(task->flags & GHOST_VIEW_RUNNABLE)) return -EINVAL;
  if ((task->flags & GHOST_VIEW_ON_CPU) && task->cpu != (__s32)run->cpu) return -EBUSY;
  if ((run_flags & GHOST_DO_NOT_PREEMPT) && (run->latched || (cpu & GHOST_VIEW_TAKEN))) return -ESTALE;
  if (cpu & GHOST_VIEW_OTHER_CLASS) return -ENOSPC;
  if (!(cpu & GHOST_VIEW_IN_ENCLAVE)) return -EXDEV;
  if (!(cpu & GHOST_VIEW_ONLINE)) return -ERANGE;
  struct ghost_effect *effect = ghost_effect(run);
  if (!effect) return -ENOSPC;
  effect->kind = GHOST_EFFECT_RUN_GTID;
  effect->gtid = gtid;
  effect->barrier = task_barrier;
  effect->flags = run_flags;
  run->latched = 1;
  return 0;
}

__noinline long bpf_ghost_resched_cpu2(__u32 cpu, __u32 flags) {
  __u32 view = ghost_view_cpu_flags(cpu);
  struct ghost_effects *run = ghost_run();
  if (flags >= WAKE_AGENT * 2) return -EINVAL;
  if (!run || cpu >= run->nr_cpus || !(view & GHOST_VIEW_ONLINE)) return -ERANGE;
  if (!(view & GHOST_VIEW_IN_ENCLAVE)) return -EXDEV;
  struct ghost_effect *effect = ghost_effect(run);
  if (!effect) return -ENOSPC;
  effect->kind = GHOST_EFFECT_RESCHED;
  effect->cpu = cpu;
  effect->flags = flags;
  return 0;
}

/* As helper 3005, of ABI 91. */
static __always_inline long bpf_ghost_get_affinity(__s64 gtid, __u8 *mask, __u32 size) {
  struct ghost_effects *run = ghost_run();
  struct ghost_view_task *task = ghost_view_task(gtid);
  if (!run || !task) return -ENOENT;
  __u32 number = task->mask;
  if (number >= GHOST_VIEW_MASKS || size > GHOST_VIEW_CPUS / 8) return -EINVAL;
  __builtin_memcpy(mask, run->mask[number], GHOST_VIEW_CPUS / 8);
  return 0;
}

#endif /* GHOST_BPF_USERMODE */

/* The CPUs on which the task may run. Where the kernel does not tell (before ABI 91): not 0, and nothing in `mask`. */
static __always_inline long ghost_affinity(__s64 gtid, __u64 mask[GHOST_VIEW_CPUS / 64]) {
#ifdef GHOST_HAS_AFFINITY
  return bpf_ghost_get_affinity(gtid, (__u8 *)mask, GHOST_VIEW_CPUS / 8) < 0;
#else
  return -1;
#endif
}

/* Whether the task may run on `cpu`, as far as the kernel tells. */
static __always_inline int ghost_allowed(__s64 gtid, __u32 cpu) {
  __u64 mask[GHOST_VIEW_CPUS / 64];
  if (ghost_affinity(gtid, mask)) return 1;
  return mask[(cpu >> 6) & (GHOST_VIEW_CPUS / 64 - 1)] >> (cpu & 63) & 1;
}

/* The number of the lowest bit that is set, of which there must be one. (BPF has no instruction for it.) */
__noinline __u32 ghost_lowest_bit(__u64 bits) {
  __u32 bit = 0;
  if (!(bits & 0xffffffffull)) bit += 32, bits >>= 32;
  if (!(bits & 0xffff)) bit += 16, bits >>= 16;
  if (!(bits & 0xff)) bit += 8, bits >>= 8;
  if (!(bits & 0xf)) bit += 4, bits >>= 4;
  if (!(bits & 3)) bit += 2, bits >>= 2;
  if (!(bits & 1)) bit += 1;
  return bit;
}

/* Makes `cpu` schedule anew, whatever runs there; `must`: what runs there may not go on. `seqnum`: what the CPU's last
 * message said, for the helper of before 79, which always takes off who runs. */
static __always_inline void ghost_kick(__u32 cpu, int must, __u64 seqnum) {
#if GHOST_BPF_ABI >= 79
  bpf_ghost_resched_cpu2(cpu, must ? RESCHED_ANY_CLASS | SET_MUST_RESCHED : RESCHED_ANY_CLASS);
#else
  if (must) bpf_ghost_resched_cpu(cpu, seqnum);
#endif
}

/* For a PNT program that leaves the CPU to what it has to run without it (`next_gtid`, the agent, another class): that
 * may come to nothing, as a task that must leave is still the next one then, and a kernel would idle without asking
 * again. ghostd asks again. */
static __always_inline void ghost_leave_cpu(struct bpf_ghost_sched *ctx) {
#ifndef GHOST_BPF_USERMODE
  ctx->dont_idle = 1;
#endif
}

#endif /* GHOST_THIRD_PARTY_BPF_GHOST_BPF_H_ */
