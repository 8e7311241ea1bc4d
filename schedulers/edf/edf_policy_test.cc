#include "schedulers/edf/edf_policy.h"

#include <cstdint>
#include <numeric>
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
using Place = EdfPolicy::Place;

class EdfTest : public testing::Test {
 protected:
  explicit EdfTest(const CpuSet& cpus = {1}, const EdfPolicy::Options& options = {})
      : policy_({.cpus = cpus}, options), run_(&policy_, cpus) {}

  // Deadlines are told from now on, in ns.
  WorkHint Deadline(int64_t ns, uint32_t qos = 0, int64_t exec_ns = 0) {
    return {.qos = qos, .deadline = Time::FromNanoseconds(run_.now().ns() + ns), .exec_ns = exec_ns};
  }
  void NewWith(int64_t id, const WorkHint& hint) {
    run_.New(id);
    run_.Hint(id, hint);
  }

  WorkStatistics statistics_;  // of the class of tests that give it to their hints
  EdfPolicy policy_;
  PlanRunner<EdfPolicy> run_;
};

TEST_F(EdfTest, NothingToDo) {
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::Infinite());
}

TEST_F(EdfTest, EarliestDeadlineFirstWithinAQualityOfService) {
  NewWith(1, Deadline(300));
  NewWith(2, Deadline(100));
  NewWith(3, Deadline(900, 1));
  NewWith(4, Deadline(200));
  NewWith(5, Deadline(900, UINT32_MAX));
  NewWith(6, Deadline(800, 1));
  EXPECT_THAT(run_.Order(1), ElementsAre(5, 6, 3, 2, 4, 1));
}

TEST_F(EdfTest, WithoutHintsInTheOrderOfComingBehindAllDeadlines) {
  run_.New(1);
  run_.New(2);
  NewWith(3, Deadline(1'000'000'000));
  run_.New(4);
  NewWith(5, {.qos = 1, .deadline = Time::Infinite()});
  EXPECT_THAT(run_.Order(1), ElementsAre(5, 3, 1, 2, 4));
}

TEST_F(EdfTest, OfEqualDeadlinesWhoHasToStartFirst) {
  NewWith(1, Deadline(1000, 0, 100));
  NewWith(2, Deadline(1000, 0, 300));
  NewWith(3, Deadline(1000));
  NewWith(4, Deadline(1000, 0, 200));
  EXPECT_THAT(run_.Order(1), ElementsAre(2, 4, 1, 3));
}

TEST_F(EdfTest, WhoWasInterruptedGoesBeforeItsEqualsOnly) {
  struct Case {
    const char* name;
    void (*leave)(PlanRunner<EdfPolicy>&);
    bool front;
  };
  const Case kCases[] = {
      {"woken", [](auto& run) { run.Block(1), run.Wake(1); }, true},
      {"woken by a timer", [](auto& run) { run.Block(1), run.Wake(1, Reason::kWokenDeferrable); }, false},
      {"preempted by the kernel", [](auto& run) { run.KernelPreempts(1); }, true},
      {"yields", [](auto& run) { run.Yield(1); }, false},
  };
  for (const Case& c : kCases) {
    run_.New(1);
    run_.Pass();
    run_.New(2);
    c.leave(run_);
    NewWith(3, Deadline(1000));
    EXPECT_THAT(run_.Order(1), c.front ? ElementsAre(3, 1, 2) : ElementsAre(3, 2, 1)) << c.name;
    for (int id : {1, 2, 3}) run_.Exit(id);
  }
}

TEST_F(EdfTest, AnEarlierDeadlineTakesTheCpuAndTheOtherGoesOnAfterwards) {
  run_.New(1);
  run_.Pass();
  run_.New(2);
  EXPECT_EQ(run_.Pass(), 0);
  NewWith(3, Deadline(1000));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 3);
  NewWith(4, Deadline(1000));
  EXPECT_EQ(run_.Pass(), 0);
  NewWith(5, Deadline(999));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 5);
  NewWith(6, Deadline(5000, 1));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 6);
  NewWith(7, Deadline(1));
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_THAT(run_.Order(1), ElementsAre(7, 5, 3, 4, 1, 2));
}

TEST_F(EdfTest, ADeadlineThatChangesWhileItWaitsOrRuns) {
  NewWith(1, Deadline(100));
  run_.Pass();
  NewWith(2, Deadline(200));
  NewWith(3, Deadline(300));
  run_.Hint(3, Deadline(150));
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, Deadline(500));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 3);
  EXPECT_THAT(run_.Order(1), ElementsAre(2, 1));
}

