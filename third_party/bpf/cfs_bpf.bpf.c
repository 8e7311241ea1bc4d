// SPDX-License-Identifier: GPL-2.0
// cfs_bpf: completely fair scheduling that lives in BPF. Each CPU has a queue; who has had least of it for his weight
// runs next. Agents sleep; messages stop here. (schedulers/cfs is the same idea in an agent, and says more of it.)
//
//   MSG  keeps what is known of each task, and counts what it has run: its vruntime. A task that becomes runnable joins
//        the queue of the CPU where it was, if that is idle; else of an idle one where it may run; else it stays, or
//        goes where there is less to do. It takes the CPU at once if it is far enough behind who has it.
//   PNT  gives a CPU the first of its queue. If that is empty the CPU takes over one from where most wait.
//   CPU_TICK  ends the turn of a task that has had its share of `latency`, if the first of the queue is due before it;
//        and from time to time lets a CPU that has less to do take over one.
//   SELECT_RQ  says where a task that wakes will be queued, so that the kernel need not move it.
//
// A queue is ordered by vruntime: two heaps (cfs_bpf.h says why), linked through the tasks, so that they are never full
// and a task can leave from anywhere in O(log n). A queue's min_vruntime never goes back: who comes, from sleep or from
// another CPU, stands no further behind it than half a latency. No task is lost: what could not run goes back.
#include "third_party/bpf/cfs_bpf_place.bpf.h"
#include "third_party/bpf/cfs_bpf_queue.bpf.h"

#define GHOST_MAX_SLOTS CFS_BPF_MAX_TASKS
#include "third_party/bpf/ghost_slots.bpf.h"

/* Tasks that one pick tries. */
#define ATTEMPTS 8

/* ---- Pick next task ---- */

/* `cpu` has something else to run: others come for who waits for it. */
__noinline int pass_on(__u32 cpu) {
  take_idle(cpu);
  __u32 free = cpu_at(cpu)->roots[CFS_BPF_FREE], bound = cpu_at(cpu)->roots[CFS_BPF_BOUND];
  if (free) call_idle(free - 1, cpu);
  if (bound) call_idle(bound - 1, cpu);
  return 0;
}

/* The slot + 1 of the first of the CPU's queue, which is about to be its; 0: none waits. */
__noinline __u32 take_first(__u32 cpu) {
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  __u32 taken;
  GHOST_LOCK();
  taken = first_of(its);
  if (taken) {
    quit(taken - 1);
    task_at(taken - 1)->cpu = cpu & (CFS_BPF_MAX_CPUS - 1);
    advance(its, *vruntime_of(taken - 1));
  }
  GHOST_UNLOCK();
  return taken;
}

/* `cpu` lets go of a task that it took and could not run. Whether it is to queue again: `always`, or if there was a
 * message about it meanwhile (or else one will come). Not if that message has taken it from here, or it is another
 * task's slot. */
__noinline int let_go(__u32 slot, __u32 cpu, __u32 barrier, int always) {
  int again = 0;
  GHOST_LOCK();
  if (task_at(slot)->cpu == (__s32)cpu) {
    forget_cpu(slot);
    again = always || task_at(slot)->barrier != barrier;
  }
  GHOST_UNLOCK();
  return again;
}

__noinline int settle_on(__u32 slot, __u32 cpu) {
  __u64 now = time_ns();
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  GHOST_LOCK();
  if (task_at(slot)->cpu == (__s32)cpu) {
    its->current = slot + 1;
    its->since_ns = now;
    its->kicked = 0;
    its->picks++;
  }
  GHOST_UNLOCK();
  return 0;
}

/* Nothing has joined a queue since `joined`: the CPU idles, and says so. */
__noinline int go_idle(__u32 cpu, __u64 joined) {
  int idles;
  GHOST_LOCK();
  idles = cfs_bpf.joined == joined;
  if (idles) {
    if (!has_cpu(cfs_bpf.idle, cpu)) cfs_bpf.idle_count++;
    set_cpu(cfs_bpf.idle, cpu);
    cfs_bpf.went_idle++;
  }
  GHOST_UNLOCK();
  return idles;
}

/* Keeps what has been asked of a task's affinity, of which it has to be sure that no newer one has come meanwhile.
 * A task that is bound to some CPUs stays among 64 of them, those around the CPU that asks if it may. */
