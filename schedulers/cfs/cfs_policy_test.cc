#include "schedulers/cfs/cfs_policy.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/status.h"
#include "lib/testing/task_test_peer.h"
#include "schedulers/cfs/cfs_options.h"

namespace ghost {
namespace {

using Task = CfsPolicy::Task;
using Reason = EnqueueReason;

constexpr int64_t kMs = 1'000'000;

TEST(NiceWeightTest, EachStepIsAFactorOf125) {
  for (int nice = kLeastNice; nice < kGreatestNice; ++nice) {
    const double ratio = static_cast<double>(NiceWeight(nice)) / static_cast<double>(NiceWeight(nice + 1));
    EXPECT_NEAR(ratio, 1.25, nice < 10 ? 0.01 : 0.06) << nice;  // small weights are rounded to integers
  }
  EXPECT_EQ(NiceWeight(0), 1024);
  EXPECT_EQ(NiceWeight(INT32_MIN), NiceWeight(kLeastNice));
  EXPECT_EQ(NiceWeight(INT32_MAX), NiceWeight(kGreatestNice));
}

class CfsPolicyTest : public testing::Test {
 protected:
  CfsPolicyTest() : policy_({.cpus = CpuSet::FirstN(2)}, {}) {
    for (int i = 0; i < 8; ++i) TaskTestPeer::SetGtid(&tasks_[i], i);
  }
  void Enqueue(int i, Reason reason, int cpu = 0) { policy_.Enqueue(cpu, &tasks_[i], reason, Now()); }
  Time Now() const { return Time::FromNanoseconds(now_); }
  // Which task is next, and for how long it may run; -1: none.
  int Pick(int cpu = 0) {
    const auto pick = policy_.PickNext(cpu, Now());
    slice_ = pick.slice_end.ns() - now_;
    return pick.task == nullptr ? -1 : static_cast<int>(pick.task->gtid());
  }
  // Task i is on a CPU for `ns`.
  void Run(int i, int64_t ns) {
    now_ += ns;
    TaskTestPeer::SetRuntimeNs(&tasks_[i], tasks_[i].runtime_ns() + static_cast<uint64_t>(ns));
  }
  void SetNice(int i, int nice, int cpu = 0) {
    TaskTestPeer::SetNice(&tasks_[i], nice);
    policy_.OnNiceChanged(cpu, &tasks_[i]);
  }
  void Set(const char* tunable, const char* value) {
    for (Tunable* t : policy_.Tunables()) {
      if (std::string(t->name()) == tunable) {
        ASSERT_TRUE(t->Set(value).ok());
        return;
      }
    }
    FAIL() << "no tunable " << tunable;
  }
  // Picks, runs for a slice, expires, `times` times.
  std::vector<int> Slices(int times) {
    std::vector<int> order;
    for (int n = 0; n < times; ++n) {
      order.push_back(Pick());
      Run(order.back(), slice_);
      Enqueue(order.back(), Reason::kSliceExpired);
    }
    return order;
  }