// -- Work --

TEST_F(EdfTest, WithoutWorkItWaitsForNoCpu) {
  run_.New(1);
  run_.Hint(1, {.has_work = false});
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, Deadline(100));
  EXPECT_EQ(run_.Pass(), 1);
  run_.Hint(1, {.has_work = false});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(-1));
  EXPECT_EQ(run_.task(1)->place, Place::kPaused);
  run_.Hint(1, Deadline(100, 7));
  run_.Pass();
  run_.New(2);
  run_.Hint(1, {.has_work = false, .qos = 7});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(2));
}

TEST_F(EdfTest, WorkEndsWhileTheTaskSleeps) {
  run_.New(1);
  run_.Pass();
  run_.Block(1);
  run_.Hint(1, {.has_work = false});
  run_.Wake(1);
  EXPECT_EQ(run_.Pass(), 0);
  run_.Hint(1, Deadline(100));
  EXPECT_EQ(run_.Pass(), 1);
}

TEST_F(EdfTest, RepeatingWorkComesBackAtOnceWithinItsPeriod) {
  WorkHint hint = {.repeating = true, .deadline = Time::FromNanoseconds(run_.now().ns() + 500), .period_ns = 1000};
  NewWith(1, hint);
  run_.Pass();
  run_.Advance(200);
  hint.has_work = false;
  run_.Hint(1, hint);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.TakeTold(), IsEmpty());
  run_.Advance(50);
  NewWith(2, Deadline(1001));
  NewWith(3, Deadline(999));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.TakeTold(), ElementsAre(1));
  EXPECT_EQ(run_.task(1)->hint.deadline.ns(), run_.now().ns() + 1000);
  EXPECT_EQ(run_.Running(1), 3);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 2));
}

TEST_F(EdfTest, RepeatingWorkOfATaskThatSleepsOrDies) {
  const WorkHint done = {.has_work = false, .repeating = true, .period_ns = INT64_MAX};
  run_.New(1);
  run_.Pass();
  run_.Block(1);
  run_.Hint(1, done);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_THAT(run_.TakeTold(), IsEmpty());
  run_.Wake(1);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.TakeTold(), ElementsAre(1));
  EXPECT_EQ(run_.task(1)->hint.deadline, Time::Infinite());
  run_.Hint(1, done);
  run_.KernelPreempts(1);
  run_.Exit(1);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_THAT(run_.TakeTold(), IsEmpty());
}

TEST_F(EdfTest, AnEstimateDoublesWhenItIsUsedUp) {
  NewWith(1, Deadline(10'000, 0, 100));
  const EdfPolicy::Task& task = *run_.task(1);
  const auto run_for = [&](int64_t ns) {
    run_.Pass();
    run_.Advance(ns);
    run_.KernelPreempts(1);
  };
  run_for(100);
  EXPECT_EQ(task.estimate_ns, 100);
  run_for(1);
  EXPECT_EQ(task.estimate_ns, 200);
  run_for(700);
  EXPECT_EQ(task.elapsed_ns, 801);
  EXPECT_EQ(task.estimate_ns, 1600);
  run_.Hint(1, Deadline(10'000, 0, 100));  // a new piece
  EXPECT_EQ(task.elapsed_ns, 0);
  EXPECT_EQ(task.estimate_ns, 100);
}

TEST_F(EdfTest, WithoutAnEstimateTheMeanOfItsClassSoFar) {
  const auto of_class = [&](WorkHint hint) {
    hint.statistics = &statistics_;
    return hint;
  };
  NewWith(1, of_class(Deadline(1000)));
  const EdfPolicy::Task& task = *run_.task(1);
  EXPECT_EQ(task.estimate_ns, 0);
  for (int64_t ns : {100, 300, 1400}) {
    run_.Pass();
    run_.Advance(ns);
    run_.Hint(1, of_class({.has_work = false, .deadline = Time::Infinite()}));
    run_.Hint(1, of_class(Deadline(1000)));
  }
  EXPECT_EQ(task.estimate_ns, 600);
  EXPECT_EQ(statistics_.pieces, 3);
  EXPECT_EQ(statistics_.late, 1);
  // Another one of the class has it, too; who goes over to another class has left it.
  NewWith(2, of_class(Deadline(1000)));
  EXPECT_EQ(run_.task(2)->estimate_ns, 600);
  WorkStatistics other;
  WorkHint hint = Deadline(1000);
  hint.statistics = &other;
  run_.Hint(1, hint);
  EXPECT_EQ(task.estimate_ns, 0);
  EXPECT_EQ(statistics_.pieces, 4);
  run_.Hint(1, {.has_work = false});
  EXPECT_EQ(other.pieces, 1);
}

TEST_F(EdfTest, ExtremeHints) {
  NewWith(1, {.deadline = Time::FromNanoseconds(INT64_MIN), .exec_ns = INT64_MAX});
  NewWith(2, {.deadline = Time::Infinite(), .exec_ns = INT64_MAX});
  NewWith(3, {.deadline = Time::FromNanoseconds(INT64_MAX - 1), .exec_ns = 1});
  run_.Pass();
  run_.Advance(INT64_MAX / 4);
  run_.KernelPreempts(1);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 3, 2));
}

TEST_F(EdfTest, ACommitThatFailsChangesNothing) {
  run_.New(1);
  run_.Pass();
  NewWith(2, Deadline(100));
  run_.fail_commits = {1};
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 1);
  run_.fail_commits.Clear();
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 2);
  // Whose commit failed had been chosen: of its equals it is the first.
  for (int id : {3, 4, 5}) run_.New(id);
  policy_.Dequeue(run_.task(3));
  policy_.Enqueue(run_.task(3), Reason::kCommitFailed, run_.now());
  run_.Hint(2, {.has_work = false});
  run_.fail_commits = {1};
  EXPECT_EQ(run_.Pass(), 1);
  run_.fail_commits.Clear();
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 3);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 4, 5));
}

