/* SPDX-License-Identifier: GPL-2.0 */
/* A priority queue for BPF: a leftist heap whose nodes stand in an array, linked by their numbers.
 *
 *     struct ghost_heap_node nodes[65536];                 // in the program's global variable; number = slot
 *     #define MY_NODE(slot) (&my.nodes[(slot) & 65535])
 *     GHOST_HEAP(my_heap, MY_NODE)
 *     my_heap_insert(&root, slot, key, order); … slot_plus_1 = my_heap_first(root); my_heap_remove(&root, slot);
 *
 * Any number of heaps may share the nodes (one for each CPU); a node is in one at most, and a heap is the number + 1 of
 * its root, 0 when it is empty. insert, remove (of any node) and merge take O(log n) steps in the worst case, not only
 * on average: a verifier wants bounds, and 65,536 nodes mean 17 at most for each of two right spines. Of equal keys the
 * one with the smaller `order` is first: a number that grows with each insertion makes it the one that came first. Both
 * are compared by the sign of their difference, so that they may wrap.
 *
 * Functions are inlined and call nothing, so that they may stand between GHOST_LOCK and GHOST_UNLOCK. */
#ifndef GHOST_THIRD_PARTY_BPF_GHOST_HEAP_BPF_H_
#define GHOST_THIRD_PARTY_BPF_GHOST_HEAP_BPF_H_

#include <linux/types.h>

/* The longest right spine of a heap of 65,536 nodes: 2^17 - 1 nodes are the least that have one of 17. */
#define GHOST_HEAP_RANKS 17

/* Links are numbers + 1, 0 = none. `rank`: how far it is to the nearest place for a child, 1 for a leaf. */
struct ghost_heap_node {
  __u64 key;
  __u32 left;
  __u32 right;
  __u32 parent;
  __u32 rank; /* 0: in no heap */
  __u32 order;
  __u32 unused;
};

#define GHOST_HEAP(name, node_at)                                                                             \
  /* Of two nodes in heaps, whether the first comes before the second. */                                     \
  static __always_inline int name##_before(__u32 a, __u32 b) {                                                \
    __s64 difference = node_at(a - 1)->key - node_at(b - 1)->key;                                             \
    return difference < 0 || (difference == 0 && (__s32)(node_at(a - 1)->order - node_at(b - 1)->order) < 0); \
  }                                                                                                           \
  /* Puts a node's children in order and sets its rank; returns its parent. */                                \
  static __always_inline __u32 name##_level(__u32 at) {                                                       \
    struct ghost_heap_node *node = node_at(at - 1);                                                           \
    __u32 left = node->left, right = node->right;                                                             \
    __u32 left_rank = left ? node_at(left - 1)->rank : 0;                                                     \
    __u32 right_rank = right ? node_at(right - 1)->rank : 0;                                                  \
    if (right_rank > left_rank) {                                                                             \
      node->left = right;                                                                                     \
      node->right = left;                                                                                     \
      right_rank = left_rank;                                                                                 \
    }                                                                                                         \
    node->rank = right_rank + 1;                                                                              \
    return node->parent;                                                                                      \
  }                                                                                                           \
  /* Of two heaps one; both are gone. */                                                                      \
  static __always_inline __u32 name##_merge(__u32 a, __u32 b) {                                               \
    __u32 root = 0, last = 0;                                                                                 \
    for (int i = 0; i < 2 * GHOST_HEAP_RANKS; ++i) {                                                          \
      if (!a || !b) break;                                                                                    \
      if (name##_before(b, a)) {                                                                              \
        __u32 swapped = a;                                                                                    \
        a = b;                                                                                                \
        b = swapped;                                                                                          \
      }                                                                                                       \
      node_at(a - 1)->parent = last;                                                                          \
      if (last) {                                                                                             \
        node_at(last - 1)->right = a;                                                                         \
      } else {                                                                                                \
        root = a;                                                                                             \
      }                                                                                                       \
      last = a;                                                                                               \
      a = node_at(a - 1)->right;                                                                              \
    }                                                                                                         \
    __u32 rest = a ? a : b;                                                                                   \
    if (!last) return rest;                                                                                   \
    node_at(last - 1)->right = rest;                                                                          \
    if (rest) node_at(rest - 1)->parent = last;                                                               \
    for (int i = 0; i < 2 * GHOST_HEAP_RANKS; ++i) {                                                          \
      if (!last) break;                                                                                       \
      last = name##_level(last);                                                                              \
    }                                                                                                         \
    return root;                                                                                              \
  }                                                                                                           \
  static __always_inline void name##_insert(__u32 *root, __u32 slot, __u64 key, __u32 order) {                \
    struct ghost_heap_node *node = node_at(slot);                                                             \
    node->key = key;                                                                                          \
    node->order = order;                                                                                      \
    node->left = 0;                                                                                           \
    node->right = 0;                                                                                          \
    node->parent = 0;                                                                                         \
    node->rank = 1;                                                                                           \
    *root = name##_merge(*root, slot + 1);                                                                    \
  }                                                                                                           \
  /* The node, which must be in this heap, is in none. */                                                     \
  static __always_inline void name##_remove(__u32 *root, __u32 slot) {                                        \
    struct ghost_heap_node *node = node_at(slot);                                                             \
    __u32 parent = node->parent, left = node->left, right = node->right;                                      \
    if (left) node_at(left - 1)->parent = 0;                                                                  \
    if (right) node_at(right - 1)->parent = 0;                                                                \
    __u32 heir = name##_merge(left, right);                                                                   \
    if (heir) node_at(heir - 1)->parent = parent;                                                             \
    node->rank = 0;                                                                                           \
    if (!parent) {                                                                                            \
      *root = heir;                                                                                           \
      return;                                                                                                 \
    }                                                                                                         \
    if (node_at(parent - 1)->left == slot + 1) {                                                              \
      node_at(parent - 1)->left = heir;                                                                       \
    } else {                                                                                                  \
      node_at(parent - 1)->right = heir;                                                                      \
    }                                                                                                         \
    /* Ranks that change grow by one a step, so that there are few. */                                        \
    for (int i = 0; i < GHOST_HEAP_RANKS + 1; ++i) {                                                          \
      if (!parent) break;                                                                                     \
      __u32 before = node_at(parent - 1)->rank;                                                               \
      __u32 next = name##_level(parent);                                                                      \
      if (node_at(parent - 1)->rank == before) break;                                                         \
      parent = next;                                                                                          \
    }                                                                                                         \
  }                                                                                                           \
  /* The slot + 1 of the one with the smallest key, 0 if there is none. */                                    \
  static __always_inline __u32 name##_first(__u32 root) { return root; }                                      \
  static __always_inline int name##_contains(__u32 slot) { return node_at(slot)->rank != 0; }

#endif /* GHOST_THIRD_PARTY_BPF_GHOST_HEAP_BPF_H_ */
