#include "experiments/antagonist/soak_budget.h"

#include <functional>

#include "gtest/gtest.h"

namespace ghost {
namespace {

constexpr int64_t kPeriodNs = 100'000;
constexpr int64_t kStartNs = 5'000'000'000;

// A worker on a CPU of which it gets what `gets` says, whose timer is late by `late_ns`.
class Worker {
 public:
  explicit Worker(double work_share, int64_t late_ns = 0)
      : late_ns_(late_ns), budget_({.work_share = work_share, .period_ns = kPeriodNs}, kStartNs, cpu_ns_) {}

  // Goes on for so long; the share of it that it used.
  double ShareOf(int64_t duration_ns) {
    const int64_t end_ns = now_ns_ + duration_ns, before_ns = cpu_ns_, start_ns = now_ns_;
    while (now_ns_ < end_ns) {
      const SoakBudget::Step step = budget_.Next(now_ns_, cpu_ns_);
      EXPECT_NE(step.compute_ns > 0, step.sleep_until_ns > 0);
      EXPECT_LE(step.compute_ns, kPeriodNs);
      if (step.compute_ns > 0) {
        now_ns_ += step.compute_ns;
        cpu_ns_ += static_cast<int64_t>(gets * static_cast<double>(step.compute_ns));
      } else {
        EXPECT_GT(step.sleep_until_ns, now_ns_);
        EXPECT_LE(step.sleep_until_ns, now_ns_ + (1 + SoakBudget::kLongestSleep) * kPeriodNs);
        now_ns_ = step.sleep_until_ns + late_ns_;
        cpu_ns_ += sleep_costs_ns;
      }
    }
    return static_cast<double>(cpu_ns_ - before_ns) / static_cast<double>(now_ns_ - start_ns);
  }
  void StandStill(int64_t ns) { now_ns_ += ns; }

  double gets = 1;
  int64_t sleep_costs_ns = 0;  // of CPU time

 private:
  const int64_t late_ns_;
  int64_t now_ns_ = kStartNs;
  int64_t cpu_ns_ = 7'000'000;  // what it had used before
  SoakBudget budget_;
};

TEST(SoakBudget, UsesItsShareAndNoMore) {
  for (double share : {0.0, 0.1, 0.5, 0.93, 1.0}) {
    EXPECT_NEAR(Worker(share).ShareOf(1000 * kPeriodNs), share, 0.002) << share;
  }
}

TEST(SoakBudget, InEachPeriodAnew) {
  Worker worker(0.3);
  for (int i = 0; i < 100; ++i) EXPECT_NEAR(worker.ShareOf(kPeriodNs), 0.3, 0.001);
}

TEST(SoakBudget, ALateTimerCostsNothing) {
  EXPECT_NEAR(Worker(0.5, /*late_ns=*/60'000).ShareOf(1000 * kPeriodNs), 0.5, 0.005);
  // Even one that is later than a period is long.
  EXPECT_NEAR(Worker(0.5, /*late_ns=*/230'000).ShareOf(1000 * kPeriodNs), 0.5, 0.01);
}

TEST(SoakBudget, CpuTimeThatSleepingTakesIsUsedUp) {
  for (int64_t costs_ns : {5'000, 19'000, 50'000}) {
    Worker worker(0.1);
    worker.sleep_costs_ns = costs_ns;
    EXPECT_NEAR(worker.ShareOf(10'000 * kPeriodNs), 0.1, 0.001) << costs_ns;
  }
}

TEST(SoakBudget, OnlyCpuTimeIsUsedUp) {
  Worker worker(0.4);
  worker.gets = 0.5;  // it shares its CPU: it computes for longer, and gets its share all the same
  EXPECT_NEAR(worker.ShareOf(1000 * kPeriodNs), 0.4, 0.002);
  worker.gets = 0.25;  // … while it can: here it always computes
  EXPECT_NEAR(worker.ShareOf(1000 * kPeriodNs), 0.25, 0.005);
}

TEST(SoakBudget, NoRevengeAfterALongWait) {
  Worker worker(0.5);
  worker.StandStill(1000 * kPeriodNs);
  // It may catch up with ten periods' worth of half a period, no more.
  EXPECT_NEAR(worker.ShareOf(10 * kPeriodNs), 1.0, 0.01);
  EXPECT_NEAR(worker.ShareOf(100 * kPeriodNs), 0.5, 0.02);
}

TEST(SoakBudget, AFullShareNeverSleeps) {
  SoakBudget budget({.work_share = 1.0, .period_ns = kPeriodNs}, kStartNs, 0);
  for (int64_t i = 0; i < 100; ++i) EXPECT_GT(budget.Next(kStartNs + i * 12'345, i * 12'345).compute_ns, 0);
}

TEST(SoakBudget, NoShareAlwaysSleeps) {
  SoakBudget budget({.work_share = 0, .period_ns = kPeriodNs}, kStartNs, 0);
  for (int64_t i = 0; i < 100; ++i) EXPECT_GT(budget.Next(kStartNs + i * 12'345, 0).sleep_until_ns, 0);
}

}  // namespace
}  // namespace ghost