TEST_F(EdfTest, DumpSaysWhatIsKnownOfATask) {
  const auto line = [&](int64_t id) {
    std::string text;
    policy_.Describe(*run_.task(id), &text);
    return text;
  };
  run_.New(1);
  EXPECT_EQ(line(1), " qos 0, class 0, ran 0");
  WorkHint hint = {.qos = 3, .work_class = 2, .deadline = Time::FromNanoseconds(1'000'002'000), .exec_ns = 4000};
  hint.statistics = &statistics_;
  run_.Hint(1, hint);
  run_.Pass();
  run_.Advance(3000);
  hint.has_work = false;
  hint.deadline = Time::Infinite();
  run_.Hint(1, hint);
  EXPECT_EQ(line(1), " qos 3, class 2, no work, ran 3us of 4us; of its class 1 done, 1 late, mean 3us");
  run_.Hint(1, {.deadline = Time::FromNanoseconds(1'000'009'000)});
  EXPECT_EQ(line(1), " qos 0, class 0, deadline 1000009000, ran 0");
}

// -- As the public implementation orders them --

class EdfWithoutPreemptionTest : public EdfTest {
 protected:
  EdfWithoutPreemptionTest() : EdfTest({1}, {.preempt_earlier_deadline = false}) {}
};

TEST_F(EdfWithoutPreemptionTest, InterruptedOnesThenWhoHasToStartFirst) {
  NewWith(1, Deadline(500, 0, 100));
  NewWith(2, Deadline(900, 0, 600));
  NewWith(3, Deadline(5000, 1));
  run_.New(4);
  run_.Pass();
  EXPECT_EQ(run_.Running(1), 3);
  run_.New(6);
  run_.Hint(6, Deadline(10, 1));
  run_.KernelPreempts(3);
  NewWith(5, Deadline(10, 9));
  EXPECT_THAT(run_.Order(1), ElementsAre(5, 3, 6, 2, 1, 4));
}

TEST_F(EdfWithoutPreemptionTest, OnlyAHigherQualityOfServiceTakesACpu) {
  run_.New(1);
  run_.Pass();
  NewWith(2, Deadline(1));
  EXPECT_EQ(run_.Pass(), 0);
  NewWith(3, Deadline(1'000'000, 1));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 3);
  EXPECT_THAT(run_.Order(1), ElementsAre(1, 2));
  ASSERT_TRUE(policy_.Tunables()[0]->Set("true").ok());
  run_.Wake(1, Reason::kWokenDeferrable);
  run_.Pass();
  NewWith(4, Deadline(1));
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(1), 4);
}

// -- Several CPUs --

class EdfOnCpusTest : public EdfTest {
 protected:
  EdfOnCpusTest() : EdfTest({1, 2, 3, 4}) {}
};

TEST_F(EdfOnCpusTest, TheLatestDeadlineLosesItsCpu) {
  NewWith(1, Deadline(300));
  NewWith(2, Deadline(100));
  NewWith(3, Deadline(400, 1));
  NewWith(4, Deadline(200));
  EXPECT_EQ(run_.Pass(), 4);
  EXPECT_THAT(run_.Running(), ElementsAre(3, 2, 4, 1));
  NewWith(5, Deadline(150));
  NewWith(6, Deadline(160));
  NewWith(7, Deadline(250));
  EXPECT_EQ(run_.Pass(), 2);
  EXPECT_THAT(run_.Running(), ElementsAre(3, 2, 6, 5));
}

TEST_F(EdfOnCpusTest, AffinityIsRespected) {
  NewWith(1, Deadline(100));
  run_.Pass();  // CPU 1
  run_.New(2, {1});
  run_.Hint(2, Deadline(200));
  run_.New(3, {1, 3});
  run_.New(4);
  EXPECT_EQ(run_.Pass(), 2);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 4, 3, -1));
  run_.SetAllowed(2, {1, 3});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 4, 2, -1));
  run_.SetAllowed(3, {3, 4});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_THAT(run_.Running(), ElementsAre(1, 4, 2, 3));
}

