/* No wake-up is missed: an agent that is about to give up its CPU, against messages and preemption.
 *
 * What it is: one CPU, its agent and one task. The agent's side is a pass of lib/per_cpu_pass.inc.h: read the barrier,
 * drain the queue, then commit the task or yield (lib/run_request.h). The kernel's side is the core: RUN in
 * agents.cc, the commit in committer.cc (JudgeTask, JudgeCpu, Apply), WakeAgent, Pick and PickAgent in scheduler.cc.
 * What it is not: the state word (claim.pml), the ring (tests/interleaving), another class, sync groups.
 *
 * ghostd's core is one thread: an entry into it, up to leave(), is one step here. What an agent reads and writes outside
 * of its calls are steps of its own.
 *
 * Checked: the assertions below, no deadlock, and that every message is read at last (ltl heard).
 * Mutants, each of which must fail: LATE_BARRIER (the agent reads its barrier after draining), UNCHECKED_YIELD and
 * UNCHECKED_COMMIT (the kernel does not compare it), NO_WAKE (a message does not wake who waits), SILENT_PREEMPT (a
 * task is taken off without a message).
 *
 *     spin -a wakeup.pml && cc -o pan pan.c && ./pan -a -f
 */
#ifndef EVENTS
#define EVENTS 5 /* how often the task wakes, blocks or is held */
#endif

/* Shared memory. */
byte word_barrier = 0;                      /* the agent's status word */
chan queue = [EVENTS + 4] of { byte, bool } /* sequence number (0: of another task), whether the task is runnable */

/* The kernel's own. */
byte agent_barrier = 0;
byte task_barrier = 0;
bool blocked_in_run = false;
bool should_wake = false;
bool parked = false;     /* the agent is in RUN or a local commit */
bool latched = false;
bool running = false;    /* the task has the CPU */
bool preempting = false; /* … and has been asked to leave it */
bool awake = false;      /* the task is runnable */
byte events = 0;

/* Messenger: the barrier goes up, then the agent that the queue names is woken (Scheduler::WakeAgent). */
inline wake_agent() {
  agent_barrier++;
#ifndef NO_WAKE
  if
  :: blocked_in_run && !should_wake -> should_wake = true
  :: else
  fi
#endif
}
inline message(runnable) {
  task_barrier++;
  queue!task_barrier, runnable;
  wake_agent()
}

/* Scheduler::Settle and Pick. */
inline settle() {
  if
  :: (!blocked_in_run || should_wake) && running -> preempting = true
  :: (!blocked_in_run || should_wake) && !running -> /* PickAgent */
     should_wake = false;
     blocked_in_run = false;
     word_barrier = agent_barrier;
     if
     :: latched -> latched = false; message(true) /* TASK_PREEMPT, was_latched */
     :: else
     fi;
     parked = false
  :: else ->
     if
     :: latched && !running -> latched = false; running = true
     :: else
     fi
  fi
}

/* Every entry ends so. An agent that waits has nothing unread, or is on its way: it wants the CPU, and the task was asked
 * to go. And while it waits for nothing, a task that could run does. */
inline leave() {
  settle();
  assert(!latched || awake);
  assert(!(running && latched));
  assert(parked || !blocked_in_run);
  assert(parked || !running || preempting);
  assert(!parked || len(queue) == 0 || (running && preempting));
  assert(!parked || len(queue) > 0 || !awake || running || latched)
}

/* The task, and the driver's reports of it. */
active proctype Machine() {
end:
  do
  :: atomic { !awake && events < EVENTS -> /* TASK_NEW, TASK_WAKEUP */
       awake = true; events++; message(true); leave() }
  :: atomic { running && events < EVENTS -> /* TASK_BLOCKED */
       running = false; preempting = false; awake = false; events++; message(false); leave() }
  :: atomic { running && !preempting && events < EVENTS -> /* TASK_YIELD */
       running = false; events++; message(true); leave() }
  :: atomic { running && preempting -> /* TASK_PREEMPT, as it was asked to go */
       running = false; preempting = false;
#ifndef SILENT_PREEMPT
       message(true);
#endif
       leave() }
  :: atomic { events < EVENTS -> /* another task's wake-up, say */
       events++; queue!0, false; wake_agent(); leave() }
  od
}

active proctype Agent() {
  byte barrier;
  byte number;
  bool runnable;
  byte known_barrier = 0; /* of the task's last message */
  bool known_runnable = false;
end:
  do
  :: true ->
#ifndef LATE_BARRIER
     barrier = word_barrier;
#endif
     do
     :: atomic { queue?number, runnable ->
          if
          :: number != 0 -> known_barrier = number; known_runnable = runnable
          :: else
          fi }
     :: empty(queue) -> break
     od;
#ifdef LATE_BARRIER
     barrier = word_barrier;
#endif
     atomic {
       if
       :: known_runnable -> /* COMMIT_TXN on the own CPU */
          word_barrier = agent_barrier;
          if
          :: task_barrier != known_barrier -> skip /* TARGET_STALE */
          :: else ->
             if
#ifndef UNCHECKED_COMMIT
             :: agent_barrier != barrier -> skip /* AGENT_STALE */
             :: agent_barrier == barrier ->
#else
             :: true ->
#endif
                blocked_in_run = true;
                agent_barrier++;
                latched = true;
                parked = true;
                known_runnable = false
             fi
          fi
       :: else -> /* RUN(0) */
          word_barrier = agent_barrier;
          if
#ifndef UNCHECKED_YIELD
          :: agent_barrier != barrier -> skip /* ESTALE */
          :: agent_barrier == barrier ->
#else
          :: true ->
#endif
             blocked_in_run = true;
             parked = true
          fi
       fi;
       leave()
     };
end_parked:
     !parked /* the call returns */
  od
}

ltl heard { [] (len(queue) > 0 -> <> (len(queue) == 0)) }
