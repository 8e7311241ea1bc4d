/* In-place upgrade: the old agent dies while the task sleeps and wakes; the new one finds out how the task is, and no
 * change of it is lost between the two queues.
 *
 * What it is: the new agent's side is discovery in lib/enclave.cc: read the task's status word, the barrier first, associate the
 * task with the own queue under that barrier (ASSOC_QUEUE), try again on ESTALE. The kernel's side is
 * Queues::Associate (core/queues.cc), Agents::OnExited and Become (core/agents.cc), StatusWord (core/status_words.cc:
 * the barrier goes up, then the flags change, two stores). What it is not: how agents wait (wakeup.pml).
 *
 * Mutants: UNCHECKED_ASSOC (the kernel does not compare the barrier), NO_RETRY (the new agent does not try again),
 * FLAGS_BEFORE_BARRIER (it reads the status word in the wrong order), KEEP_READY (a transaction of the old agent's
 * stays open when the CPU's agent changes).
 */
#ifndef EVENTS
#define EVENTS 4
#endif
#define NONE 0
#define OLD 1
#define NEW 2

/* Shared memory: the task's status word, the CPU's transaction, two queues (the old one's reader dies). */
byte word_barrier = 1;
bool word_runnable = true;
bool txn_ready = false;
byte txn_of = NONE;
chan queues[3] = [EVENTS + 2] of { byte, bool };

/* The kernel's own. */
byte task_barrier = 1;
bool runnable = true;
byte queue = OLD; /* of the task */
byte agent = OLD; /* of the CPU */
bool in_kernel = false;
byte events = 0;

bool handed_over = false;

inline enter() { atomic { !in_kernel -> in_kernel = true } }
inline leave() { in_kernel = false }

/* The task blocks and wakes. An entry is exclusive, but the agents see its stores one by one. */
active proctype Machine() {
  do
  :: events < EVENTS ->
     enter();
     events++;
     runnable = !runnable;
     /* The flags first, then the message with its barrier: who reads the barrier first reads flags at least as new. */
     word_runnable = runnable;
     task_barrier++;
     word_barrier = task_barrier;
     queues[queue]!task_barrier, runnable;
     leave()
  :: events >= EVENTS -> break
  od
}

active proctype OldAgent() {
  byte barrier;
  bool known;
  do
  :: queues[OLD]?barrier, known
  :: txn_of = OLD; txn_ready = true; break /* it opens a transaction, and is killed before it commits */
  :: break
  od;
  enter(); /* Agents::OnExited */
#ifndef KEEP_READY
  txn_ready = false; /* KillReady */
#endif
  agent = NONE;
  leave()
}

active proctype NewAgent() {
  byte barrier;
  byte seen;
  bool known;
  bool stale;
  agent == NONE;
  enter(); /* Agents::Become */
  assert(!(txn_ready && txn_of == OLD)); /* or the dead agent's choice would run */
  agent = NEW;
  leave();
  do
  :: true ->
#ifdef FLAGS_BEFORE_BARRIER
     known = word_runnable;
     barrier = word_barrier;
#else
     barrier = word_barrier;
     known = word_runnable;
#endif
     enter(); /* Queues::Associate */
     stale = task_barrier != barrier;
#ifdef UNCHECKED_ASSOC
     queue = NEW;
#else
     if
     :: !stale -> queue = NEW
     :: else
     fi;
#endif
     leave();
     if
     :: queue == NEW -> break
#ifdef NO_RETRY
     :: else -> break
#else
     :: else
#endif
     fi
  od;
  handed_over = true;
  seen = barrier;
  /* From now on it goes by its messages alone; none is missing, and at the end it knows the truth. */
  do
  :: queues[NEW]?barrier, known -> assert(barrier == seen + 1); seen = barrier
  :: events >= EVENTS && !in_kernel && empty(queues[NEW]) -> break
  od;
  assert(known == runnable && seen == task_barrier)
}

ltl arrives { <> handed_over }
