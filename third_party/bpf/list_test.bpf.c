// SPDX-License-Identifier: GPL-2.0
// The lists of ghost_list.bpf.h by themselves, one operation a run, for their test.
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "third_party/bpf/ghost_list.bpf.h"
#include "third_party/bpf/list_test.h"

struct list_test list_test;

#define NODE(slot) (&list_test.nodes[(slot) & (LIST_TEST_NODES - 1)])
#define LIST(number) (&list_test.lists[(number) & (LIST_TEST_LISTS - 1)])
GHOST_LIST(list, NODE, LIST)

SEC("syscall")
int run(struct list_test_context *ctx) {
  switch (ctx->operation) {
    case LIST_TEST_APPEND:
      list_append(ctx->list, ctx->slot);
      return 0;
    case LIST_TEST_REMOVE:
      list_remove(ctx->slot);
      return 0;
    case LIST_TEST_POP:
      ctx->slot = LIST(ctx->list)->head;
      if (ctx->slot) list_remove(ctx->slot - 1);
      return 0;
  }
  return -1;
}

char _license[] SEC("license") = "GPL";
