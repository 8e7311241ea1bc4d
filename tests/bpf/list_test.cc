// The lists of ghost_list.bpf.h, as they run in the kernel, against std::list on any operations.
#include "third_party/bpf/list_test.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>
#include <vector>

#include "gtest/gtest.h"
#include "rapidcheck.h"
#include "third_party/bpf/ghost_list.bpf.h"
// After the types of its variable.
#include "third_party/bpf/list_program.skel.h"

namespace {

using Model = std::array<std::list<uint32_t>, LIST_TEST_LISTS>;

class ListTest : public testing::Test {
 protected:
  void SetUp() override {
    program_ = list_program__open_and_load();
    ASSERT_NE(program_, nullptr) << "errno " << errno << ": run as root";
    lists_ = &program_->bss->list_test;
  }
  void TearDown() override { list_program__destroy(program_); }

  list_test_context Run(uint32_t operation, uint32_t list, uint32_t slot) {
    list_test_context context = {.operation = operation, .list = list, .slot = slot};
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof(context));
    RC_ASSERT(bpf_prog_test_run_opts(bpf_program__fd(program_->progs.run), &options) == 0);
    RC_ASSERT(options.retval == 0u);
    return context;
  }

  // One operation, on both.
  void Step(Model* model) {
    const auto slot = *rc::gen::inRange(0u, uint32_t{LIST_TEST_NODES});
    const auto list = *rc::gen::inRange(1u, uint32_t{LIST_TEST_LISTS});
    const uint32_t in = lists_->nodes[slot].list;
    if (*rc::gen::inRange(0, 4) == 0) {
      const uint32_t popped = Run(LIST_TEST_POP, list, 0).slot;
      RC_ASSERT(popped == ((*model)[list].empty() ? 0 : (*model)[list].front() + 1));
      if (popped != 0) (*model)[list].pop_front();
    } else if (in == 0 && *rc::gen::inRange(0, 8) != 0) {
      Run(LIST_TEST_APPEND, list, slot);
      (*model)[list].push_back(slot);
    } else {  // of one that is in none, too
      Run(LIST_TEST_REMOVE, 0, slot);
      (*model)[in].remove(slot);
    }
  }

  // Forwards and backwards.
  void Compare(const Model& model) {
    for (uint32_t number = 1; number < LIST_TEST_LISTS; ++number) {
      const ghost_list& list = lists_->lists[number];
      std::vector<uint32_t> forwards, backwards;
      for (uint32_t at = list.head; at != 0 && forwards.size() <= LIST_TEST_NODES; at = lists_->nodes[at - 1].next) {
        RC_ASSERT(lists_->nodes[at - 1].list == number);
        forwards.push_back(at - 1);
      }
      for (uint32_t at = list.tail; at != 0 && backwards.size() <= LIST_TEST_NODES; at = lists_->nodes[at - 1].prev) {
        backwards.push_back(at - 1);
      }
      RC_ASSERT(forwards == std::vector<uint32_t>(model[number].begin(), model[number].end()));
      RC_ASSERT(backwards == std::vector<uint32_t>(model[number].rbegin(), model[number].rend()));
      RC_ASSERT(list.count == forwards.size());
    }
    const auto in_lists = std::count_if(std::begin(lists_->nodes), std::end(lists_->nodes),
                                        [](const list_test_node& node) { return node.list != 0; });
    RC_ASSERT(static_cast<size_t>(in_lists) == model[1].size() + model[2].size() + model[3].size());
  }

  list_program* program_ = nullptr;
  list_test* lists_ = nullptr;
};

TEST_F(ListTest, AnyOperationsAreAsTheModels) {
  EXPECT_TRUE(rc::check("lists are std::lists", [this] {
    *lists_ = {};
    Model model;
    const int steps = *rc::gen::inRange(0, 400);
    for (int step = 0; step < steps; ++step) {
      Step(&model);
      Compare(model);
    }
  }));
}

}  // namespace
