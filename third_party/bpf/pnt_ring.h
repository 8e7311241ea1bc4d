/* The PNT rings: tasks that a global agent offers to CPUs that would idle. Shared by the program (pnt_ring.bpf.c), its
 * twin in simulations (kernel/usermode/sim/pnt_twin.h) and the agent's side (lib/pnt_ring.h): the one global variable
 * of the program, a mapped array. Plain C with the kernel's types.
 *
 * A ring belongs to the CPUs of a NUMA node; a slot of it holds one task at a time. The slot's word says whose it is:
 *
 *     EMPTY --agent--> READY --program--> CLAIMED --program--> LATCHED --agent--> EMPTY
 *       ^                |                   |
 *       +----agent-------+                   +-----program---> FAILED ---agent--> EMPTY
 *
 * What makes it sure that one side gets the task is that both ways out of READY change the one word atomically. The
 * agent compares and swaps all of it. A program of Linux 5.11 has only an addition that does not tell what was there:
 * it adds PNT_CLAIM to a word that was READY, then looks. If it still is, the agent's next swap fails, and the task is
 * the program's; if it is not, the agent has been faster, and the program takes PNT_CLAIM off again. Until then the
 * agent cannot make the slot READY, which is a swap, too. Programs claim one at a time, under a lock of theirs.
 *
 * What else stands in the slot is written by the agent while it is EMPTY, and read by the program once it has CLAIMED
 * it. The agent may swap one READY for another, to change the order. Neither side waits for the other. */
#ifndef GHOST_THIRD_PARTY_BPF_PNT_RING_H_
#define GHOST_THIRD_PARTY_BPF_PNT_RING_H_

#include <linux/types.h>

#define PNT_SLOTS 64      /* of a ring; a power of two */
#define PNT_RINGS 8       /* a power of two; nodes beyond share them */
#define PNT_MAX_CPUS 1024 /* a power of two */
#define PNT_ATTEMPTS 4    /* tasks that one idle CPU tries */

enum pnt_status {
  PNT_EMPTY = 0,
  PNT_READY = 1,
  PNT_CLAIMED = 2,
  PNT_LATCHED = 3,
  PNT_FAILED = 4,
  PNT_CLAIM = 128, /* added by a program that tries to claim it */
};

/* Bits 0-7 the status, 8-23 the CPU (from CLAIMED on), 24-31 the errno (FAILED); 32-63 the order (READY, CLAIMED: the
 * lowest goes first; numbers wrap), or how many tasks that CPU has taken, this one included (LATCHED). */
#define PNT_WORD(status, cpu, high) ((__u64)(status) | (__u64)(cpu) << 8 | (__u64)(high) << 32)
#define PNT_ERROR(error) ((__u64)(error) << 24)
#define PNT_STATUS(word) ((__u32)((word)&0xff))
#define PNT_CPU(word) ((__u32)((word) >> 8 & 0xffff))
#define PNT_HIGH(word) ((__u32)((word) >> 32))

struct pnt_slot {
  __u64 word;
  __s64 gtid;
  __u32 barrier; /* the task's, as of its last message: if another has come since, the kernel refuses */
  __u32 unused;
  __u64 cpus[PNT_MAX_CPUS / 64]; /* where it may run: looked at before it is claimed, too, when it may be another's */
};

struct pnt_ring {
  struct pnt_slot slots[PNT_SLOTS];
};

struct pnt_cpu {
  __u32 ring;  /* + 1: from which it takes; 0: it takes nothing. The agent's */
  __u32 takes; /* tasks that it has taken. The program's */
};

struct pnt {
  __u32 active;    /* the agent's: programs do nothing while it is 0 */
  __u32 agent_cpu; /* whose agent is to be woken if a task could not be latched */
  struct pnt_cpu cpus[PNT_MAX_CPUS];
  struct pnt_ring rings[PNT_RINGS];
};

#endif /* GHOST_THIRD_PARTY_BPF_PNT_RING_H_ */
