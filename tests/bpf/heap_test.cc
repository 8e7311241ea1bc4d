// The heap of ghost_heap.bpf.h, as it runs in the kernel, against a set on random operations: the same order, also of
// equal keys, and a leftist heap after each of many steps.
#include "third_party/bpf/heap_test.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "third_party/bpf/ghost_heap.bpf.h"
// After the types of its variable.
#include "third_party/bpf/heap_program.skel.h"

namespace {

class HeapTest : public testing::Test {
 protected:
  void SetUp() override {
    program_ = heap_program__open_and_load();
    ASSERT_NE(program_, nullptr) << "errno " << errno << ": run as root";
    heap_ = &program_->bss->heap_test;
  }
  void TearDown() override { heap_program__destroy(program_); }

  // What is inserted is the latest of all: orders wrap on the way.
  heap_test_context Run(uint32_t operation, uint32_t heap, uint32_t slot = 0, uint64_t key = 0) {
    const uint32_t order = operation == HEAP_TEST_INSERT ? order_++ : 0;
    heap_test_context context = {.operation = operation, .heap = heap, .slot = slot, .order = order, .key = key};
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof(context));
    EXPECT_EQ(bpf_prog_test_run_opts(bpf_program__fd(program_->progs.run), &options), 0);
    EXPECT_EQ(options.retval, 0u);
    return context;
  }

  // Walks it: order, ranks, leftist shape, parents. Returns the number of nodes.
  size_t Check(uint32_t heap) {
    size_t count = 0;
    std::vector<uint32_t> to_see;
    if (heap_->roots[heap] != 0) {
      EXPECT_EQ(Node(heap_->roots[heap]).parent, 0u);
      to_see.push_back(heap_->roots[heap]);
    }
    while (!to_see.empty() && count <= HEAP_TEST_NODES) {
      const uint32_t at = to_see.back();
      to_see.pop_back();
      ++count;
      uint32_t ranks[2] = {0, 0};
      const uint32_t children[2] = {Node(at).left, Node(at).right};
      for (int side = 0; side < 2; ++side) {
        if (children[side] == 0) continue;
        const ghost_heap_node& child = Node(children[side]);
        EXPECT_EQ(child.parent, at);
        const auto further = static_cast<int64_t>(child.key - Node(at).key);
        EXPECT_TRUE(further > 0 || (further == 0 && static_cast<int32_t>(child.order - Node(at).order) > 0));
        ranks[side] = child.rank;
        to_see.push_back(children[side]);
      }
      EXPECT_GE(ranks[0], ranks[1]);
      EXPECT_EQ(Node(at).rank, ranks[1] + 1);
    }
    return count;
  }
  const ghost_heap_node& Node(uint32_t link) { return heap_->nodes[link - 1]; }

  heap_program* program_ = nullptr;
  uint32_t order_ = uint32_t{0} - 5000;
  heap_test* heap_ = nullptr;
};

TEST_F(HeapTest, RandomOperationsAreAsTheModels) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 4; ++round) {
    using Place = std::pair<uint64_t, int>;                         // the key, and the step in which it came
    std::set<std::pair<Place, uint32_t>> model[2];                  // … with the slot
    std::vector<std::pair<int, Place>> nodes(1000, {-1, {0, 0}});   // by slot: its heap
    const uint64_t range = round % 2 == 0 ? 20 : 1'000'000;         // many equal keys, or hardly any
    const uint64_t base = round < 2 ? 0 : uint64_t{0} - range / 2;  // … and keys that wrap
    for (int step = 0; step < 20'000; ++step) {
      const auto heap = static_cast<uint32_t>(random() % 2);
      const auto slot = static_cast<uint32_t>(random() % nodes.size());
      if (nodes[slot].first < 0) {
        const uint64_t offset = random() % range;
        Run(HEAP_TEST_INSERT, heap, slot, base + offset);
        nodes[slot] = {static_cast<int>(heap), {offset, step}};
        model[heap].insert({nodes[slot].second, slot});
      } else if (random() % 2 == 0) {
        Run(HEAP_TEST_REMOVE, static_cast<uint32_t>(nodes[slot].first), slot);
        model[nodes[slot].first].erase({nodes[slot].second, slot});
        nodes[slot].first = -1;
      } else if (random() % 500 == 0) {
        Run(HEAP_TEST_MERGE, heap);
        model[heap].merge(model[1 - heap]);
        for (auto& node : nodes) node.first = node.first < 0 ? -1 : static_cast<int>(heap);
      } else {
        const uint32_t popped = Run(HEAP_TEST_POP, heap).slot;
        ASSERT_EQ(popped == 0, model[heap].empty());
        if (popped == 0) continue;
        ASSERT_EQ(popped - 1, model[heap].begin()->second) << "step " << step;
        model[heap].erase(model[heap].begin());
        nodes[popped - 1].first = -1;
      }
      if (step % 97 == 0) {
        ASSERT_EQ(Check(0), model[0].size());
        ASSERT_EQ(Check(1), model[1].size());
      }
    }
    for (uint32_t heap : {0u, 1u}) {
      while (Run(HEAP_TEST_POP, heap).slot != 0) {
      }
    }
  }
}

// Full, in orders that make the deepest trees: ascending, descending, and random.
TEST_F(HeapTest, AllNodesInOneHeap) {
  std::mt19937_64 random(3);
  for (int order = 0; order < 3; ++order) {
    for (uint32_t slot = 0; slot < HEAP_TEST_NODES; ++slot) {
      Run(HEAP_TEST_INSERT, 0, slot, order == 0 ? slot : order == 1 ? HEAP_TEST_NODES - slot : random() % 100'000);
    }
    ASSERT_EQ(Check(0), size_t{HEAP_TEST_NODES});
    uint64_t last = 0;
    for (uint32_t left = HEAP_TEST_NODES; left > 0; --left) {
      // Some from the middle, by their slots.
      const uint32_t popped = Run(HEAP_TEST_POP, 0).slot;
      ASSERT_NE(popped, 0u);
      ASSERT_GE(heap_->nodes[popped - 1].key, last);
      last = heap_->nodes[popped - 1].key;
    }
    ASSERT_EQ(heap_->roots[0], 0u);
  }
}

}  // namespace