  std::array<Task, 8> tasks_;
  CfsPolicy policy_;  // after the tasks: its queues go before what stands in them
  int64_t now_ = 0;
  int64_t slice_ = 0;
};

TEST_F(CfsPolicyTest, EmptyQueueHasNothingToRun) { EXPECT_EQ(Pick(), -1); }

TEST_F(CfsPolicyTest, EqualTasksTakeTurns) {
  for (int i = 0; i < 3; ++i) Enqueue(i, Reason::kNew);
  std::vector<int> count(3);
  for (int task : Slices(300)) ++count[static_cast<size_t>(task)];
  for (int times : count) EXPECT_NEAR(times, 100, 2);
}

TEST_F(CfsPolicyTest, SlicesAreWeightedSharesOfTheLatency) {
  struct Case {
    const char* name;
    std::vector<int> nices;
    int64_t slice;  // of the first task
  };
  const Case kCases[] = {
      {"two equals", {0, 0}, 5 * kMs},
      {"as many as fit", std::vector<int>(8, 0), 10 * kMs / 8},
      {"a heavy one", {-10, 0, 0}, 10 * kMs * NiceWeight(-10) / (NiceWeight(-10) + 2048)},
      {"no less than min_granularity", {19, -20}, 1 * kMs},
  };
  for (const Case& c : kCases) {
    CfsPolicy policy({.cpus = CpuSet::FirstN(1)}, {});
    std::array<Task, 8> tasks;
    for (size_t i = 0; i < c.nices.size(); ++i) {
      TaskTestPeer::SetNice(&tasks[i], c.nices[i]);
      policy.Enqueue(0, &tasks[i], Reason::kNew, Time());
    }
    for (size_t i = 1; i < c.nices.size(); ++i) {
      policy.Dequeue(0, &tasks[i]);
      tasks[i].vruntime += 1'000'000 * kMs;  // so that the first is picked
      policy.Enqueue(0, &tasks[i], Reason::kPreempted, Time());
    }
    const auto pick = policy.PickNext(0, Time());
    EXPECT_EQ(pick.task, &tasks[0]) << c.name;
    EXPECT_EQ(pick.slice_end.ns(), c.slice) << c.name;
    for (size_t i = 1; i < c.nices.size(); ++i) policy.Dequeue(0, &tasks[i]);
  }
}

TEST_F(CfsPolicyTest, AloneItRunsUntilSomebodyComes) {
  Enqueue(0, Reason::kNew);
  EXPECT_EQ(policy_.PickNext(0, Now()).slice_end, Time::Infinite());
}

TEST_F(CfsPolicyTest, ASliceGetsShorterWhenOthersCome) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  const int first = Pick();
  EXPECT_EQ(slice_, 5 * kMs);
  Run(first, 2 * kMs);
  Enqueue(2, Reason::kNew);
  Enqueue(3, Reason::kNew);
  Enqueue(first, Reason::kPreempted);
  EXPECT_EQ(Pick(), first);
  EXPECT_EQ(slice_, kMs / 2);
  Enqueue(first, Reason::kSliceExpired);
  EXPECT_NE(Pick(), first);
}

TEST_F(CfsPolicyTest, ThePeriodStretchesWithManyTasks) {
  Set("min_granularity", "4ms");
  for (int i = 0; i < 8; ++i) Enqueue(i, Reason::kNew);
  Pick();
  EXPECT_EQ(slice_, 4 * kMs);  // 8 * 4 ms > 10 ms
}

TEST_F(CfsPolicyTest, ATickChangesNothingBeforeTheSliceEnds) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  const int first = Pick();
  EXPECT_EQ(slice_, 5 * kMs);
  Run(first, 4 * kMs);
  Enqueue(first, Reason::kPreempted);
  EXPECT_EQ(Pick(), first);
  EXPECT_EQ(slice_, 1 * kMs);  // what is left of it
  Run(first, 4 * kMs);         // the tick is late
  Enqueue(first, Reason::kSliceExpired);
  EXPECT_EQ(Pick(), 1 - first);
}

TEST_F(CfsPolicyTest, ACommitThatFailsCostsNothing) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  const int first = Pick();
  for (int n = 0; n < 5; ++n) {
    Enqueue(first, Reason::kCommitFailed);
    EXPECT_EQ(Pick(), first);
    EXPECT_EQ(slice_, 5 * kMs);
  }
}

TEST_F(CfsPolicyTest, WhoWakesTakesTheCpuIfItIsFarEnoughBehind) {
  struct Case {
    int64_t ran;  // by the other one, since the sleeper last ran
    bool preempts;
  };
  const Case kCases[] = {{kMs / 2, false}, {2 * kMs, true}};
  for (const Case& c : kCases) {
    for (int i : {0, 1}) Enqueue(i, Reason::kNew);
    const int sleeper = Pick();
    policy_.OnBlocked(0, &tasks_[sleeper], Now());
    const int other = Pick();
    EXPECT_EQ(other, 1 - sleeper);
    Enqueue(sleeper, Reason::kWoken);  // the kernel tells of it first, …
    Run(other, c.ran);
    Enqueue(other, Reason::kPreempted);  // … and that its agent took the CPU to hear it
    EXPECT_EQ(Pick(), c.preempts ? sleeper : other) << c.ran;
    for (int i : {0, 1}) {
      if (tasks_[i].link.is_linked()) policy_.Dequeue(0, &tasks_[i]);
      policy_.OnGone(0, &tasks_[i]);
      tasks_[i].origin = Task::Origin::kNew;
    }
  }
}

TEST_F(CfsPolicyTest, TheWakeupGranularityIsTunable) {
  Set("wakeup_granularity", "3ms");
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  const int sleeper = Pick();
  policy_.OnBlocked(0, &tasks_[sleeper], Now());
  const int other = Pick();
  Enqueue(sleeper, Reason::kWoken);
  Run(other, 2 * kMs);
  Enqueue(other, Reason::kPreempted);
  EXPECT_EQ(Pick(), other);
}

