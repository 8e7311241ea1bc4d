/* Shared by list_test.bpf.c and its test: the lists, and what a run is to do with them. */
#ifndef GHOST_THIRD_PARTY_BPF_LIST_TEST_H_
#define GHOST_THIRD_PARTY_BPF_LIST_TEST_H_

#include <linux/types.h>

#include "third_party/bpf/ghost_list.bpf.h"

#define LIST_TEST_NODES 64
#define LIST_TEST_LISTS 4 /* number 0 is none */

enum list_test_operation {
  LIST_TEST_APPEND = 1, /* list, slot */
  LIST_TEST_REMOVE = 2, /* slot */
  LIST_TEST_POP = 3,    /* list; out: slot + 1, or 0 */
};

struct list_test_context {
  __u32 operation;
  __u32 list;
  __u32 slot;
};

struct list_test_node {
  __u32 list;
  __u32 next;
  __u32 prev;
};

struct list_test {
  struct ghost_list lists[LIST_TEST_LISTS];
  struct list_test_node nodes[LIST_TEST_NODES];
};

#endif /* GHOST_THIRD_PARTY_BPF_LIST_TEST_H_ */
