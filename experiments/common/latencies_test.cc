#include "experiments/common/latencies.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(LatenciesTest, NoneAreZeros) {
  const Latencies latencies;
  EXPECT_EQ(latencies.count(), 0u);
  EXPECT_EQ(latencies.min_ns(), 0u);
  EXPECT_EQ(latencies.max_ns(), 0u);
  EXPECT_EQ(latencies.mean_ns(), 0u);
  EXPECT_EQ(latencies.percentile_ns(0.99), 0u);
}

TEST(LatenciesTest, ANegativeOneIsZero) {
  Latencies latencies;
  latencies.Add(-3);
  EXPECT_EQ(latencies.count(), 1u);
  EXPECT_EQ(latencies.max_ns(), 0u);
}

// Latencies as they come: exponential around 40 us, and one in a thousand of seconds.
TEST(LatenciesTest, PercentilesAreWithinOnePercentAndTheRestIsExact) {
  std::mt19937_64 random(1);
  std::exponential_distribution<double> usual(1 / 40e3), rare(1 / 5e9);
  std::vector<uint64_t> values;
  Latencies parts[3];
  uint64_t sum = 0;
  for (int i = 0; i < 200'000; ++i) {
    values.push_back(static_cast<uint64_t>(i % 1000 == 0 ? rare(random) : usual(random)));
    parts[i % 3].Add(static_cast<int64_t>(values.back()));
    sum += values.back();
  }
  Latencies all;
  for (const Latencies& part : parts) all.Merge(part);
  std::sort(values.begin(), values.end());
  EXPECT_EQ(all.count(), values.size());
  EXPECT_EQ(all.min_ns(), values.front());
  EXPECT_EQ(all.max_ns(), values.back());
  EXPECT_EQ(all.sum_ns(), sum);
  EXPECT_EQ(all.mean_ns(), sum / values.size());
  for (double p : {0.001, 0.5, 0.9, 0.99, 0.995, 0.999, 0.9999, 1.0}) {
    const size_t rank = static_cast<size_t>(std::ceil(p * static_cast<double>(values.size())));
    const double exact = static_cast<double>(values[rank - 1]);
    const double told = static_cast<double>(all.percentile_ns(p));
    EXPECT_GE(told, exact) << p;
    EXPECT_LE(told, exact * 1.01) << p;
  }
}

// Few values must not look better than they are: the one slow request of ten is among their slowest per cent.
TEST(LatenciesTest, RanksAreRoundedUp) {
  Latencies latencies;
  for (int i = 1; i <= 10; ++i) latencies.Add(i);
  EXPECT_EQ(latencies.percentile_ns(0), 1u);
  EXPECT_EQ(latencies.percentile_ns(0.1), 1u);
  EXPECT_EQ(latencies.percentile_ns(0.11), 2u);
  EXPECT_EQ(latencies.percentile_ns(0.5), 5u);
  EXPECT_EQ(latencies.percentile_ns(0.9), 9u);
  EXPECT_EQ(latencies.percentile_ns(0.91), 10u);
  EXPECT_EQ(latencies.percentile_ns(0.99), 10u);
  EXPECT_EQ(latencies.percentile_ns(1), 10u);
}

TEST(LatenciesTest, PercentilesAreNeverBelowTheSmallest) {
  Latencies latencies;
  latencies.Add(1'000'003);
  EXPECT_EQ(latencies.percentile_ns(0), 1'000'003u);
  EXPECT_EQ(latencies.percentile_ns(1), 1'000'003u);
}

// Memory is bounded: this is all there is, whatever is added.
TEST(LatenciesTest, Size) { EXPECT_LE(sizeof(Latencies), 64u * 1024); }

}  // namespace
}  // namespace ghost
