// SPDX-License-Identifier: GPL-2.0
// biff: a global FIFO that lives in BPF. Its agents sleep; messages stop here.
//
//   MSG  keeps what is known of each task; a task that becomes runnable joins the FIFO, and an idle CPU is kicked.
//   PNT  gives a CPU that would idle the first task of the FIFO.
//   CPU_TICK  ends the turn of a task that has had its slice, if others wait.
//
// A task that may not run on the CPU that took it moves to the list of one where it may; its CPU takes the earlier one
// of the heads of both lists. No task is lost: lists are linked through the tasks themselves, so that they are never
// full, and what could not run goes back.
#include "third_party/bpf/ghost.bpf.h"

#include "third_party/bpf/biff.h"

/* Tasks that one pick looks at. */
#define ATTEMPTS 8

struct biff biff;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, BIFF_MAX_TASKS);
  __type(key, __s64);
  __type(value, __u32);
} slots SEC(".maps");

static __always_inline struct biff_task *task_at(__u32 slot) { return &biff.tasks[slot & (BIFF_MAX_TASKS - 1)]; }
static __always_inline struct ghost_list *list_at(__u32 list) { return &biff.lists[list & (BIFF_LISTS - 1)]; }
static __always_inline struct biff_cpu *cpu_at(__u32 cpu) { return &biff.cpus[cpu & (BIFF_MAX_CPUS - 1)]; }

#define COUNT(what) __sync_fetch_and_add(&biff.counters.what, 1)

/* ---- Lists: under the lock ---- */

GHOST_LIST(list, task_at, list_at)

/* Puts a runnable task that is nowhere into its list. */
static __always_inline void line_up(__u32 slot) {
  struct biff_task *task = task_at(slot);
  if (task->list != BIFF_NO_LIST || !task->runnable || task->cpu >= 0 || !task->gtid) return;
  task->order = biff.order++;
  list_append(task->home ? BIFF_LOCAL_LIST(task->home - 1) : BIFF_GLOBAL_LIST, slot);
}

static __always_inline void forget_cpu(__u32 slot) {
  struct biff_task *task = task_at(slot);
  if (task->cpu >= 0 && cpu_at(task->cpu)->current == slot + 1) cpu_at(task->cpu)->current = 0;
  task->cpu = -1;
}

/* Of an idle CPU, that it is none any more. */
static __always_inline int claim_idle(__u32 cpu) {
  __u64 *word = &biff.idle[(cpu >> 6) & (BIFF_MAX_CPUS / 64 - 1)];
  __u64 bit = 1ull << (cpu & 63);
  if (!(*word & bit)) return 0;
  *word &= ~bit;
  return 1;
}

static __always_inline int waits_for(__u32 cpu) {
  return list_at(BIFF_GLOBAL_LIST)->count || list_at(BIFF_LOCAL_LIST(cpu & (BIFF_MAX_CPUS - 1)))->count;
}

/* ---- Kicks ---- */

/* An idle CPU's number + 1, which is none from now on; `first` is looked at first. 0: there is none. */
__noinline __u32 take_idle_cpu(__u32 first) {
  __u32 found = 0;
  __u64 bits = 0;
  __u32 word;
  first &= BIFF_MAX_CPUS - 1;
  GHOST_LOCK();
  word = first >> 6;
  if (claim_idle(first)) {
    found = first + 1;
  } else {
    for (__u32 i = 0; i < BIFF_MAX_CPUS / 64; ++i) {
      if (!bits) {
        word = i;
        bits = biff.idle[i];
      }
    }
    bits &= -bits;
    biff.idle[word & (BIFF_MAX_CPUS / 64 - 1)] &= ~bits;
  }
  GHOST_UNLOCK();
  if (found) return found;
  return bits ? word * 64 + ghost_lowest_bit(bits) + 1 : 0;
}

__noinline int take_this_idle_cpu(__u32 cpu) {
  int found;
  GHOST_LOCK();
  found = claim_idle(cpu);
  GHOST_UNLOCK();
  return found;
}

