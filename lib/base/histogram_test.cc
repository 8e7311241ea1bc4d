#include "lib/base/histogram.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(HistogramTest, EmptyHasNoPercentiles) {
  Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Percentile(0.5), 0u);
}

TEST(HistogramTest, SmallValuesAreExact) {
  Histogram histogram;
  for (uint64_t value = 0; value < 8; ++value) histogram.Add(value);
  EXPECT_EQ(histogram.Percentile(0), 0u);
  EXPECT_EQ(histogram.Percentile(0.5), 3u);
  EXPECT_EQ(histogram.Percentile(1), 7u);
}

template <int kSubBits>
void CheckPercentiles() {
  BasicHistogram<kSubBits> histogram;
  std::vector<uint64_t> values;
  uint64_t value = 1;
  for (int i = 0; i < 10'000; ++i) {
    value = value * 6364136223846793005u + 1442695040888963407u;
    values.push_back(value >> (i % 64));
    histogram.Add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double p : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const uint64_t exact = values[static_cast<size_t>(p * static_cast<double>(values.size() - 1))];
    const uint64_t found = histogram.Percentile(p);
    EXPECT_GE(found, exact) << p;
    EXPECT_LE(found - exact, exact >> kSubBits) << p;
  }
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.count(), values.size());
}

TEST(HistogramTest, PercentilesAreWithinAnEighth) { CheckPercentiles<3>(); }
TEST(HistogramTest, MoreSubBitsArePrecise) { CheckPercentiles<7>(); }

TEST(HistogramTest, MergedIsAsIfAllHadBeenAddedToOne) {
  Histogram a, b, both;
  for (uint64_t value = 1; value < 1'000'000; value = value * 3 + 1) {
    (value % 2 == 0 ? a : b).Add(value);
    both.Add(value);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.max(), both.max());
  for (double p : {0.0, 0.3, 0.5, 0.9, 1.0}) EXPECT_EQ(a.Percentile(p), both.Percentile(p)) << p;
  a.Merge(Histogram());
  EXPECT_EQ(a.count(), both.count());
}

TEST(HistogramTest, TheGreatestValueFits) {
  Histogram histogram;
  histogram.Add(UINT64_MAX);
  EXPECT_EQ(histogram.Percentile(0.5), UINT64_MAX);
}

}  // namespace
}  // namespace ghost
