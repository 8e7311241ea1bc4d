// SPDX-License-Identifier: GPL-2.0
// flux: a tree of schedulers that lives in BPF. Its agents sleep; messages stop here.
//
//   MSG  keeps what is known of each thread; one that can run waits with its leaf, for which a CPU is called.
//   PNT  sends a CPU that would idle through the tree, to a leaf that has a thread for it.
//   CPU_TICK  asks the CPU's leaf whether the turn of who runs there is over.
//
// The tree is in flux_tree.bpf.h, which CPU a thread waits for in flux_place.bpf.h, what a sub-scheduler is in
// flux_api.bpf.h. No thread is lost: queues are linked through the threads themselves, so that they are never full, and
// what could not run goes back.
#include "third_party/bpf/flux_place.bpf.h"

#define GHOST_MAX_SLOTS FLUX_MAX_THREADS
#include "third_party/bpf/ghost_slots.bpf.h"

/* Steps of a CPU through the tree: from a leaf to the root, down to a leaf, and that once more. */
#define STEPS (4 * FLUX_MAX_DEPTH)

#define COUNT(what) __sync_fetch_and_add(&flux.counters.what, 1)

/* ---- Pick next thread ---- */

/* The slot + 1 of the thread for `cpu`, which is about to be its; FLUX_KEEP: the CPU idles; 0: ask again. */
__noinline __u32 take_first(__u32 cpu) {
  __u32 taken = 0;
  cpu &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  for (int i = 0; i < STEPS && !taken; ++i) taken = step(cpu);
  if (taken && taken != FLUX_KEEP) {
    dequeue(taken - 1);
    flux_thread(taken - 1)->cpu = cpu;
    flux_cpu(cpu)->current = taken;
  }
  GHOST_UNLOCK();
  return taken;
}

/* Lets go of a thread that `cpu` took and could not run. Always: it waits again; else only if there was a message about
 * it meanwhile (or else one will come). */
__noinline int give_back(__u32 slot, __u32 cpu, __u32 barrier, int always) {
  GHOST_LOCK();
  struct flux_thread *thread = flux_thread(slot);
  if (thread->cpu == (__s32)cpu) forget_cpu(slot);
  if (always || thread->barrier != barrier) enqueue(slot);
  GHOST_UNLOCK();
  return 0;
}

/* The thread has the CPU. Returns whom to kick: that CPU, if it was claimed for another meanwhile. */
__noinline __u32 settle_on(__u32 slot, __u32 cpu) {
  __u64 now = bpf_ktime_get_ns();
  __u32 whom = 0;
  cpu &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  struct flux_cpu *its = flux_cpu(cpu);
  its->picks++;
  flux_sched(flux_thread(slot)->sched)->counters.picks++;
  if (its->current == slot + 1) {
    its->since_ns = now;
    if (its->at != flux_thread(slot)->sched) whom = KICK(cpu, 1);
  }
  GHOST_UNLOCK();
  return whom;
}

SEC(GHOST_SEC_PNT)
int flux_pnt(struct bpf_ghost_sched *ctx) {
  __u32 cpu = ghost_cpu();
  if (!flux.initialized) return 0;
  if (ctx->agent_runnable || ctx->might_yield) {
    pass_on(cpu);
    ghost_leave_cpu(ctx);
    return 0;
  }
  if (ctx->next_gtid) {
    ghost_leave_cpu(ctx);
    return 0;
  }
  for (int i = 0; i < ATTEMPTS; ++i) {
    __u32 taken = take_first(cpu);
    if (!taken) break;
    if (taken == FLUX_KEEP) {
#if GHOST_BPF_ABI < 79
      ctx->dont_idle = 1; /* nobody can wake it gently */
#endif
      return 0;
    }
    __u32 slot = taken - 1;
    __s64 gtid = flux_thread(slot)->gtid;
    __u32 barrier = flux_thread(slot)->barrier;
    if (!ghost_allowed(gtid, cpu)) {
      COUNT(elsewhere);
      send_home(slot, cpu, barrier, 0);
      continue;
    }
    long error = bpf_ghost_run_gtid(gtid, barrier, SEND_TASK_ON_CPU);
    if (!error) {
      kick(settle_on(slot, cpu));
      return 0;
    }
    if (error == -ENOENT || error == -ESTALE) {
      COUNT(stale);
      give_back(slot, cpu, barrier, 0);
    } else {
      COUNT(requeued); /* EINVAL, too: it can mean that the CPU has no agent */
      give_back(slot, cpu, barrier, 1);
    }
  }
  ctx->dont_idle = 1;
  return 0;
}

/* ---- Messages ---- */

/* A message about a thread: what it is from now on. */
__noinline int note(__u32 slot, __u32 barrier, int runnable) {
  GHOST_LOCK();
  forget_cpu(slot);
  flux_thread(slot)->barrier = barrier;
  flux_thread(slot)->runnable = runnable != 0;
  if (runnable) {
    enqueue(slot);
  } else {
    dequeue(slot);
  }
  GHOST_UNLOCK();
  return 0;
}

/* … that only its barrier changes; `anew`: where it may run is to be found anew. Returns whether it waits anew. */
__noinline int note_barrier(__u32 slot, __u32 barrier, int anew) {
  int moved = 0;
  GHOST_LOCK();
  struct flux_thread *thread = flux_thread(slot);
  thread->barrier = barrier;
  if (anew && (thread->home || thread->nowhere)) {
    dequeue(slot);
    thread->home = 0;
    thread->nowhere = 0;
    enqueue(slot);
    moved = thread->waits != FLUX_NOT_WAITING;
  }
  GHOST_UNLOCK();
  return moved;
}