TEST_F(EdfOnCpusTest, TheOrderOfComingCountsAcrossAffinities) {
  for (int cpu : {1, 2, 3, 4}) run_.New(100 + cpu, {cpu});
  EXPECT_EQ(run_.Pass(), 4);
  run_.New(1, {1, 2});
  run_.New(2);
  run_.New(3, {1});
  run_.SetAllowed(1, {1, 3});  // comes now
  for (int64_t expected : {2, 3, 1}) {
    run_.Block(run_.Running(1));
    EXPECT_EQ(run_.Pass(), 1);
    EXPECT_EQ(run_.Running(1), expected);
  }
}

// -- The theory --

struct Periodic {
  int64_t exec, period;  // each job is to be done within its period
};

class EdfTheoryTest : public EdfTest {
 protected:
  // Runs the set on one CPU for two hyperperiods. Returns how many jobs were late.
  int Late(const std::vector<Periodic>& tasks) {
    int64_t hyperperiod = 1;
    for (const Periodic& task : tasks) hyperperiod = std::lcm(hyperperiod, task.period);
    std::vector<int64_t> rest(tasks.size(), 0);
    int late = 0;
    for (int64_t now = 0; now < 2 * hyperperiod; ++now) {
      for (size_t i = 0; i < tasks.size(); ++i) {
        if (now % tasks[i].period != 0) continue;
        if (rest[i] > 0) {
          ++late;
          rest[i] += tasks[i].exec;
          continue;
        }
        rest[i] = tasks[i].exec;
        const int64_t id = static_cast<int64_t>(i);
        run_.Exists(id) ? run_.Wake(id, Reason::kWokenDeferrable) : run_.New(id);
        run_.Hint(id, Deadline(tasks[i].period, 0, tasks[i].exec));
      }
      run_.Pass();
      run_.Advance(1);
      const int64_t running = run_.Running(1);
      if (running >= 0 && --rest[running] == 0) run_.Block(running);
    }
    return late;
  }
};

TEST_F(EdfTheoryTest, AFullyUsedCpuMeetsEveryDeadline) { EXPECT_EQ(Late({{1, 2}, {1, 3}, {1, 6}}), 0); }
// Rate-monotonic priorities miss here, and so would the latest start time without preemption.
TEST_F(EdfTheoryTest, WhereFixedPrioritiesMiss) { EXPECT_EQ(Late({{2, 5}, {4, 7}}), 0); }
TEST_F(EdfTheoryTest, LongWorkWithAFarDeadlineDoesNotGoFirst) { EXPECT_EQ(Late({{1, 5}, {27, 35}, {1, 35}}), 0); }
TEST_F(EdfTheoryTest, MoreThanTheCpuCanDoIsLate) { EXPECT_GT(Late({{1, 2}, {1, 3}, {1, 5}}), 0); }

class EdfLatestStartTest : public EdfTheoryTest {
 protected:
  EdfLatestStartTest() { policy_.Tunables()[0]->Set("false").IgnoreError(); }
};
TEST_F(EdfLatestStartTest, WithoutPreemptionAFeasibleSetIsLate) { EXPECT_GT(Late({{1, 5}, {27, 35}, {1, 35}}), 0); }

}  // namespace
}  // namespace ghost
