/* SPDX-License-Identifier: GPL-2.0 */
/* Queues for BPF: lists whose nodes stand in an array, linked by their numbers, so that no queue is ever full.
 *
 *     struct my_task { …; __u32 list; __u32 next; __u32 prev; } tasks[65536];  // in the program's global variable
 *     #define MY_TASK(slot) (&my.tasks[(slot) & 65535])                        // number = slot
 *     #define MY_LIST(number) (&my.lists[(number) & 1023])                     // of struct ghost_list; 0 is none
 *     GHOST_LIST(my_list, MY_TASK, MY_LIST)
 *     my_list_append(number, slot); … slot_plus_1 = MY_LIST(number)->head; my_list_remove(slot);
 *
 * A node is in one list at most, and knows in which: `list`, 0 for none. Both operations take the same time whatever
 * the length. For an order by keys see ghost_heap.bpf.h.
 *
 * Functions are inlined and call nothing, so that they may stand between GHOST_LOCK and GHOST_UNLOCK. */
#ifndef GHOST_THIRD_PARTY_BPF_GHOST_LIST_BPF_H_
#define GHOST_THIRD_PARTY_BPF_GHOST_LIST_BPF_H_

#include <linux/types.h>

/* Links, here and in nodes, are slots + 1, 0 = none. */
struct ghost_list {
  __u32 head;
  __u32 tail;
  __u32 count;
};

#define GHOST_LIST(name, node_at, list_at)                              \
  /* The node, which is in no list, becomes the last of this one. */    \
  static __always_inline void name##_append(__u32 number, __u32 slot) { \
    struct ghost_list *list = list_at(number);                          \
    node_at(slot)->list = number;                                       \
    node_at(slot)->next = 0;                                            \
    node_at(slot)->prev = list->tail;                                   \
    if (list->tail) {                                                   \
      node_at(list->tail - 1)->next = slot + 1;                         \
    } else {                                                            \
      list->head = slot + 1;                                            \
    }                                                                   \
    list->tail = slot + 1;                                              \
    list->count++;                                                      \
  }                                                                     \
  /* The node is in no list, wherever it was. */                        \
  static __always_inline void name##_remove(__u32 slot) {               \
    __u32 number = node_at(slot)->list;                                 \
    __u32 next = node_at(slot)->next, prev = node_at(slot)->prev;       \
    struct ghost_list *list = list_at(number);                          \
    if (!number) return;                                                \
    if (prev) {                                                         \
      node_at(prev - 1)->next = next;                                   \
    } else {                                                            \
      list->head = next;                                                \
    }                                                                   \
    if (next) {                                                         \
      node_at(next - 1)->prev = prev;                                   \
    } else {                                                            \
      list->tail = prev;                                                \
    }                                                                   \
    list->count--;                                                      \
    node_at(slot)->list = 0;                                            \
  }

#endif /* GHOST_THIRD_PARTY_BPF_GHOST_LIST_BPF_H_ */