/* Somebody runs the task that has just joined a list. */
static __always_inline void kick_for(__u32 slot, __s32 last_cpu) {
  struct biff_task *task = task_at(slot);
  if (!biff.initialized) return;
  if (task->home) {
    __u32 cpu = task->home - 1;
    if (take_this_idle_cpu(cpu)) ghost_kick(cpu, 0, 0);
    return;
  }
  __u32 cpu = take_idle_cpu(last_cpu < 0 ? 0 : last_cpu);
  if (cpu) ghost_kick(cpu - 1, 0, 0);
}

/* `cpu` has something else to run: if it was kicked for a task that waits, another one is. */
__noinline int pass_on(__u32 cpu) {
  take_this_idle_cpu(cpu);
  if (!list_at(BIFF_GLOBAL_LIST)->count) return 0;
  __u32 other = take_idle_cpu(cpu);
  if (other) ghost_kick(other - 1, 0, 0);
  return 0;
}

/* ---- Pick next task ---- */

/* The slot + 1 of the first task for `cpu`, which is about to be its; 0: none waits. */
__noinline __u32 take_first(__u32 cpu) {
  struct ghost_list *global = list_at(BIFF_GLOBAL_LIST);
  struct ghost_list *local = list_at(BIFF_LOCAL_LIST(cpu & (BIFF_MAX_CPUS - 1)));
  __u32 taken;
  GHOST_LOCK();
  taken = global->head;
  if (local->head && (!taken || task_at(local->head - 1)->order < task_at(taken - 1)->order)) taken = local->head;
  if (taken) {
    list_remove(taken - 1);
    task_at(taken - 1)->cpu = cpu;
  }
  GHOST_UNLOCK();
  return taken;
}

/* Lets go of a task that was taken and could not run. Always: it goes back; else only if there was a message about it
 * meanwhile (or else one will come). */
__noinline int give_back(__u32 slot, __u32 barrier, int always) {
  GHOST_LOCK();
  forget_cpu(slot);
  if (always || task_at(slot)->barrier != barrier) line_up(slot);
  GHOST_UNLOCK();
  return 0;
}

__noinline int settle_on(__u32 slot, __u32 cpu) {
  __u64 now = bpf_ktime_get_ns();
  struct biff_cpu *its = cpu_at(cpu);
  GHOST_LOCK();
  if (task_at(slot)->cpu == (__s32)cpu) {
    its->current = slot + 1;
    its->since_ns = now;
    its->picks++;
  }
  GHOST_UNLOCK();
  return 0;
}

/* The best home among 64 CPUs, of which `allowed` are allowed: the more the better, 0: there is none. */
__noinline __u32 home_in_word(__u32 word, __u64 allowed, __u32 cpu) {
  word &= BIFF_MAX_CPUS / 64 - 1;
  __u64 bits = allowed & biff.cpu_mask[word];
  __u64 idle = bits & biff.idle[word];
  __u64 after = word > cpu >> 6 ? bits : word < cpu >> 6 ? 0 : bits & ~((2ull << (cpu & 63)) - 1);
  if (!bits) return 0;
  if (idle) return (3 << 16) - word * 64 - ghost_lowest_bit(idle);
  if (after) return (2 << 16) - word * 64 - ghost_lowest_bit(after);
  return (1 << 16) - word * 64 - ghost_lowest_bit(bits);
}

/* A CPU on which the task may run, + 1: one that is idle, else the next after `cpu`; 0: it may on none of ours. */
__noinline __u32 find_home(__s64 gtid, __u32 cpu) {
  __u64 mask[BIFF_MAX_CPUS / 64];
  __u32 best = 0;
  if (ghost_affinity(gtid, mask)) return 0;
  for (__u32 word = 0; word < BIFF_MAX_CPUS / 64; ++word) {
    __u32 found = home_in_word(word, mask[word], cpu);
    if (found > best) best = found;
  }
  return best ? (-best & (BIFF_MAX_CPUS - 1)) + 1 : 0;
}

