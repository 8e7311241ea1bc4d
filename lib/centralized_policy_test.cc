#include "lib/centralized_policy.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/task.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct TestTask : TaskBase {};

Time At(int64_t ns) { return Time::FromNanoseconds(ns); }

std::vector<int> Busy(const Plan<TestTask>& plan) {
  std::vector<int> cpus;
  for (int cpu = plan.FirstBusy(); cpu >= 0; cpu = plan.NextBusy(cpu)) cpus.push_back(cpu);
  return cpus;
}

class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    for (int cpu : {1, 2, 3}) plan_.SetIdle(cpu);
  }
  void Run(int cpu, TestTask* task, Time since) {
    plan_.SetUnavailable(cpu);
    plan_.SetBusy(cpu, task, since);
  }

  Plan<TestTask> plan_{4};
  TestTask a_, b_, c_;
};

TEST_F(PlanTest, KeepsBusyCpusInTheOrderInWhichTheyGotTheirTasks) {
  Run(3, &a_, At(10));
  Run(1, &b_, At(20));
  Run(2, &c_, At(30));
  EXPECT_THAT(Busy(plan_), ElementsAre(3, 1, 2));
  EXPECT_TRUE(plan_.idle().empty());
  Run(3, &b_, At(40));
  EXPECT_THAT(Busy(plan_), ElementsAre(1, 2, 3));
  plan_.SetIdle(2);
  plan_.SetUnavailable(1);
  EXPECT_THAT(Busy(plan_), ElementsAre(3));
  EXPECT_EQ(plan_.idle(), CpuSet({2}));
  EXPECT_EQ(plan_.current(3), &b_);
  EXPECT_EQ(plan_.since(3), At(40));
  EXPECT_EQ(plan_.current(2), nullptr);
  EXPECT_TRUE(plan_.IsBusy(3));
  EXPECT_FALSE(plan_.IsBusy(2));
  plan_.SetUnavailable(3);
  EXPECT_FALSE(plan_.IsBusy(3));
  EXPECT_THAT(Busy(plan_), IsEmpty());
}

TEST_F(PlanTest, WhatIsPlannedIsNeitherIdleNorBusy) {
  Run(3, &a_, At(10));
  Run(2, &b_, At(20));
  plan_.BeginPass(At(100));
  EXPECT_TRUE(plan_.Assign(1, &c_));
  TestTask d;
  EXPECT_TRUE(plan_.Assign(3, &d));
  plan_.Unschedule(2);
  EXPECT_FALSE(plan_.IsBusy(3));
  EXPECT_TRUE(plan_.idle().empty());
  EXPECT_THAT(Busy(plan_), IsEmpty());
  EXPECT_THAT(plan_.planned_cpus(), ElementsAre(1, 3, 2));
  EXPECT_EQ(plan_.planned(1), &c_);
  EXPECT_EQ(plan_.planned(3), &d);
  EXPECT_EQ(plan_.current(3), &a_);
  EXPECT_EQ(plan_.planned(2), nullptr);
  EXPECT_EQ(plan_.current(2), &b_);
  EXPECT_THAT(plan_.deferred(), IsEmpty());

  plan_.BeginPass(At(200));
  EXPECT_THAT(plan_.planned_cpus(), IsEmpty());
  EXPECT_EQ(plan_.now(), At(200));
}

TEST_F(PlanTest, WhoIsToBeToldOfWorkIsForgottenWithThePass) {
  plan_.BeginPass(At(100));
  plan_.SetHasWork(&b_);
  plan_.SetHasWork(&a_);
  EXPECT_THAT(plan_.have_work(), ElementsAre(&b_, &a_));
  plan_.BeginPass(At(200));
  EXPECT_THAT(plan_.have_work(), IsEmpty());
}

TEST_F(PlanTest, TheEarliestWishToLookAgainCounts) {
  plan_.BeginPass(At(100));
  EXPECT_EQ(plan_.look_again(), Time::Infinite());
  plan_.LookAgain(At(500));
  plan_.LookAgain(At(300));
  plan_.LookAgain(At(400));
  EXPECT_EQ(plan_.look_again(), At(300));
  plan_.BeginPass(At(200));
  EXPECT_EQ(plan_.look_again(), Time::Infinite());
}

}  // namespace
}  // namespace ghost
