// SPDX-License-Identifier: GPL-2.0
// biff: a global FIFO that lives in BPF. Its agents sleep; messages stop here.
//
//   MSG  keeps what is known of each task; a task that becomes runnable joins the FIFO, and an idle CPU is kicked.
//   PNT  gives a CPU that would idle the first task of the FIFO.
//   CPU_TICK, or a task that wakes up and finds no idle CPU, ends the turn of one that has had its slice.
//
// A task that may not run on the CPU that took it moves to the list of one where it may, its home; a CPU takes the
// earlier one of the heads of both lists. It changes when another CPU idles on which the first task of the list may
// run: that one looks before it goes idle, and the home whenever it schedules. (Only PNT asks for affinities: messages
// come under a lock.) A task that no CPU of the enclave may run is parked until its affinity changes. No task is lost:
// lists are linked through the tasks themselves, so that they are never full, and what could not run goes back.
#include "third_party/bpf/ghost.bpf.h"

#include "third_party/bpf/biff.h"
#include "third_party/bpf/biff_queues.bpf.h"

#define GHOST_MAX_SLOTS BIFF_MAX_TASKS
#include "third_party/bpf/ghost_slots.bpf.h"

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
    take_out(taken - 1);
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

/* A task that may not run on `cpu` waits for one where it may, or is parked. */
__noinline int send_home(__u32 slot, __s64 gtid, __u32 cpu) {
  __u32 home = find_home(gtid, cpu);
  GHOST_LOCK();
  forget_cpu(slot);
  task_at(slot)->home = home;
  line_up(slot);
  GHOST_UNLOCK();
  if (home != BIFF_ANYWHERE && home != BIFF_NOWHERE) call_home(home);
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
    ghost_leave_cpu(ctx);
    return 0;
  }
  for (int i = 0; i < ATTEMPTS; ++i) {
    __u32 taken = take_first(cpu);
    if (!taken && pull(cpu)) taken = take_first(cpu);
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
      hand_on(cpu);
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
    take_out(slot);
  }
  GHOST_UNLOCK();
  return 0;
}

/* … that only its barrier changes; `anew`: where it may run, too. If it waits, it waits anywhere again. */
__noinline int note_barrier(__u32 slot, __u32 barrier, int anew) {
  struct biff_task *task = task_at(slot);
  int waits = 0;
  GHOST_LOCK();
  task->barrier = barrier;
  if (anew && task->home != BIFF_ANYWHERE) {
    task->home = BIFF_ANYWHERE;
    waits = task->list != BIFF_NO_LIST;
    if (waits) {
      take_out(slot);
      line_up(slot);
    }
  }
  GHOST_UNLOCK();
  return waits;
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
  __u32 claimed = ghost_claim_slot(msg);
  __u32 slot = claimed - 1;
  int runnable = msg->newt.runnable != 0;
  __u32 barrier = msg->seqnum;
  if (!claimed) {
    COUNT(no_room);
    return 0;
  }
  {
    GHOST_LOCK();
    struct biff_task *task = task_at(slot);
    if (task->gtid != gtid) {
      take_out(slot);
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
  if (runnable) kick_for(slot, -1, 0);
  return 1;
}

__noinline int leave(__u32 slot, __s64 gtid) {
  COUNT(left);
  {
    GHOST_LOCK();
    struct biff_task *task = task_at(slot);
    if (task->gtid == gtid) {
      forget_cpu(slot);
      take_out(slot);
      task->gtid = 0;
      task->runnable = 0;
      biff.tasks_now--;
    }
    GHOST_UNLOCK();
  }
  ghost_free_slot(gtid);
  return 0;
}

static __always_inline void becomes_runnable(__u32 slot, __u32 barrier, __s32 cpu, int woken) {
  note(slot, barrier, 1);
  kick_for(slot, cpu, woken);
}

SEC(GHOST_SEC_MSG)
int biff_msg(struct bpf_ghost_msg *msg) {
  if (msg->type == MSG_TASK_NEW) return arrive(msg);
  if (msg->type == MSG_CPU_TICK) {
    end_slice(msg->cpu_tick.cpu);
    return 1;
  }
  if (msg->type < MSG_TASK_DEAD || msg->type > MSG_TASK_LATCH_FAILURE || msg->type == MSG_TASK_SWITCHTO) return 1;
  __s64 gtid = msg->dead.gtid; /* first of all of them */
  __u32 found = ghost_find_slot(gtid);
  if (!found) {
    COUNT(unknown);
    return 0;
  }
  __u32 slot = found - 1;
  __u32 barrier = msg->seqnum;
  switch (msg->type) {
    case MSG_TASK_WAKEUP:
      COUNT(woken);
      becomes_runnable(slot, barrier, msg->wakeup.wake_up_cpu, 1);
      break;
    case MSG_TASK_PREEMPT:
      COUNT(preempted);
      becomes_runnable(slot, barrier, msg->preempt.cpu, 0);
      break;
    case MSG_TASK_YIELD:
      COUNT(yielded);
      becomes_runnable(slot, barrier, msg->yield.cpu, 0);
      break;
    case MSG_TASK_LATCH_FAILURE:
      COUNT(requeued);
      becomes_runnable(slot, barrier, -1, 0);
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
      if (note_barrier(slot, barrier, msg->type == MSG_TASK_AFFINITY_CHANGED)) kick_for(slot, -1, 0);
  }
  return 1;
}

SEC(GHOST_SEC_SELECT_RQ)
int biff_select_rq(struct bpf_ghost_select_rq *ctx) {
  ctx->skip_ttwu_queue = 1;
  return ctx->task_cpu;
}

GHOST_LICENSE;
