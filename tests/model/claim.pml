/* One outcome for a transaction: the state word between the agent that opens it and may abort it, and the kernel that
 * may commit it at any moment.
 *
 * What it is: the word of kernel/ghost_uapi.h (READY, claimed, final) with RunRequest::Open, Abort and Finish
 * (lib/run_request.h) on one side; Committer::Claim, Publish, CommitAsync and KillReady (core/committer.cc) on the
 * other. A greedy transaction, so that the commit is not a call of the agent's. Two agent threads may want the word,
 * as the members of a sync group do: RunRequest::TakeOwnership, and the owner that a successful group commit clears.
 * What it is not: what a commit decides (wakeup.pml).
 *
 * Mutants: CLAIM_WITHOUT_CAS, ABORT_WITHOUT_CAS (test, then set), EARLY_OPEN (READY before the fields),
 * OWNER_WITHOUT_CAS, EARLY_OWNER_RELEASE (the kernel clears the owner before it has published the outcome).
 */
mtype = { IDLE, READY, CLAIMED, DONE, NO_AGENT, ABORTED };

#define NOBODY 0
#ifndef ROUNDS
#define ROUNDS 2 /* transactions per agent thread */
#endif

mtype state = IDLE;
byte owner = NOBODY; /* sync_group_owner */
byte target = 0;     /* stands for all fields; the kernel copies it once it has claimed */
byte whole = 0;      /* which transaction the fields are whole for */

/* What happened to the transaction that is open. */
byte serial = 0;
byte outcomes = 0;
byte finished = 0;

inline outcome() { outcomes++; assert(outcomes == 1) }

proctype Agent(byte me) {
  byte round = 0;
  byte mine;
  do
  :: round < ROUNDS ->
     round++;
     /* TakeOwnership, spinning. */
#ifdef OWNER_WITHOUT_CAS
     owner == NOBODY;
     owner = me;
#else
     atomic { owner == NOBODY -> owner = me };
#endif
     assert(state != READY && state != CLAIMED); /* the last one is finished: its fields may be written */
     atomic { serial++; mine = serial; outcomes = 0 };
#ifdef EARLY_OPEN
     state = READY;
     target = mine;
     whole = mine;
#else
     target = mine;
     whole = mine;
     state = READY; /* release */
#endif
     /* Finish: waits, or loses its patience. */
     do
     :: state != READY && state != CLAIMED -> break
     :: state == READY ->
#ifdef ABORT_WITHOUT_CAS
        state = ABORTED;
        outcome();
        break
#else
        atomic {
          if
          :: state == READY -> state = ABORTED; outcome(); break
          :: else /* the kernel was faster */
          fi
        }
#endif
     od;
     assert(serial == mine && outcomes == 1);
     if
     :: owner == me -> owner = NOBODY /* ReleaseOwnership; after a success the kernel has done it */
     :: else
     fi
  :: round >= ROUNDS -> break
  od;
  finished++
}

/* CommitAsync, or KillReady when the CPU's agent changes; one thread, as often as there is something to claim. */
active proctype Core() {
  byte copy;
  mtype verdict;
end:
  do
  :: state == READY ->
#ifdef CLAIM_WITHOUT_CAS
     state = CLAIMED;
#else
     atomic {
       if
       :: state == READY -> state = CLAIMED
       :: else -> goto end
       fi
     };
#endif
     copy = target;
     assert(copy == serial && whole == serial); /* never half of one, never of another */
     if
     :: verdict = DONE
     :: verdict = NO_AGENT
     fi;
     outcome();
#ifdef EARLY_OWNER_RELEASE
     owner = NOBODY;
     state = verdict
#else
     state = verdict /* release */
#endif
  od
}

init { atomic { run Agent(1); run Agent(2) } }

ltl all_finish { <> (finished == 2) }
