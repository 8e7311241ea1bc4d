#include "schedulers/shinjuku/shinjuku_policy.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/plan_runner.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Reason = EnqueueReason;
using Place = ShinjukuPolicy::Place;

constexpr int64_t kSlice = 50'000;

class ShinjukuTest : public testing::Test {
 protected:
  explicit ShinjukuTest(const CpuSet& cpus = {1})
      : policy_({.cpus = cpus}, {.slice_ns = kSlice}), run_(&policy_, cpus) {}

  WorkHint Qos(uint32_t qos) { return {.qos = qos}; }
  void NewWithQos(int64_t id, uint32_t qos) {
    run_.New(id);
    run_.Hint(id, Qos(qos));
  }

  ShinjukuPolicy policy_;
  PlanRunner<ShinjukuPolicy> run_;
};

TEST_F(ShinjukuTest, NothingToDo) {
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::Infinite());
}

TEST_F(ShinjukuTest, HigherQosFirstThenInTheOrderOfComing) {
  NewWithQos(1, 1);
  NewWithQos(2, 7);
  NewWithQos(3, 1);
  NewWithQos(4, 7);
  run_.New(5);  // no hints: class 0
  EXPECT_THAT(run_.Order(1), ElementsAre(2, 4, 1, 3, 5));
}

TEST_F(ShinjukuTest, QosAbove63IsOneClass) {
  NewWithQos(1, 63);
  NewWithQos(2, UINT32_MAX);
  NewWithQos(3, 62);
  NewWithQos(4, 1000);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 2, 4, 3));
}

// What task 1 does after it ran for a while, and whether it then goes before task 2, who waits.
TEST_F(ShinjukuTest, WhoHasSomeOfHisTurnLeftGoesInFront) {
  struct Case {
    const char* name;
    void (*leave)(PlanRunner<ShinjukuPolicy>&);
    bool front;
  };
  const Case kCases[] = {
      {"woken", [](auto& run) { run.Block(1), run.Wake(1); }, true},
      {"woken by a timer", [](auto& run) { run.Block(1), run.Wake(1, Reason::kWokenDeferrable); }, true},
      {"preempted by the kernel", [](auto& run) { run.KernelPreempts(1); }, true},
      {"yields", [](auto& run) { run.Yield(1); }, false},
  };
  for (int64_t ran : {kSlice / 2, kSlice, kSlice * 2}) {
    for (const Case& c : kCases) {
      run_.New(1);
      run_.Pass();
      run_.New(2);
      run_.Advance(ran);
      c.leave(run_);
      const bool front = c.front && ran < kSlice;
      EXPECT_THAT(run_.Order(1), front ? ElementsAre(1, 2) : ElementsAre(2, 1)) << c.name << " after " << ran;
      run_.Exit(1);
      run_.Exit(2);
    }
  }
}

TEST_F(ShinjukuTest, WokenOnesKeepTheirOrderBehindWhoWasOnACpu) {
  for (int id : {1, 2, 3, 4}) run_.New(id);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 2, 3, 4));
  run_.New(5);
  run_.Pass();
  for (int id : {1, 2, 3}) run_.Wake(id);
  run_.KernelPreempts(5);
  run_.Wake(4);
  EXPECT_THAT(run_.Order(1), ElementsAre(5, 1, 2, 3, 4));
}

TEST_F(ShinjukuTest, TwoThatWakeEachOtherDoNotKeepACpuForEver) {
  for (int id : {1, 2, 3}) run_.New(id);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 2, 3));
  run_.Wake(3);
  run_.Wake(1);
  run_.Pass();
  run_.Yield(3);  // it waits at the back
  int64_t other = 2;
  int rounds = 0;
  for (run_.Pass(); run_.Running(1) != 3; run_.Pass()) {
    ASSERT_LT(++rounds, 100);
    const int64_t running = run_.Running(1);
    run_.Advance(kSlice / 10);
    run_.Wake(other);
    run_.Block(running);
    other = running;
  }
  EXPECT_GT(rounds, 10);
}

TEST_F(ShinjukuTest, EqualsTakeTurnsOfOneSlice) {
  for (int id : {1, 2, 3}) run_.New(id);
  for (int64_t id : {1, 2, 3, 1, 2, 3}) {
    run_.Pass();
    EXPECT_EQ(run_.Running(1), id);
    EXPECT_EQ(run_.look_again(), Time::FromNanoseconds(run_.now().ns() + kSlice));
    run_.Advance(kSlice - 1);
    EXPECT_EQ(run_.Pass(), 0);
    run_.Advance(1);
  }
}

TEST_F(ShinjukuTest, AloneInItsClassItRunsOn) {
  NewWithQos(1, 2);
  run_.New(2);
  EXPECT_EQ(run_.Pass(), 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run_.Pass(), 0);
    EXPECT_EQ(run_.Running(1), 1);
    EXPECT_EQ(run_.look_again(), Time::Infinite());
    run_.Advance(kSlice * 10);
  }
}

