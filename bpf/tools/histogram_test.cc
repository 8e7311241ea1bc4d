#include "bpf/tools/histogram.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "third_party/bpf/sched_tool.h"

namespace ghost::tools {
namespace {

using ::testing::HasSubstr;

class HistogramTest : public testing::Test {
 protected:
  // As the programs do it.
  void Add(uint64_t ns) {
    const uint64_t value = ns + ((ns * HistogramScale(unit_)) >> 22);
    int slot = static_cast<int>(value);
    if (value >= 8) {
      const int exponent = 63 - __builtin_clzll(value);
      slot = ((exponent - 2) << 3) + static_cast<int>((value >> (exponent - 3)) & 7);
    }
    ++words_[0];
    words_[1] += ns;
    ++words_[2 + slot];
  }
  HistogramView View() const { return {words_, unit_}; }

  Unit unit_ = Unit::kUs;
  std::vector<uint64_t> words_ = std::vector<uint64_t>(2 + TOOL_SLOTS);
};

TEST_F(HistogramTest, EmptyIsOneLine) { EXPECT_EQ(View().Text("runs"), "runs: 0\n"); }

TEST_F(HistogramTest, SlotsStartWhereTheProgramsPutValues) {
  for (Unit unit : {Unit::kNs, Unit::kUs, Unit::kMs}) {
    for (int slot = 1; slot < TOOL_SLOTS; ++slot) {
      EXPECT_GT(HistogramView::SlotStartNs(slot, unit), HistogramView::SlotStartNs(slot - 1, unit)) << slot;
    }
  }
  EXPECT_EQ(HistogramView::SlotStartNs(8, Unit::kNs), 8);
  EXPECT_EQ(HistogramView::SlotStartNs(16, Unit::kNs), 16);
  EXPECT_NEAR(HistogramView::SlotStartNs(64, Unit::kUs), 1000, 0.1);  // 1 us: 2^10
}

TEST_F(HistogramTest, RowsBeginAtPowersOfTwoOfTheUnit) {
  for (uint64_t us : {0, 1, 3, 4, 7, 8}) Add(us * 1000 + 1);
  const Json json = View().ToJson();
  std::vector<std::vector<uint64_t>> rows;
  for (const Json& row : json["rows"]) rows.push_back({row["from_ns"], row["to_ns"], row["count"]});
  EXPECT_EQ(rows, (std::vector<std::vector<uint64_t>>{
                      {0, 1000, 1}, {1000, 2000, 1}, {2000, 4000, 1}, {4000, 8000, 2}, {8000, 16000, 1}}));
}

TEST_F(HistogramTest, PercentilesAreRightWithinAnEighth) {
  for (Unit unit : {Unit::kNs, Unit::kUs, Unit::kMs}) {
    unit_ = unit;
    words_.assign(words_.size(), 0);
    for (uint64_t value = 1; value <= 1000; ++value) Add(value * 1000);
    for (double p : {0.1, 0.5, 0.9, 0.99, 1.0}) {
      EXPECT_GE(View().PercentileNs(p), p * 1e6 * 0.99) << p;
      EXPECT_LE(View().PercentileNs(p), p * 1e6 * 1.13) << p;
    }
    EXPECT_NEAR(View().MeanNs(), 500'500, 1);
  }
}

TEST_F(HistogramTest, LongestValuesShareTheLastSlot) {
  ++words_[0];
  ++words_[2 + TOOL_SLOTS - 1];
  EXPECT_GT(View().PercentileNs(1), 2e12);
  EXPECT_THAT(View().Text("x"), HasSubstr("x: 1, "));
}

TEST_F(HistogramTest, TextHasARowPerPowerOfTwoAndABar) {
  for (int i = 0; i < 3; ++i) Add(5'000);
  Add(20'000);
  const std::string text = View().Text("runs");
  EXPECT_THAT(text, HasSubstr("runs: 4, mean 8.75 us, p50 "));
  EXPECT_THAT(text, HasSubstr("          4 .. 8                  3 |" + std::string(40, '#') + "|"));
  EXPECT_THAT(text, HasSubstr("          8 .. 16                 0 |" + std::string(40, ' ') + "|"));
}

TEST(UnitTest, ParsesWhatItNames) {
  for (Unit unit : {Unit::kNs, Unit::kUs, Unit::kMs}) EXPECT_EQ(ParseUnit(UnitName(unit)), unit);
  EXPECT_EQ(ParseUnit("s"), std::nullopt);
  EXPECT_EQ(ParseUnit(""), std::nullopt);
}

TEST(AddHistogramsTest, AddsWordByWord) {
  const std::vector<uint64_t> a = {1, 2}, b = {10, 20};
  std::vector<uint64_t> sum(2);
  AddHistograms(a, b, sum);
  EXPECT_EQ(sum, (std::vector<uint64_t>{11, 22}));
}

}  // namespace
}  // namespace ghost::tools