static __always_inline void keep_affinity(__u32 slot, __u32 barrier, __u64 *allowed, __u32 cpu) {
  struct cfs_bpf_task *task = task_at(slot);
  __u32 word = (cpu >> 6) & (CFS_BPF_CPU_WORDS - 1);
  __u64 mask = allowed[word] & cfs_bpf.cpu_mask[word];
  int bound = 0;
  for (int i = 0; i < CFS_BPF_CPU_WORDS; ++i) {
    __u64 both = allowed[i] & cfs_bpf.cpu_mask[i];
    bound |= both != cfs_bpf.cpu_mask[i];
    if (mask || !both) continue;
    mask = both;
    word = i;
  }
  GHOST_LOCK();
  if (task->barrier == barrier && !heap_contains(slot)) {
    task->affinity = bound ? CFS_BPF_SOME_CPUS : CFS_BPF_ANYWHERE;
    task->allowed = mask;
    task->word = word;
  }
  GHOST_UNLOCK();
}

/* Messages do not tell affinities, and whether their programs may ask, under a run queue's lock, is not known of any
 * kernel: who is about to run the task does. */
__noinline int ask_affinity(__u32 slot, __u32 barrier, __u32 cpu) {
  __u64 allowed[CFS_BPF_CPU_WORDS];
  if (task_at(slot)->affinity != CFS_BPF_NOT_ASKED || ghost_affinity(task_at(slot)->gtid, allowed)) return 0;
  keep_affinity(slot, barrier, allowed, cpu);
  return 0;
}

/* Whether the CPU has got a task, or the task goes elsewhere, and the CPU may look at another one: 0. */
enum {
  GO_ON,
  RUNS,
  WAITS, /* this CPU can't run it just now: it is to be asked again */
};

__noinline int try_to_run(__u32 slot, __u32 cpu) {
  __s64 gtid = task_at(slot)->gtid;
  __u32 barrier = task_at(slot)->barrier;
  ask_affinity(slot, barrier, cpu);
  if (!may_run(slot, cpu)) {
    COUNT(elsewhere);
    if (let_go(slot, cpu, barrier, 1)) place(slot, cpu, COMES_BACK);
    return GO_ON;
  }
  long error = bpf_ghost_run_gtid(gtid, barrier, SEND_TASK_ON_CPU);
  if (!error) {
    COUNT(picks);
    settle_on(slot, cpu);
    return RUNS;
  }
  int always = error != -ENOENT && error != -ESTALE && error != -EINVAL;
  if (let_go(slot, cpu, barrier, always)) queue_up(slot, cpu, COMES_BACK, time_ns(), cfs_bpf.went_idle);
  if (always) {
    COUNT(requeued);
    return WAITS;
  }
  COUNT(stale);
  return GO_ON;
}

__noinline int note_taken(__u32 cpu, int taken) {
  if (has_cpu(cfs_bpf.taken, cpu) == taken) return 0;
  GHOST_LOCK();
  clear_cpu(cfs_bpf.taken, cpu);
  if (taken) set_cpu(cfs_bpf.taken, cpu);
  GHOST_UNLOCK();
  return 0;
}

SEC(GHOST_SEC_PNT)
int cfs_bpf_pnt(struct bpf_ghost_sched *ctx) {
  __u32 cpu = ghost_cpu();
  int taken = ctx->agent_runnable || ctx->might_yield;
  if (!cfs_bpf.initialized) return 0;
  note_taken(cpu, taken);
  if (taken || ctx->next_gtid) {
    pass_on(cpu);
    ghost_leave_cpu(ctx);
    return 0;
  }
  for (int i = 0; i < ATTEMPTS; ++i) {
    __u64 joined = cfs_bpf.joined;
    __u32 task = take_first(cpu);
    if (!task && cfs_bpf.idle_balancing) {
      task = pull(cpu, 1);
      if (task) COUNT(pulled_idle);
    }
    if (!task) {
      /* Before 79 nobody could wake it gently. */
      if (GHOST_BPF_ABI >= 79 && go_idle(cpu, joined)) return 0;
      break;
    }
    int outcome = try_to_run(task - 1, cpu);
    if (outcome == RUNS) return 0;
    if (outcome == WAITS) break;
  }
  ctx->dont_idle = 1;
  return 0;
}

/* ---- Messages ---- */

/* A message about a task: what it is from now on, and what it has run so far. */
__noinline int note(__u32 slot, __u32 barrier, int runnable, __u64 runtime_ns) {
  struct cfs_bpf_task *task = task_at(slot);
  GHOST_LOCK();
  task->barrier = barrier;
  task->runnable = runnable;
  quit(slot); /* a key may not change in a heap */
  charge(slot, runtime_ns);
  if (task->cpu >= 0 && cpu_at(task->cpu)->current == slot + 1) {
    advance_to_least(cpu_at(task->cpu), *vruntime_of(slot));
  }
  forget_cpu(slot);
  GHOST_UNLOCK();
  return 0;
}

