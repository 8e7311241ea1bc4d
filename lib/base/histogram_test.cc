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

TEST(HistogramTest, PercentilesAreWithinAnEighth) {
  Histogram histogram;
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
    EXPECT_LE(found - exact, exact / 8 + 1) << p;
  }
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.count(), values.size());
}

TEST(HistogramTest, TheGreatestValueFits) {
  Histogram histogram;
  histogram.Add(UINT64_MAX);
  EXPECT_EQ(histogram.Percentile(0.5), UINT64_MAX);
}

}  // namespace
}  // namespace ghost
