/* SPDX-License-Identifier: GPL-2.0 */
/* A CPU that would idle takes the first task of its NUMA node's ring (pnt_ring.h), and latches it with the barrier that
 * the agent has published with it. If a message about the task has come since, or the task can't run just then, the
 * slot says so, and the agent has the task back.
 *
 * It decides nothing else: an agent that is about to run, other classes, and what is latched already go first. */
#include "third_party/bpf/ghost.bpf.h"
#include "third_party/bpf/pnt_ring.h"

struct pnt pnt;

static __always_inline struct pnt_slot *slot_at(__u32 ring, __u32 slot) {
  return &pnt.rings[ring & (PNT_RINGS - 1)].slots[slot & (PNT_SLOTS - 1)];
}

static __always_inline int allows(struct pnt_slot *slot, __u32 cpu) {
  return *(volatile __u64 *)&slot->cpus[cpu >> 6 & (PNT_MAX_CPUS / 64 - 1)] >> (cpu & 63) & 1;
}

/* Slots + 1, 0 = none: `found`, or `slot` if that is READY, for this CPU, and goes first. Not in the loop: what a
 * function that is not static returns may be anything to the verifier, which then need not follow each way through 64
 * slots. */
__noinline __u32 first_of(__u32 ring, __u32 found, __u32 slot, __u32 cpu) {
  __u64 word = *(volatile __u64 *)&slot_at(ring, slot)->word;
  if (PNT_STATUS(word) != PNT_READY || !allows(slot_at(ring, slot), cpu)) return found;
  if (!found) return slot + 1;
  __u64 other = *(volatile __u64 *)&slot_at(ring, found - 1)->word;
  if (PNT_STATUS(other) == PNT_READY && (__s32)(PNT_HIGH(word) - PNT_HIGH(other)) >= 0) return found;
  return slot + 1;
}

/* The slot of the first in order that may run there + 1; 0: there is none. */
__noinline __u32 first_ready(__u32 ring, __u32 cpu) {
  __u32 found = 0;
  for (__u32 i = 0; i < PNT_SLOTS; ++i) found = first_of(ring, found, i, cpu);
  return found;
}

/* 1: what the slot holds is this CPU's. */
__noinline int claim(__u32 ring, __u32 number, __u32 cpu) {
  volatile __u64 *word = &slot_at(ring, number)->word;
  int claimed = 0;
  GHOST_LOCK();
  if (PNT_STATUS(*word) == PNT_READY) {
    __sync_fetch_and_add(word, PNT_CLAIM);
    __u64 now = *word;
    if (PNT_STATUS(now) == (PNT_READY | PNT_CLAIM)) {
      *word = PNT_WORD(PNT_CLAIMED, cpu, PNT_HIGH(now));
      claimed = 1;
    } else {
      __sync_fetch_and_add(word, -(__u64)PNT_CLAIM);
    }
  }
  GHOST_UNLOCK();
  return claimed;
}

/* 1: it is latched. */
__noinline int take(__u32 ring, __u32 number, __u32 cpu) {
  if (!claim(ring, number, cpu)) return 0;
  struct pnt_slot *slot = slot_at(ring, number);
  struct pnt_cpu *its = &pnt.cpus[cpu & (PNT_MAX_CPUS - 1)];
  volatile __u64 *word = &slot->word;
  long error = -EINVAL;
  if (allows(slot, cpu)) error = bpf_ghost_run_gtid(slot->gtid, slot->barrier, 0);
  if (!error) {
    __u32 takes = its->takes + 1; /* only this CPU's program writes it */
    *(volatile __u32 *)&its->takes = takes;
    *word = PNT_WORD(PNT_LATCHED, cpu, takes);
    return 1;
  }
  *word = PNT_WORD(PNT_FAILED, cpu, 0) | PNT_ERROR(-error & 0xff);
  /* It may sleep, and not every error is one of which a message tells. */
  bpf_ghost_wake_agent(pnt.agent_cpu);
  return 0;
}

SEC(GHOST_SEC_PNT)
int pnt_pick(struct bpf_ghost_sched *ctx) {
  if (!pnt.active || ctx->agent_runnable || ctx->might_yield || ctx->next_gtid) return 0;
  __u32 cpu = ghost_cpu();
  __u32 ring = cpu < PNT_MAX_CPUS ? pnt.cpus[cpu & (PNT_MAX_CPUS - 1)].ring : 0;
  if (!ring) return 0;
  for (int i = 0; i < PNT_ATTEMPTS; ++i) {
    __u32 found = first_ready(ring - 1, cpu);
    if (!found || take(ring - 1, found - 1, cpu)) return 0;
  }
  return 0;
}

GHOST_LICENSE;