/* A task that may not run on `cpu` waits for one where it may. */
__noinline int send_home(__u32 slot, __s64 gtid, __u32 cpu) {
  __u32 home = find_home(gtid, cpu);
  GHOST_LOCK();
  forget_cpu(slot);
  task_at(slot)->home = home;
  line_up(slot);
  GHOST_UNLOCK();
  if (home && take_this_idle_cpu(home - 1)) ghost_kick(home - 1, 0, 0);
  return 0;
}

__noinline int go_idle(__u32 cpu) {
  int empty;
  GHOST_LOCK();
  empty = !waits_for(cpu);
  if (empty) biff.idle[(cpu >> 6) & (BIFF_MAX_CPUS / 64 - 1)] |= 1ull << (cpu & 63);
  GHOST_UNLOCK();
  return empty;
}

SEC(GHOST_SEC_PNT)
int biff_pnt(struct bpf_ghost_sched *ctx) {
  __u32 cpu = ghost_cpu();
  if (!biff.initialized) return 0;
  if (ctx->agent_runnable || ctx->might_yield || ctx->next_gtid) {
    pass_on(cpu);
    return 0;
  }
  for (int i = 0; i < ATTEMPTS; ++i) {
    __u32 taken = take_first(cpu);
    if (!taken) break;
    __u32 slot = taken - 1;
    __s64 gtid = task_at(slot)->gtid;
    __u32 barrier = task_at(slot)->barrier;
    if (!ghost_allowed(gtid, cpu)) {
      COUNT(elsewhere);
      send_home(slot, gtid, cpu);
      continue;
    }
    long error = bpf_ghost_run_gtid(gtid, barrier, SEND_TASK_ON_CPU);
    if (!error) {
      COUNT(picks);
      settle_on(slot, cpu);
      return 0;
    }
    if (error == -ENOENT || error == -ESTALE || error == -EINVAL) {
      COUNT(stale);
      give_back(slot, barrier, 0);
    } else {
      COUNT(requeued);
      give_back(slot, barrier, 1);
    }
  }
#if GHOST_BPF_ABI >= 79
  if (!go_idle(cpu)) ctx->dont_idle = 1;
#else
  ctx->dont_idle = 1; /* nobody can wake it gently */
#endif
  return 0;
}

/* ---- Messages ---- */

__noinline __u32 find_slot(__s64 gtid) {
  __u32 *slot = bpf_map_lookup_elem(&slots, &gtid);
  return slot ? *slot + 1 : 0;
}

/* A message about a task: what it is from now on. */
__noinline int note(__u32 slot, __u32 barrier, int runnable) {
  GHOST_LOCK();
  struct biff_task *task = task_at(slot);
  forget_cpu(slot);
  task->barrier = barrier;
  task->runnable = runnable;
  if (runnable) {
    line_up(slot);
  } else {
    list_remove(slot);
  }
  GHOST_UNLOCK();
  return 0;
}

/* … that only its barrier changes; `anew`: where it waits is to be found anew. */
__noinline int note_barrier(__u32 slot, __u32 barrier, int anew) {
  GHOST_LOCK();
  struct biff_task *task = task_at(slot);
  task->barrier = barrier;
  if (anew && task->home) {
    task->home = 0;
    if (task->list != BIFF_NO_LIST) {
      list_remove(slot);
      line_up(slot);
    }
  }
  GHOST_UNLOCK();
  return 0;
}

__noinline int note_on_cpu(__u32 slot, __u32 barrier, __u32 cpu, __u64 cpu_seqnum) {
  __u64 now = bpf_ktime_get_ns();
  GHOST_LOCK();
  struct biff_cpu *its = cpu_at(cpu);
  task_at(slot)->barrier = barrier;
  its->cpu_seqnum = cpu_seqnum;
  if (its->current == slot + 1) its->since_ns = now;
  GHOST_UNLOCK();
  return 0;
}

