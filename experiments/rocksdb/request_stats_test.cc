#include "experiments/rocksdb/request_stats.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

Time At(int64_t ns) { return Time::FromNanoseconds(ns); }

Request Sample(RequestKind kind, int64_t arrival) {
  return {.kind = kind,
          .arrival = At(arrival),
          .received = At(arrival + 1000),
          .assigned = At(arrival + 1030),
          .started = At(arrival + 1230),
          .finished = At(arrival + 11'230)};
}

TEST(RequestStatsTest, StagesAddUp) {
  const StageTimes times = TimesOf(Sample(RequestKind::kGet, 5'000'000));
  EXPECT_EQ(times, (StageTimes{1000, 30, 200, 10'000, 11'230}));
  EXPECT_EQ(times[0] + times[1] + times[2] + times[3], times[4]);
}

TEST(RequestStatsTest, KindsAreApartAndTogether) {
  RequestStats stats({});
  EXPECT_EQ(stats.of(RequestKind::kGet), nullptr);
  for (int i = 0; i < 9; ++i) stats.Add(Sample(RequestKind::kGet, 1'000'000));
  EXPECT_EQ(stats.of(RequestKind::kRange), nullptr);
  stats.Add(Sample(RequestKind::kRange, 1'000'000));
  EXPECT_EQ(stats.count(), 10u);
  for (int i = 0; i < kNumStages; ++i) {
    EXPECT_EQ((*stats.of(RequestKind::kGet))[i].count(), 9u);
    EXPECT_EQ((*stats.of(RequestKind::kRange))[i].count(), 1u);
    EXPECT_EQ((*stats.all())[i].count(), 10u);
  }
  EXPECT_EQ((*stats.all())[4].max_ns(), 11'230u);
}

TEST(RequestStatsTest, WhatArrivedInTheDiscardedTimeDoesNotCount) {
  RequestStats stats({.measure_from = At(2'000'000), .samples = true});
  stats.Add(Sample(RequestKind::kGet, 1'999'999));  // though it was finished in the measured one
  EXPECT_EQ(stats.count(), 0u);
  stats.Add(Sample(RequestKind::kGet, 2'000'000));
  EXPECT_EQ(stats.count(), 1u);
  EXPECT_EQ(stats.samples().size(), 1u);
}

TEST(RequestStatsTest, Merged) {
  RequestStats a({}), b({.samples = true}), all({});
  a.Add(Sample(RequestKind::kGet, 10));
  b.Add(Sample(RequestKind::kRange, 20));
  b.Add(Sample(RequestKind::kGet, 30));
  all.Merge(a);
  all.Merge(b);
  EXPECT_EQ(all.count(), 3u);
  EXPECT_EQ((*all.of(RequestKind::kRange))[0].count(), 1u);
  ASSERT_EQ(all.samples().size(), 2u);
  EXPECT_EQ(all.samples()[1].arrival, At(30));
  EXPECT_EQ(all.samples()[1].times, TimesOf(Sample(RequestKind::kGet, 30)));
}

// An hour of requests costs what a second costs.
TEST(RequestStatsTest, SamplesAreKeptOnRequestOnly) {
  RequestStats stats({});
  for (int i = 0; i < 1'000'000; ++i) stats.Add(Sample(RequestKind::kGet, i));
  EXPECT_EQ(stats.count(), 1'000'000u);
  EXPECT_EQ(stats.samples().capacity(), 0u);
}

}  // namespace
}  // namespace ghost
