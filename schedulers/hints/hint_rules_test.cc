#include "schedulers/hints/hint_rules.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(HintRulesTest, WhatIsWrittenIsTold) {
  const struct sched_item item = {.wcid = 3, .flags = SCHED_ITEM_RUNNABLE, .deadline = 5'000};
  const struct work_class work_class = {
      .id = 3, .flags = WORK_CLASS_REPEATING, .qos = 7, .exectime = 2'000, .period = 10'000};
  const WorkHint hint = ToWorkHint(item, &work_class, 0);
  EXPECT_TRUE(hint.has_work);
  EXPECT_TRUE(hint.repeating);
  EXPECT_EQ(hint.qos, 7u);
  EXPECT_EQ(hint.work_class, 3u);
  EXPECT_EQ(hint.deadline, Time::FromNanoseconds(5'000));
  EXPECT_EQ(hint.exec_ns, 2'000);
  EXPECT_EQ(hint.period_ns, 10'000);
}

TEST(HintRulesTest, OneShotWorkHasNoPeriod) {
  const struct work_class work_class = {.flags = WORK_CLASS_ONESHOT, .period = 10'000};
  const WorkHint hint = ToWorkHint({}, &work_class, 0);
  EXPECT_FALSE(hint.has_work);
  EXPECT_FALSE(hint.repeating);
  EXPECT_EQ(hint.period_ns, 0);
}

TEST(HintRulesTest, TimesAreBroughtIntoRange) {
  const auto period = [](uint64_t ns) {
    const struct work_class work_class = {.flags = WORK_CLASS_REPEATING, .period = ns};
    return ToWorkHint({}, &work_class, 0);
  };
  EXPECT_FALSE(period(0).repeating);
  EXPECT_EQ(period(1).period_ns, kMinPeriodNs);
  EXPECT_EQ(period(UINT64_MAX).period_ns, kMaxHintNs);
  EXPECT_EQ(period(uint64_t{INT64_MAX} + 1).period_ns, kMaxHintNs);
  const struct work_class longest = {.exectime = UINT64_MAX};
  EXPECT_EQ(ToWorkHint({}, &longest, 0).exec_ns, kMaxHintNs);
}

TEST(HintRulesTest, AClassThatIsNone) {
  const struct sched_item item = {.wcid = UINT32_MAX, .flags = SCHED_ITEM_RUNNABLE, .deadline = 9};
  const WorkHint hint = ToWorkHint(item, nullptr, 0);
  EXPECT_TRUE(hint.has_work);
  EXPECT_EQ(hint.work_class, 0u);
  EXPECT_EQ(hint.qos, 0u);
  EXPECT_FALSE(hint.repeating);
  EXPECT_EQ(hint.deadline, Time::FromNanoseconds(9));
}

TEST(HintRulesTest, Deadlines) {
  const auto deadline = [](uint64_t ns, int64_t ahead = 0) {
    const struct sched_item item = {.deadline = ns};
    return ToWorkHint(item, nullptr, ahead).deadline;
  };
  EXPECT_EQ(deadline(0), Time::Infinite());
  EXPECT_EQ(deadline(1), Time::FromNanoseconds(1));
  EXPECT_EQ(deadline(kFirstWallClockNs, 500), Time::FromNanoseconds(kFirstWallClockNs));
  EXPECT_EQ(deadline(INT64_MAX), Time::Infinite());
  EXPECT_EQ(deadline(UINT64_MAX), Time::Infinite());
  // By the wall clock, which is ahead of the machine's by so much.
  constexpr int64_t kAhead = 1'700'000'000'000'000'000;
  EXPECT_EQ(deadline(kAhead + 77, kAhead), Time::FromNanoseconds(77));
  EXPECT_EQ(deadline(kFirstWallClockNs + 1, kAhead), Time());  // long before it was booted
  EXPECT_EQ(deadline(INT64_MAX - 1, INT64_MIN), Time::Infinite());
}

}  // namespace
}  // namespace ghost
