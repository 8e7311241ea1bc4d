#include "schedulers/flux/flux_tree.h"

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ghost {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(FluxTree, NumbersStandInTheOrderOfTheText) {
  absl::StatusOr<FluxTree> tree = FluxTree::Parse(" roci( roci(biff,biff) , biff, idle )");
  ASSERT_TRUE(tree.ok()) << tree.status();
  ASSERT_EQ(tree->size(), 6);
  EXPECT_THAT(tree->node(1).children, ElementsAre(2, 5, 6));
  EXPECT_THAT(tree->node(2).children, ElementsAre(3, 4));
  EXPECT_EQ(tree->node(3).parent, 2);
  EXPECT_FALSE(tree->is_leaf(2));
  EXPECT_TRUE(tree->is_leaf(6));
  EXPECT_EQ(tree->PathOf(1), "roci");
  EXPECT_EQ(tree->PathOf(4), "roci/roci/biff2");
  EXPECT_EQ(tree->PathOf(5), "roci/biff");
}

TEST(FluxTree, StoresWhatTheProgramsGoBy) {
  auto state = std::make_unique<flux>();
  FluxTree::Parse("roci(prov:3(biff, biff), idle)")->Store(state.get());
  EXPECT_EQ(state->idle, 5u);
  EXPECT_EQ(state->scheds[1].type, uint32_t{FLUX_TYPE_roci});
  EXPECT_EQ(state->scheds[1].child[1], 5u);
  EXPECT_EQ(state->scheds[1].child[2], 0u);
  EXPECT_EQ(state->scheds[2].type, uint32_t{FLUX_TYPE_prov});
  EXPECT_EQ(state->scheds[2].limit, 3u);
  EXPECT_EQ(state->scheds[1].limit, 0u);
  EXPECT_EQ(state->scheds[4].parent, 2u);
  EXPECT_EQ(state->scheds[4].path, 1u << 1 | 1u << 2 | 1u << 4);
}

TEST(FluxTree, ABranchHasItsLimitFromItsTypeIfNoneIsGiven) {
  EXPECT_EQ(FluxTree::Parse("prov(biff, idle)")->node(1).limit, 1u);
  EXPECT_EQ(FluxTree::Parse("prov : 2 (biff, idle)")->node(1).limit, 2u);
}

TEST(FluxTree, WrongOnesAreRefusedWithTheReason) {
  struct Case {
    const char* text;
    const char* reason;
  };
  for (const Case& wrong : {
           Case{"", "expected one of biff"},
           Case{"biff", "last child must be idle"},
           Case{"roci", "'(' and the children of roci"},
           Case{"roci()", "expected one of"},
           Case{"roci(biff)", "roci has 2 to 4 children"},
           Case{"roci(biff, biff)", "last child must be idle"},
           Case{"roci(idle, idle)", "idle runs no threads"},
           Case{"roci(biff, idle, biff, idle)", "idle runs no threads"},
           Case{"roci(roci(biff, idle), idle)", "idle runs no threads"},
           Case{"roci:2(biff, idle)", "roci takes no number"},
           Case{"roci(biff:1, idle)", "biff takes no number"},
           Case{"prov:0(biff, idle)", "a number from 1 on at '0(biff"},
           Case{"prov:(biff, idle)", "a number from 1 on"},
           Case{"prov:99999999999(biff, idle)", "a number from 1 on"},
           Case{"prov:-1(biff, idle)", "a number from 1 on"},
           Case{"roci(biff, idle", "',' or ')'"},
           Case{"roci(biff, idle))", "nothing more"},
           Case{"roci(biff idle)", "',' or ')'"},
           Case{"roci(biff(idle), idle)", "',' or ')'"},
           Case{"roci(nosuch, idle)", "at 'nosuch, idle)'"},
           Case{"roci(biff, biff, biff, biff, idle)", "2 to 4 children"},
           Case{"roci(roci(roci(roci(biff, biff), biff), biff), idle)", "no node below"},
           Case{"roci(roci(biff,biff,biff,biff),roci(biff,biff,biff,biff),roci(biff,biff,biff,biff),idle)",
                "at most 15 nodes"},
       }) {
    const absl::StatusOr<FluxTree> tree = FluxTree::Parse(wrong.text);
    ASSERT_FALSE(tree.ok()) << wrong.text;
    EXPECT_THAT(tree.status().message(), HasSubstr(wrong.reason)) << wrong.text;
  }
}

}  // namespace
}  // namespace ghost