__noinline int note_on_cpu(__u32 slot, __u32 barrier, __u32 cpu, __u64 cpu_seqnum) {
  __u64 now = time_ns();
  GHOST_LOCK();
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  task_at(slot)->barrier = barrier;
  its->cpu_seqnum = cpu_seqnum;
  if (its->current == slot + 1) its->since_ns = now;
  GHOST_UNLOCK();
  return 0;
}

/* What it has run so far counts by its old weight, as far as a clock can tell. */
__noinline int note_weight(__u32 slot, __u32 barrier, __u32 weight) {
  __u64 now = time_ns();
  struct cfs_bpf_task *task = task_at(slot);
  struct cfs_bpf_cpu *its = cpu_at(task->cpu);
  GHOST_LOCK();
  task->barrier = barrier;
  if (task->cpu >= 0 && its->current == slot + 1 && now > its->since_ns) {
    charge(slot, task->charged_ns + (now - its->since_ns));
    its->since_ns = now;
  }
  if (heap_contains(slot)) {
    its = cpu_at(task->home);
    its->weight += weight;
    its->weight -= task->weight;
  }
  task->weight = weight;
  GHOST_UNLOCK();
  return 0;
}

/* Its affinity is another one, which nobody knows: whether it is to be placed anew. */
__noinline int note_affinity(__u32 slot, __u32 barrier) {
  struct cfs_bpf_task *task = task_at(slot);
  int anew;
  GHOST_LOCK();
  quit(slot);
  task->barrier = barrier;
  task->affinity = CFS_BPF_NOT_ASKED;
  anew = task->runnable && task->cpu < 0;
  GHOST_UNLOCK();
  return anew;
}

__noinline int note_barrier(__u32 slot, __u32 barrier) {
  GHOST_LOCK();
  task_at(slot)->barrier = barrier;
  GHOST_UNLOCK();
  return 0;
}

static __always_inline __u32 weight_of(__s32 nice) {
  nice += CFS_BPF_NICE_VALUES / 2;
  if (nice < 0) nice = 0;
  if (nice > CFS_BPF_NICE_VALUES - 1) nice = CFS_BPF_NICE_VALUES - 1;
  return cfs_bpf.weights[nice];
}

/* It waits where it may, or leaves the CPU and is placed like anyone who has been preempted. */
static __always_inline void change_affinity(__u32 slot, __u32 barrier) {
  struct cfs_bpf_task *task = task_at(slot);
  if (note_affinity(slot, barrier)) {
    place(slot, task->home, COMES_BACK);
  } else if (task->cpu >= 0) {
    ghost_kick(task->cpu, 1, cpu_at(task->cpu)->cpu_seqnum);
  }
}

__noinline int settle_in(__u32 slot, __s64 gtid, __s32 nice, __u64 runtime_ns) {
  struct cfs_bpf_task *task = task_at(slot);
  __u32 weight = weight_of(nice);
  GHOST_LOCK();
  if (task->gtid != gtid) {
    quit(slot);
    forget_cpu(slot);
    if (!task->gtid) cfs_bpf.tasks_now++;
    task->gtid = gtid;
    task->home = -1;
    task->charged_ns = runtime_ns;
    task->weight = weight;
    task->affinity = CFS_BPF_NOT_ASKED;
  }
  GHOST_UNLOCK();
  return 0;
}

static __always_inline int arrive(struct bpf_ghost_msg *msg) {
  __s64 gtid = msg->newt.gtid;
  __u32 claimed = ghost_claim_slot(msg);
  __u32 slot = claimed - 1;
  int runnable = msg->newt.runnable != 0;
  __u64 runtime_ns = msg->newt.runtime;
  __u32 barrier = msg->seqnum;
#if GHOST_BPF_ABI >= 75
  __s32 nice = msg->newt.nice;
#else
  __s32 nice = 0; /* until a TASK_PRIORITY_CHANGED says another */
#endif
  if (!claimed) {
    COUNT(no_room);
    return 0;
  }
  settle_in(slot, gtid, nice, runtime_ns);
  COUNT(arrived);
  note(slot, barrier, runnable, runtime_ns);
  if (runnable) place(slot, ghost_cpu(), COMES_NEW);
  return 1;
}

