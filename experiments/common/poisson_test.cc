#include "experiments/common/poisson.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

constexpr Time kStart = Time::FromNanoseconds(1'000'000'000'000);

// Kolmogorov and Smirnov's statistic against the exponential distribution of this mean, times the root of the number of
// samples. Above 1.95 the samples are of another distribution, with 99.9 % certainty.
constexpr double kReject = 1.95;
double KolmogorovSmirnov(std::vector<double> samples, double mean) {
  std::sort(samples.begin(), samples.end());
  const double n = static_cast<double>(samples.size());
  double distance = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double expected = 1 - std::exp(-samples[i] / mean);
    distance = std::max({distance, expected - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - expected});
  }
  return distance * std::sqrt(n);
}

std::vector<double> Gaps(double per_second, uint64_t seed, int count) {
  PoissonSchedule schedule(per_second, kStart, seed);
  std::vector<double> gaps;
  for (Time last = kStart; count > 0; --count, schedule.Advance()) {
    gaps.push_back(static_cast<double>(Time::NanosecondsBetween(last, schedule.next())));
    last = schedule.next();
  }
  return gaps;
}

TEST(PoissonScheduleTest, GapsAreExponential) {
  for (double per_second : {100.0, 20'000.0, 500'000.0}) {
    for (uint64_t seed : {1, 2, 3}) {
      EXPECT_LT(KolmogorovSmirnov(Gaps(per_second, seed, 100'000), 1e9 / per_second), kReject) << per_second;
    }
  }
}

TEST(PoissonScheduleTest, TheTestRejectsOtherGaps) {
  std::vector<double> gaps = Gaps(20'000, 1, 100'000);
  EXPECT_GT(KolmogorovSmirnov(gaps, 1.02 * 1e9 / 20'000), kReject) << "a rate that is 2 % off";
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0, 2 * 1e9 / 20'000);
  for (double& gap : gaps) gap = uniform(random);
  EXPECT_GT(KolmogorovSmirnov(gaps, 1e9 / 20'000), kReject) << "gaps of the same mean";
}

// A gap tells nothing of the next one.
TEST(PoissonScheduleTest, GapsAreIndependent) {
  const std::vector<double> gaps = Gaps(20'000, 4, 200'000);
  const double mean = 1e9 / 20'000;
  double covariance = 0;
  for (size_t i = 1; i < gaps.size(); ++i) covariance += (gaps[i] - mean) * (gaps[i - 1] - mean);
  const double correlation = covariance / (mean * mean * static_cast<double>(gaps.size()));
  EXPECT_LT(std::abs(correlation), 4 / std::sqrt(static_cast<double>(gaps.size())));
}

// At 70 M/s a gap is 14 ns: what is below a ns must not be lost.
TEST(PoissonScheduleTest, KeepsItsRateWhateverItIs) {
  for (double per_second : {1.0, 100.0, 500'000.0, 70'000'000.0}) {
    PoissonSchedule schedule(per_second, kStart, 7);
    constexpr int kCount = 1'000'000;
    for (int i = 0; i < kCount; ++i) schedule.Advance();
    const double seconds = absl::ToDoubleSeconds(schedule.next() - kStart);
    EXPECT_NEAR(seconds * per_second / kCount, 1, 4 / std::sqrt(kCount)) << per_second;
  }
}

TEST(PoissonScheduleTest, IsAFunctionOfItsSeed) {
  PoissonSchedule a(1000, kStart, 1), same(1000, kStart, 1), other(1000, kStart, 2);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(a.next(), same.next());
    differs |= a.next() != other.next();
    a.Advance();
    same.Advance();
    other.Advance();
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace ghost
