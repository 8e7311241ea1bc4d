#include "lib/base/logging.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(Check, PassesWithoutEvaluatingTheMessage) {
  int evaluated = 0;
  GHOST_CHECK(true) << ++evaluated;
  EXPECT_EQ(evaluated, 0);
}

TEST(CheckDeathTest, SaysWhereAndWhat) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(GHOST_CHECK(1 + 1 == 3) << "cpu " << 7, "logging_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3 cpu 7");
}

TEST(Check, IsOneStatementUnderAnIf) {
  bool other_branch = false;
  if (false)
    GHOST_CHECK(false);
  else
    other_branch = true;
  EXPECT_TRUE(other_branch);
}

}  // namespace
}  // namespace ghost
