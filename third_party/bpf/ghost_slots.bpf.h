/* SPDX-License-Identifier: GPL-2.0 */
/* Slots: where a scheduler keeps what it knows of a task, found by the task's gtid.
 *
 *     #define GHOST_MAX_SLOTS 65536
 *     #include "third_party/bpf/ghost_slots.bpf.h"
 *     TASK_NEW:  __u32 found = ghost_claim_slot(msg);    any other message: ghost_find_slot(msg->dead.gtid)
 *     if (!found) …; slot = found - 1; …                 the end: ghost_free_slot(gtid)
 *
 * A slot is the number of the task's status word, so that the kernel hands them out, and two tasks have the same one
 * only after each other. All of these look up in a map: not between GHOST_LOCK and GHOST_UNLOCK. */
#ifndef GHOST_THIRD_PARTY_BPF_GHOST_SLOTS_BPF_H_
#define GHOST_THIRD_PARTY_BPF_GHOST_SLOTS_BPF_H_

#include "third_party/bpf/ghost.bpf.h"

#ifndef GHOST_MAX_SLOTS
#error "GHOST_MAX_SLOTS: how many"
#endif

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, GHOST_MAX_SLOTS);
  __type(key, __s64);
  __type(value, __u32);
} slots SEC(".maps");

/* + 1; 0: none is known by that gtid. */
__noinline __u32 ghost_find_slot(__s64 gtid) {
  __u32 *slot = bpf_map_lookup_elem(&slots, &gtid);
  return slot ? *slot + 1 : 0;
}

/* The slot + 1 of who arrives by this TASK_NEW; it is found from now on. 0: there is no room, or the status word is of
 * another region than the first, which has as many as a scheduler knows. */
static __always_inline __u32 ghost_claim_slot(struct bpf_ghost_msg *msg) {
  __s64 gtid = msg->newt.gtid;
  __u32 slot = msg->newt.sw_info.index;
  if (msg->newt.sw_info.id != 0 || slot >= GHOST_MAX_SLOTS) return 0;
  return bpf_map_update_elem(&slots, &gtid, &slot, BPF_ANY) ? 0 : slot + 1;
}

static __always_inline void ghost_free_slot(__s64 gtid) { bpf_map_delete_elem(&slots, &gtid); }

#endif /* GHOST_THIRD_PARTY_BPF_GHOST_SLOTS_BPF_H_ */