static __always_inline int arrive(struct bpf_ghost_msg *msg) {
  __s64 gtid = msg->newt.gtid;
  __u32 slot = msg->newt.sw_info.index;
  int runnable = msg->newt.runnable != 0;
  __u32 barrier = msg->seqnum;
  if (msg->newt.sw_info.id != 0 || slot >= BIFF_MAX_TASKS || bpf_map_update_elem(&slots, &gtid, &slot, BPF_ANY)) {
    COUNT(no_room);
    return 0;
  }
  {
    GHOST_LOCK();
    struct biff_task *task = task_at(slot);
    if (task->gtid != gtid) {
      list_remove(slot);
      if (!task->gtid) biff.tasks_now++;
      task->gtid = gtid;
      task->cpu = -1;
      task->home = 0;
      task->runnable = 0;
    }
    GHOST_UNLOCK();
  }
  COUNT(arrived);
  note(slot, barrier, runnable);
  if (runnable) kick_for(slot, -1);
  return 1;
}

__noinline int leave(__u32 slot, __s64 gtid) {
  COUNT(left);
  {
    GHOST_LOCK();
    struct biff_task *task = task_at(slot);
    if (task->gtid == gtid) {
      forget_cpu(slot);
      list_remove(slot);
      task->gtid = 0;
      task->runnable = 0;
      biff.tasks_now--;
    }
    GHOST_UNLOCK();
  }
  bpf_map_delete_elem(&slots, &gtid);
  return 0;
}

static __always_inline void tick(__u32 cpu) {
  struct biff_cpu *its = cpu_at(cpu);
  if (!its->current || !waits_for(cpu)) return;
  __u64 now = bpf_ktime_get_ns();
  if (now < its->since_ns + biff.slice_ns) return;
  its->since_ns = now; /* once */
  COUNT(slices);
  ghost_kick(cpu, 1, its->cpu_seqnum);
}

static __always_inline void becomes_runnable(__u32 slot, __u32 barrier, __s32 cpu) {
  note(slot, barrier, 1);
  kick_for(slot, cpu);
}

SEC(GHOST_SEC_MSG)
int biff_msg(struct bpf_ghost_msg *msg) {
  if (msg->type == MSG_TASK_NEW) return arrive(msg);
  if (msg->type == MSG_CPU_TICK) {
    tick(msg->cpu_tick.cpu);
    return 1;
  }
  if (msg->type < MSG_TASK_DEAD || msg->type > MSG_TASK_LATCH_FAILURE || msg->type == MSG_TASK_SWITCHTO) return 1;
  __s64 gtid = msg->dead.gtid; /* first of all of them */
  __u32 found = find_slot(gtid);
  if (!found) {
    COUNT(unknown);
    return 0;
  }
  __u32 slot = found - 1;
  __u32 barrier = msg->seqnum;
  switch (msg->type) {
    case MSG_TASK_WAKEUP:
      COUNT(woken);
      becomes_runnable(slot, barrier, msg->wakeup.wake_up_cpu);
      break;
    case MSG_TASK_PREEMPT:
      COUNT(preempted);
      becomes_runnable(slot, barrier, msg->preempt.cpu);
      break;
    case MSG_TASK_YIELD:
      COUNT(yielded);
      becomes_runnable(slot, barrier, msg->yield.cpu);
      break;
    case MSG_TASK_LATCH_FAILURE:
      COUNT(requeued);
      becomes_runnable(slot, barrier, -1);
      break;
    case MSG_TASK_BLOCKED:
      COUNT(blocked);
      note(slot, barrier, 0);
      break;
    case MSG_TASK_DEAD:
    case MSG_TASK_DEPARTED:
      leave(slot, gtid);
      break;
    case MSG_TASK_ON_CPU:
      note_on_cpu(slot, barrier, msg->on_cpu.cpu, msg->on_cpu.cpu_seqnum);
      break;
    default:
      note_barrier(slot, barrier, msg->type == MSG_TASK_AFFINITY_CHANGED);
  }
  return 1;
}

SEC(GHOST_SEC_SELECT_RQ)
int biff_select_rq(struct bpf_ghost_select_rq *ctx) {
  ctx->skip_ttwu_queue = 1;
  return ctx->task_cpu;
}

GHOST_LICENSE;