__noinline int leave(__u32 slot, __s64 gtid) {
  COUNT(left);
  {
    GHOST_LOCK();
    struct cfs_bpf_task *task = task_at(slot);
    if (task->gtid == gtid) {
      forget_cpu(slot);
      quit(slot);
      task->gtid = 0;
      task->runnable = 0;
      cfs_bpf.tasks_now--;
    }
    GHOST_UNLOCK();
  }
  ghost_free_slot(gtid);
  return 0;
}

/* Whether who has the CPU is to leave: it has had its slice, and the first of the queue has had no more. 2: it has
 * been told so (a reschedule can come to nothing). */
__noinline int slice_is_over(__u32 cpu, __u64 now) {
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  int over = 0;
  GHOST_LOCK();
  if (its->current) {
    __u64 vruntime = vruntime_now(its, now);
    __u32 first = first_of(its);
    if (first && !before(vruntime, *vruntime_of(first - 1))) {
      __u32 weight = task_at(its->current - 1)->weight;
      over = now >= its->since_ns + slice_ns(weight, its->weight + weight, its->count + 1);
      if (its->kicked) over = 2;
      its->kicked = over != 0;
    }
    advance_to_least(its, vruntime);
  }
  GHOST_UNLOCK();
  return over;
}

static __always_inline void tick(__u32 cpu) {
  struct cfs_bpf_cpu *its = cpu_at(cpu);
  __u64 now = time_ns();
  if (!its->current || !cfs_bpf.initialized) return;
  if (now >= its->balanced_ns + cfs_bpf.balance_ns) {
    its->balanced_ns = now;
    if (pull(cpu, 0)) COUNT(pulled_busy);
  }
  int over = slice_is_over(cpu, now);
  if (over == 1) COUNT(slices);
  if (over) ghost_kick(cpu, 1, its->cpu_seqnum);
}

static __always_inline void becomes_runnable(__u32 slot, __u32 barrier, __u64 runtime_ns, __s32 cpu, __u32 comes) {
  note(slot, barrier, 1, runtime_ns);
  place(slot, cpu, comes);
}

SEC(GHOST_SEC_MSG)
int cfs_bpf_msg(struct bpf_ghost_msg *msg) {
  if (msg->type == MSG_TASK_NEW) return arrive(msg);
  if (msg->type == MSG_CPU_TICK) {
    tick(msg->cpu_tick.cpu);
    return 1;
  }
  if (msg->type < MSG_TASK_DEAD || msg->type > MSG_TASK_LATCH_FAILURE) return 1;
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
      becomes_runnable(slot, barrier, 0, msg->wakeup.wake_up_cpu, COMES_WOKEN);
      break;
    case MSG_TASK_PREEMPT:
      COUNT(preempted);
      becomes_runnable(slot, barrier, msg->preempt.runtime, msg->preempt.cpu, COMES_BACK);
      break;
    case MSG_TASK_YIELD:
      COUNT(yielded);
      becomes_runnable(slot, barrier, msg->yield.runtime, msg->yield.cpu, COMES_YIELDED);
      break;
    case MSG_TASK_LATCH_FAILURE:
      COUNT(requeued);
      becomes_runnable(slot, barrier, 0, ghost_cpu(), COMES_BACK);
      break;
    case MSG_TASK_BLOCKED:
    case MSG_TASK_SWITCHTO: /* another one goes on in its place, of whom its own next message tells */
      COUNT(blocked);
      note(slot, barrier, 0, msg->blocked.runtime);
      break;
    case MSG_TASK_DEAD:
    case MSG_TASK_DEPARTED:
      leave(slot, gtid);
      break;
    case MSG_TASK_ON_CPU:
      note_on_cpu(slot, barrier, msg->on_cpu.cpu, msg->on_cpu.cpu_seqnum);
      break;
    case MSG_TASK_PRIORITY_CHANGED:
      note_weight(slot, barrier, weight_of(msg->priority.nice));
      break;
    case MSG_TASK_AFFINITY_CHANGED:
      change_affinity(slot, barrier);
      break;
    default:
      note_barrier(slot, barrier);
  }
  return 1;
}

SEC(GHOST_SEC_SELECT_RQ)
int cfs_bpf_select_rq(struct bpf_ghost_select_rq *ctx) {
  __u32 found = ghost_find_slot(ctx->gtid);
  ctx->skip_ttwu_queue = 1;
  if (!found) return ctx->task_cpu;
  __u32 chosen = choose(found - 1, ctx->task_cpu);
  return chosen ? chosen - 1 : ctx->task_cpu;
}

GHOST_LICENSE;
