// The core under random events, requests and corruption (chaos.h).
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "kernel/usermode/core/chaos.h"

namespace ghost::usermode {
namespace {

class RandomTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(RandomTest, HoldsItsInvariants) {
  std::mt19937 random(GetParam());
  Chaos chaos([&random](uint32_t limit) { return limit == 0 ? random() : random() % limit; }, GetParam() % 4 == 0);
  for (int step = 0; step < 4000; ++step) chaos.Step();
  chaos.End();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTest, ::testing::Range(1u, 41u));

}  // namespace
}  // namespace ghost::usermode