TEST_F(ShinjukuTest, AHigherClassTakesTheCpuAtOnceAndTheOtherGoesOnAfterwards) {
  run_.New(1);
  run_.New(2);
  run_.Pass();
  run_.Advance(kSlice / 2);
  NewWithQos(3, 1);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 3);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 2));
}

TEST_F(ShinjukuTest, ASliceThatChangesIsObeyedAtOnce) {
  ASSERT_TRUE(policy_.Tunables()[0]->Set("inf").ok());
  run_.New(1);
  run_.New(2);
  run_.Pass();
  run_.Advance(kSlice * 100);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::Infinite());
  ASSERT_TRUE(policy_.Tunables()[0]->Set("30us").ok());
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 2);
  EXPECT_FALSE(policy_.Tunables()[0]->Set("999ns").ok());
  EXPECT_FALSE(policy_.Tunables()[0]->Set("-1us").ok());
}

// -- Work --

TEST_F(ShinjukuTest, WithoutWorkItWaitsForNoCpu) {
  run_.New(1);
  run_.Hint(1, {.has_work = false});
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, {.has_work = false, .qos = 3});
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, {.has_work = true});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 1);
}

TEST_F(ShinjukuTest, WhoseWorkEndsLosesItsCpu) {
  run_.New(1);
  run_.Pass();
  run_.Hint(1, {.has_work = false});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(-1));
  EXPECT_EQ(run_.task(1)->place, Place::kPaused);
  // … to whoever waits, of whatever class.
  run_.Hint(1, {.has_work = true, .qos = 9});
  run_.Pass();
  run_.New(2);
  run_.Hint(1, {.has_work = false, .qos = 9});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(2));
}

TEST_F(ShinjukuTest, WorkThatComesBackInTimeKeepsTheCpu) {
  run_.New(1);
  run_.Pass();
  run_.Hint(1, {.has_work = false});
  run_.Hint(1, {.has_work = true});
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.Running(1), 1);
}

TEST_F(ShinjukuTest, WorkEndsWhileTheTaskSleepsOrIsOnItsWay) {
  run_.New(1);
  run_.Pass();
  run_.Block(1);
  run_.Hint(1, {.has_work = false});
  run_.Wake(1);
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, {.has_work = true});
  EXPECT_EQ(run_.Pass(), 1);
  // Planned, not yet running.
  run_.KernelPreempts(1);
  run_.plan().BeginPass(run_.now());
  policy_.Schedule(run_.plan());
  run_.Hint(1, {.has_work = false});
  run_.plan().SetIdle(1);
  policy_.Enqueue(run_.task(1), Reason::kCommitFailed, run_.now());
  EXPECT_EQ(run_.Pass(), 0);
}

TEST_F(ShinjukuTest, ACommitThatFailsChangesNothing) {
  run_.New(1);
  run_.Pass();
  run_.New(2);
  run_.New(3);
  run_.Advance(kSlice);
  run_.fail_commits = {1};
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 1);
  run_.fail_commits.Clear();
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Order(1), ElementsAre(3, 1));
  // Unscheduling fails too.
  run_.New(4);
  run_.Pass();
  run_.Hint(4, {.has_work = false});
  run_.fail_commits = {1};
  EXPECT_EQ(run_.Pass(), 1);
  run_.fail_commits.Clear();
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(-1));
}

TEST_F(ShinjukuTest, BetweenTwoPiecesOfWorkItMayBeSomebodyElsesTurn) {
  run_.New(1);
  run_.Pass();
  run_.Advance(kSlice - 1);
  run_.Hint(1, {.has_work = true});
  run_.New(2);
  run_.Advance(2);
  EXPECT_EQ(run_.Pass(), 0);  // nobody waited: a new slice has begun
  run_.Hint(1, {.has_work = true});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 2);
  // Not the turn of a lower class.
  NewWithQos(3, 5);
  run_.Pass();
  run_.Hint(3, {.has_work = true, .qos = 5});
  EXPECT_EQ(run_.Pass(), 0);
}

TEST_F(ShinjukuTest, RepeatingWorkKeepsItsCpuAmongEqualsOnly) {
  run_.New(1);
  run_.Hint(1, {.repeating = true, .period_ns = 1'000'000});
  run_.Pass();
  run_.New(2);
  run_.Advance(kSlice * 3);
  EXPECT_EQ(run_.Pass(), 0);
  NewWithQos(3, 1);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 3);
}

class RepeatingTest : public ShinjukuTest {
 protected:
  static constexpr int64_t kPeriod = 1'000'000;
  static WorkHint Repeating(bool has_work) { return {.has_work = has_work, .repeating = true, .period_ns = kPeriod}; }
  // Task 1 runs for a while and is done; its work comes anew a period later.
  void Park() {
    run_.New(1);
    run_.Hint(1, Repeating(true));
    run_.Pass();
    run_.Advance(1000);
    run_.Hint(1, Repeating(false));
    run_.Pass();
    ASSERT_EQ(run_.task(1)->place, Place::kParked);
  }
};

