#include "lib/base/testing/instruction_counter.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

void Loop(int turns) {
  for (int i = 0; i < turns; ++i) asm volatile("");
}

TEST(InstructionCounter, GrowsWithTheWork) {
  auto counter = InstructionCounter::Open();
  if (!counter.has_value()) GTEST_SKIP() << "this machine has no instruction counter (perf_event_open)";
  const int64_t start = counter->Read();
  Loop(1'000);
  const int64_t small = counter->Read() - start;
  Loop(100'000);
  const int64_t large = counter->Read() - start - small;
  EXPECT_GE(small, 1'000);
  EXPECT_GE(large, 100'000);
}

}  // namespace
}  // namespace ghost
