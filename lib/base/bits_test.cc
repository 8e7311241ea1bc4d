#include "lib/base/bits.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(BitsTest, LowestAndHighestOfOneAndOfAll) {
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(LowestBit(uint64_t{1} << bit), bit);
    EXPECT_EQ(HighestBit(uint64_t{1} << bit), bit);
    EXPECT_EQ(LowestBit(~uint64_t{0} << bit), bit);
    EXPECT_EQ(HighestBit(~uint64_t{0} >> bit), 63 - bit);
  }
}

}  // namespace
}  // namespace ghost