TEST_F(RepeatingTest, HasWorkAgainAPeriodAfterItRan) {
  for (int i = 0; i < 3; ++i) {
    if (i == 0) Park();
    run_.Pass();
    EXPECT_EQ(run_.look_again(), Time::FromNanoseconds(run_.now().ns() + kPeriod));
    run_.Advance(kPeriod - 1);
    EXPECT_EQ(run_.Pass(), 0);
    EXPECT_THAT(run_.TakeTold(), IsEmpty());
    run_.Advance(1);
    EXPECT_EQ(run_.Pass(), 1);
    EXPECT_THAT(run_.TakeTold(), ElementsAre(1));
    EXPECT_EQ(run_.Running(1), 1);
    run_.Advance(1000);
    run_.Hint(1, Repeating(false));
    run_.Pass();
  }
}

TEST_F(RepeatingTest, DiesDepartsOrSleepsWhileParked) {
  Park();
  run_.Exit(1);
  run_.Advance(2 * kPeriod);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_THAT(run_.TakeTold(), IsEmpty());
  Park();
  policy_.Dequeue(run_.task(1));
  run_.Advance(2 * kPeriod);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_THAT(run_.TakeTold(), IsEmpty());
  // Back, and still without work.
  policy_.Enqueue(run_.task(1), Reason::kWoken, run_.now());
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.TakeTold(), ElementsAre(1));
}

TEST_F(RepeatingTest, AnotherPeriodOrNoneWhileParked) {
  Park();
  const Time ran = run_.now();
  run_.Hint(1, {.has_work = false, .repeating = true, .period_ns = 10});
  run_.Pass();
  EXPECT_EQ(run_.look_again(), Time::FromNanoseconds(ran.ns() + 10));
  run_.Hint(1, {.has_work = false, .repeating = true, .period_ns = INT64_MAX});
  run_.Pass();
  EXPECT_EQ(run_.look_again(), Time::Infinite());
  run_.Hint(1, {.has_work = false});
  run_.Advance(2 * kPeriod);
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, Repeating(true));
  EXPECT_EQ(run_.Pass(), 1);
}

TEST_F(ShinjukuTest, DumpSaysWhereATaskStands) {
  const auto line = [&](int64_t id) {
    std::string text;
    policy_.Describe(*run_.task(id), &text);
    return text;
  };
  NewWithQos(1, 3);
  EXPECT_EQ(line(1), " qos 3, at the back, used 0 of its turn");
  run_.Pass();
  EXPECT_EQ(line(1), " qos 3, used 0 of its turn");
  run_.Advance(1000);
  run_.KernelPreempts(1);
  EXPECT_EQ(line(1), " qos 3, in front, used 1us of its turn");
  run_.Hint(1, {.has_work = false});
  EXPECT_EQ(line(1), " qos 0, no work, used 1us of its turn");
}

// -- Several CPUs --

class ShinjukuOnCpusTest : public ShinjukuTest {
 protected:
  ShinjukuOnCpusTest() : ShinjukuTest({1, 2, 3, 4}) {}
};

TEST_F(ShinjukuOnCpusTest, TheLowestClassLosesFirstAndOfItTheLongestRunning) {
  int64_t id = 0;
  for (uint32_t qos : {2, 1, 3, 1}) {
    NewWithQos(++id, qos);
    EXPECT_EQ(run_.Pass(), 1);
    run_.Advance(1);
  }
  // CPU 2's task is the oldest of class 1, the lowest.
  NewWithQos(100, 9);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(2), 100);
  for (int other : {101, 102, 103, 104}) NewWithQos(other, 3);
  EXPECT_EQ(run_.Pass(), 2);
  EXPECT_THAT(run_.Running(), ElementsAre(102, 100, 3, 101));
}

TEST_F(ShinjukuOnCpusTest, AffinityIsRespectedAndNobodyWaitsBeforeAFreeCpu) {
  run_.New(1, {2});
  run_.New(2, {2});
  run_.New(3, {2, 3});
  run_.New(4);
  EXPECT_EQ(run_.Pass(), 3);
  EXPECT_THAT(run_.Running(), ElementsAre(4, 1, 3, -1));
  run_.Advance(kSlice);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(4, 2, 3, -1));
  run_.SetAllowed(1, {1, 4});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(4, 2, 3, 1));
  run_.SetAllowed(2, {1});
  run_.SetAllowed(2, {1, 2});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(4, 2, 3, 1));
}

TEST_F(ShinjukuOnCpusTest, AHigherClassTakesOnlyACpuThatItMayUse) {
  NewWithQos(1, 5);
  run_.Pass();  // CPU 1
  for (int id : {2, 3, 4}) run_.New(id);
  run_.Pass();
  run_.New(5, {1});
  run_.Hint(5, Qos(5));
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::FromNanoseconds(run_.now().ns() + kSlice));
  run_.New(6, {1, 4});
  run_.Hint(6, Qos(5));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 2, 3, 6));
  run_.Advance(kSlice);
  EXPECT_EQ(run_.Pass(), 2);  // and it is the turn of 4, which waits since 6 came
  EXPECT_THAT(run_.Running(), ElementsAre(5, 4, 3, 6));
}

}  // namespace
}  // namespace ghost