TEST_F(CfsPolicyTest, ASleeperIsGivenBackHalfALatencyAtMost) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  ASSERT_EQ(Pick(), 0);
  policy_.OnBlocked(0, &tasks_[0], Now());
  for (int n = 0; n < 100; ++n) {
    ASSERT_EQ(Pick(), 1);
    Run(1, 10 * kMs);
    Enqueue(1, Reason::kSliceExpired);
  }
  Enqueue(0, Reason::kWoken);
  EXPECT_EQ(tasks_[0].vruntime, policy_.min_vruntime(0) - 5 * kMs);
}

TEST_F(CfsPolicyTest, AShortSleepGainsNothing) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  ASSERT_EQ(Pick(), 0);
  Run(0, 4 * kMs);
  policy_.OnBlocked(0, &tasks_[0], Now());
  const int64_t vruntime = tasks_[0].vruntime;
  Enqueue(0, Reason::kWoken);
  EXPECT_EQ(tasks_[0].vruntime, vruntime);
}

TEST_F(CfsPolicyTest, ANewTaskStartsOneSliceToTheRight) {
  for (int i : {0, 1}) Enqueue(i, Reason::kNew);
  ASSERT_EQ(Slices(1), std::vector<int>{0});
  ASSERT_EQ(Pick(), 1);
  Run(1, 50 * kMs);
  Enqueue(1, Reason::kSliceExpired);  // so far is the last
  Enqueue(2, Reason::kNew);
  EXPECT_EQ(tasks_[2].vruntime, tasks_[0].vruntime + 10 * kMs / 3);
  EXPECT_EQ(Pick(), 0);
}

TEST_F(CfsPolicyTest, ANewTaskStartsNoFurtherThanWhoeverIsLast) {
  for (int i : {0, 1, 2}) {
    Enqueue(i, Reason::kNew);
    EXPECT_EQ(tasks_[i].vruntime, 0) << "those who come together start together";
  }
  ASSERT_EQ(Slices(3), (std::vector<int>{0, 1, 2}));
  Enqueue(3, Reason::kNew);
  EXPECT_EQ(tasks_[3].vruntime, tasks_[0].vruntime);
}

// The kernel tells of a new task before it tells how long the running one has run.
TEST_F(CfsPolicyTest, ANewTaskStartsBehindWhatTheRunningOneHasRun) {
  Enqueue(0, Reason::kNew);
  ASSERT_EQ(Pick(), 0);
  Run(0, 50 * kMs);
  Enqueue(1, Reason::kNew);
  Enqueue(0, Reason::kPreempted);
  EXPECT_EQ(tasks_[1].vruntime, tasks_[0].vruntime);
}

TEST_F(CfsPolicyTest, WhatItRanBeforeWeKnewItIsNotCharged) {
  TaskTestPeer::SetRuntimeNs(&tasks_[0], 3'600'000 * uint64_t{kMs});
  policy_.OnBlocked(0, &tasks_[0], Now());  // as a take-over tells of one that sleeps
  Enqueue(0, Reason::kWoken);
  Enqueue(1, Reason::kNew);
  EXPECT_LE(std::abs(tasks_[0].vruntime - tasks_[1].vruntime), 10 * kMs);
}

TEST_F(CfsPolicyTest, YieldGoesToTheRightOfAllThatWait) {
  for (int i = 0; i < 3; ++i) Enqueue(i, Reason::kNew);
  const int first = Pick();
  Run(first, kMs / 10);
  Enqueue(first, Reason::kYielded);
  EXPECT_NE(Pick(), first);
  EXPECT_NE(Pick(), first);
  EXPECT_EQ(Pick(), first);
}

TEST_F(CfsPolicyTest, YieldGoesNoFurtherThanALatency) {
  for (int i : {0, 1}) Enqueue(i, Reason::kNew);
  ASSERT_EQ(Pick(), 0);
  Run(0, 50 * kMs);
  Enqueue(0, Reason::kSliceExpired);  // far to the right
  ASSERT_EQ(Pick(), 1);
  Enqueue(1, Reason::kYielded);
  EXPECT_EQ(tasks_[1].vruntime, policy_.min_vruntime(0) + 10 * kMs);
}

