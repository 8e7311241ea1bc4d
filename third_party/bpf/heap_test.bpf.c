// SPDX-License-Identifier: GPL-2.0
// The heap of ghost_heap.bpf.h by itself, one operation a run, for its test.
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "third_party/bpf/ghost_heap.bpf.h"
#include "third_party/bpf/heap_test.h"

struct heap_test heap_test;

#define NODE(slot) (&heap_test.nodes[(slot) & (HEAP_TEST_NODES - 1)])
GHOST_HEAP(heap, NODE)

__noinline int insert(__u32 which, __u32 slot, __u64 key, __u32 order) {
  heap_insert(&heap_test.roots[which & 1], slot & (HEAP_TEST_NODES - 1), key, order);
  return 0;
}

__noinline int take_out(__u32 which, __u32 slot) {
  heap_remove(&heap_test.roots[which & 1], slot & (HEAP_TEST_NODES - 1));
  return 0;
}

SEC("syscall")
int run(struct heap_test_context *ctx) {
  __u32 *root = &heap_test.roots[ctx->heap & 1];
  switch (ctx->operation) {
    case HEAP_TEST_INSERT:
      return insert(ctx->heap, ctx->slot, ctx->key, ctx->order);
    case HEAP_TEST_REMOVE:
      return take_out(ctx->heap, ctx->slot);
    case HEAP_TEST_POP:
      ctx->slot = heap_first(*root);
      return ctx->slot ? take_out(ctx->heap, ctx->slot - 1) : 0;
    case HEAP_TEST_MERGE: /* the other one into this one */
      *root = heap_merge(*root, heap_test.roots[~ctx->heap & 1]);
      heap_test.roots[~ctx->heap & 1] = 0;
      return 0;
  }
  return -1;
}

char _license[] SEC("license") = "GPL";