__noinline int note_on_cpu(__u32 slot, __u32 barrier, __u32 cpu, __u64 cpu_seqnum) {
  __u64 now = bpf_ktime_get_ns();
  GHOST_LOCK();
  struct flux_cpu *its = flux_cpu(cpu);
  flux_thread(slot)->barrier = barrier;
  its->cpu_seqnum = cpu_seqnum;
  if (its->current == slot + 1) its->since_ns = now;
  GHOST_UNLOCK();
  return 0;
}

/* The thread moves to the leaf where it belongs now. Returns whom to kick: a CPU on which it runs is the old leaf's. */
__noinline __u32 note_nice(__u32 slot, __s32 nice) {
  __u32 whom = 0;
  GHOST_LOCK();
  struct flux_thread *thread = flux_thread(slot);
  __u32 leaf = route(nice);
  thread->nice = nice;
  if (leaf != thread->sched) {
    dequeue(slot);
    flux.counters.moved += thread->sched != 0;
    join(slot, leaf);
    enqueue(slot);
    if (thread->cpu >= 0) whom = KICK(thread->cpu, 1);
  }
  GHOST_UNLOCK();
  return whom;
}

__noinline int appear(__u32 slot, __s64 gtid) {
  GHOST_LOCK();
  struct flux_thread *thread = flux_thread(slot);
  if (thread->gtid != gtid) {
    dequeue(slot);
    join(slot, 0);
    if (!thread->gtid) flux.threads_now++;
    thread->gtid = gtid;
    thread->cpu = -1;
    thread->home = 0;
    thread->nowhere = 0;
    thread->runnable = 0;
  }
  GHOST_UNLOCK();
  return 0;
}

static __always_inline int arrive(struct bpf_ghost_msg *msg) {
  __s64 gtid = msg->newt.gtid;
  __u32 claimed = ghost_claim_slot(msg);
  __u32 slot = claimed - 1;
  int runnable = msg->newt.runnable != 0;
  __u32 barrier = msg->seqnum;
  __s32 nice = 0;
#if GHOST_BPF_ABI >= 75
  nice = msg->newt.nice;
#endif
  if (!claimed) {
    COUNT(no_room);
    return 0;
  }
  appear(slot, gtid);
  note_nice(slot, nice);
  note(slot, barrier, runnable);
  if (runnable) call_for(slot, -1);
  return 1;
}

__noinline int leave(__u32 slot, __s64 gtid) {
  {
    GHOST_LOCK();
    struct flux_thread *thread = flux_thread(slot);
    if (thread->gtid == gtid) {
      forget_cpu(slot);
      dequeue(slot);
      join(slot, 0);
      thread->gtid = 0;
      thread->runnable = 0;
      flux.threads_now--;
    }
    GHOST_UNLOCK();
  }
  ghost_free_slot(gtid);
  return 0;
}

/* Whether the turn of who runs there is over: the CPU has been claimed when nobody ran there yet, somebody else's claim
 * comes first by now, or its leaf says so. Returns whom to kick. */
__noinline __u32 tick(__u32 cpu) {
  __u64 now = bpf_ktime_get_ns();
  __u32 whom = 0;
  cpu &= FLUX_MAX_CPUS - 1;
  GHOST_LOCK();
  struct flux_cpu *its = flux_cpu(cpu);
  if (its->current) {
    __u32 leaf = flux_thread(its->current - 1)->sched;
    __u32 top = who_would_take(cpu);
    if (top) take_cpu_up(cpu, top);
    if (its->at != leaf) {
      whom = KICK(cpu, 1);
    } else if (leaf_turn_over(leaf, cpu, now - its->since_ns)) {
      its->since_ns = now; /* once */
      flux_sched(leaf)->counters.slices++;
      whom = KICK(cpu, 1);
    }
  }
  GHOST_UNLOCK();
  return whom;
}

static __always_inline void becomes_runnable(__u32 slot, __u32 barrier, __s32 cpu) {
  __u32 home = flux_thread(slot)->home;
  note(slot, barrier, 1);
  if (home) {
    send_home(slot, home - 1, barrier, 0); /* another of those where it may run is free, perhaps */
  } else {
    call_for(slot, cpu);
  }
}

SEC(GHOST_SEC_MSG)
int flux_msg(struct bpf_ghost_msg *msg) {
  if (msg->type == MSG_TASK_NEW) return arrive(msg);
  if (msg->type == MSG_CPU_TICK) {
    kick(tick(msg->cpu_tick.cpu));
    spread(msg->cpu_tick.cpu);
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
    case MSG_TASK_PRIORITY_CHANGED:
      note_barrier(slot, barrier, 0);
      kick(note_nice(slot, msg->priority.nice));
      call_for(slot, -1);
      break;
    default:
      if (note_barrier(slot, barrier, msg->type == MSG_TASK_AFFINITY_CHANGED)) call_for(slot, -1);
  }
  return 1;
}

SEC(GHOST_SEC_SELECT_RQ)
int flux_select_rq(struct bpf_ghost_select_rq *ctx) {
  ctx->skip_ttwu_queue = 1;
  return ctx->task_cpu;
}

GHOST_LICENSE;
