/* Shared by heap_test.bpf.c and its test: the heaps, and what a run is to do with them. */
#ifndef GHOST_THIRD_PARTY_BPF_HEAP_TEST_H_
#define GHOST_THIRD_PARTY_BPF_HEAP_TEST_H_

#include <linux/types.h>

#include "third_party/bpf/ghost_heap.bpf.h"

#define HEAP_TEST_NODES 65536

enum heap_test_operation {
  HEAP_TEST_INSERT = 1, /* slot, key, order */
  HEAP_TEST_REMOVE = 2, /* slot */
  HEAP_TEST_POP = 3,    /* out: slot + 1, or 0 */
  HEAP_TEST_MERGE = 4,
};

struct heap_test_context {
  __u32 operation;
  __u32 heap; /* 0 or 1 */
  __u32 slot;
  __u32 order;
  __u64 key;
};

struct heap_test {
  __u32 roots[2];
  struct ghost_heap_node nodes[HEAP_TEST_NODES];
};

#endif /* GHOST_THIRD_PARTY_BPF_HEAP_TEST_H_ */