TEST_F(CfsPolicyTest, NiceCountsFromItsChangeOn) {
  Enqueue(0, Reason::kNew);
  ASSERT_EQ(Pick(), 0);
  const int64_t before = tasks_[0].vruntime;
  Run(0, 4 * kMs);
  SetNice(0, 5);  // while it runs
  Enqueue(0, Reason::kPreempted);
  EXPECT_EQ(tasks_[0].vruntime - before, 4 * kMs);
  ASSERT_EQ(Pick(), 0);
  Run(0, 3 * kMs);
  Enqueue(0, Reason::kPreempted);
  EXPECT_EQ(tasks_[0].vruntime - before, 4 * kMs + 3 * kMs * 1024 / NiceWeight(5));
  SetNice(0, -5);  // while it waits
  ASSERT_EQ(Pick(), 0);
  Run(0, 3 * kMs);
  const int64_t middle = tasks_[0].vruntime;
  Enqueue(0, Reason::kPreempted);
  EXPECT_EQ(tasks_[0].vruntime - middle, 3 * kMs * 1024 / NiceWeight(-5));
}

TEST_F(CfsPolicyTest, MigrationKeepsTheDistanceFromMinVruntime) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  Enqueue(2, Reason::kNew, 1);
  Slices(50);
  ASSERT_EQ(Pick(1), 2);
  Run(2, 3 * kMs);
  Enqueue(2, Reason::kSliceExpired, 1);
  const int64_t distance = tasks_[0].vruntime - policy_.min_vruntime(0);
  policy_.Dequeue(0, &tasks_[0]);
  policy_.OnMigrate(0, &tasks_[0]);
  Enqueue(0, Reason::kNew, 1);
  EXPECT_EQ(tasks_[0].vruntime - policy_.min_vruntime(1), distance);
  // The kernel refused: it is back where it was.
  const int64_t vruntime = tasks_[1].vruntime;
  policy_.Dequeue(0, &tasks_[1]);
  policy_.OnMigrate(0, &tasks_[1]);
  policy_.OnMigrate(0, &tasks_[1]);
  Enqueue(1, Reason::kNew, 0);
  EXPECT_EQ(tasks_[1].vruntime, vruntime);
}

TEST_F(CfsPolicyTest, ATaskThatIsGoneHasNoClaim) {
  Enqueue(0, Reason::kNew);
  Enqueue(1, Reason::kNew);
  const int first = Pick();
  policy_.OnGone(0, &tasks_[first]);
  EXPECT_EQ(Pick(), 1 - first);
  policy_.OnGone(0, &tasks_[1 - first]);
  EXPECT_EQ(Pick(), -1);
}

TEST_F(CfsPolicyTest, GarbageFromTheKernelIsBounded) {
  Enqueue(0, Reason::kNew);
  ASSERT_EQ(Pick(), 0);
  TaskTestPeer::SetRuntimeNs(&tasks_[0], UINT64_MAX);
  SetNice(0, 1000);
  Enqueue(0, Reason::kPreempted);
  EXPECT_GT(tasks_[0].vruntime, 0);
  ASSERT_EQ(Pick(), 0);
  const int64_t vruntime = tasks_[0].vruntime;
  TaskTestPeer::SetRuntimeNs(&tasks_[0], 0);  // time does not go back
  Enqueue(0, Reason::kPreempted);
  EXPECT_EQ(tasks_[0].vruntime, vruntime);
}

TEST_F(CfsPolicyTest, DumpSaysWhereItStands) {
  Enqueue(0, Reason::kNew);
  std::string line;
  policy_.Describe(tasks_[0], &line);
  EXPECT_EQ(line, " vruntime 0 weight 1024");
}

TEST(CfsOptionsTest, RangesAndContradictions) {
  struct Case {
    CfsPolicy::Options options;
    const char* message;  // null: fine
  };
  const Case kCases[] = {
      {{}, nullptr},
      {{.min_granularity = absl::Milliseconds(10)}, nullptr},
      {{.min_granularity = absl::ZeroDuration()}, "--min_granularity 0: out of range"},
      {{.min_granularity = absl::Milliseconds(-1)}, "--min_granularity -1ms: out of range"},
      {{.min_granularity = absl::Seconds(1)}, "--min_granularity 1s: out of range"},
      {{.latency = absl::InfiniteDuration()}, "--latency inf: out of range"},
      {{.wakeup_granularity = absl::Hours(1)}, "--wakeup_granularity 1h: out of range"},
      {{.min_granularity = absl::Milliseconds(11)},
       "--latency 10ms is less than --min_granularity 11ms: not even one task would fit in"},
  };
  for (const Case& c : kCases) {
    const absl::Status status = CheckCfsOptions(c.options);
    EXPECT_EQ(status.ok(), c.message == nullptr) << status;
    if (c.message == nullptr) continue;
    EXPECT_EQ(status.message(), c.message);
    EXPECT_NE(HintOf(status), "");
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage);
  }
}

}  // namespace
}  // namespace ghost
