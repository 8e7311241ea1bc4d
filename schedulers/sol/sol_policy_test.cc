#include "schedulers/sol/sol_policy.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "lib/testing/plan_runner.h"
#include "lib/topology.h"

namespace ghost {
namespace {

constexpr int64_t kSliceNs = 100'000;

// Four CPUs, of which 0 and 2, and 1 and 3, are SMT siblings.
std::shared_ptr<const Topology> TwoCores() {
  std::vector<Topology::Record> records;
  for (int cpu = 0; cpu < 4; ++cpu) records.push_back({.cpu = cpu, .siblings = {cpu % 2, cpu % 2 + 2}});
  return std::make_shared<const Topology>(*Topology::Custom(records));
}

class SolPolicyTest : public testing::Test {
 protected:
  explicit SolPolicyTest(int64_t slice_ns = INT64_MAX)
      : policy_({.cpus = CpuSet::FirstN(4), .topology = TwoCores()}, {.slice_ns = slice_ns}),
        run_(&policy_, CpuSet::FirstN(4)) {}

  // Occupies these CPUs for good.
  void Occupy(const CpuSet& cpus) {
    for (int cpu : cpus) run_.New(1000 + cpu, {cpu});
    run_.Pass();
  }

  SolPolicy policy_;
  PlanRunner<SolPolicy> run_;  // before the policy, whose queue its tasks stand in, is gone
};

class SolSliceTest : public SolPolicyTest {
 protected:
  SolSliceTest() : SolPolicyTest(kSliceNs) {}
};

TEST_F(SolPolicyTest, FirstComeFirstServed) {
  for (int64_t id : {1, 2, 3, 4, 5, 6}) run_.New(id);
  EXPECT_EQ(run_.Pass(), 4);
  EXPECT_EQ(run_.Running(), (std::vector<int64_t>{1, 2, 3, 4}));
  run_.Block(2);
  run_.Block(4);
  run_.Pass();
  EXPECT_EQ(run_.Running(), (std::vector<int64_t>{1, 5, 3, 6}));
}

TEST_F(SolPolicyTest, NothingToDoPlansNothing) {
  EXPECT_EQ(run_.Pass(), 0);
  run_.New(1);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Pass(), 0);
}

TEST_F(SolPolicyTest, WhoGoesInFront) {
  Occupy({0, 1, 2});
  struct Case {
    EnqueueReason reason;
    bool front;
  };
  for (const Case& c : {Case{EnqueueReason::kNew, false}, Case{EnqueueReason::kWoken, true},
                        Case{EnqueueReason::kWokenDeferrable, false}}) {
    run_.New(1);
    run_.Pass();
    run_.Block(1);
    run_.New(2, {3});
    run_.Wake(1, c.reason);
    run_.Pass();
    EXPECT_EQ(run_.Running(3), c.front ? 1 : 2) << EnqueueReasonName(c.reason);
    run_.Exit(1);
    run_.Exit(2);
  }
}

TEST_F(SolPolicyTest, YieldGoesToTheBackPreemptionToTheFront) {
  Occupy({0, 1, 2});
  run_.New(1);
  run_.Pass();
  run_.New(2);
  run_.KernelPreempts(1);
  run_.Pass();
  EXPECT_EQ(run_.Running(3), 1);
  run_.Yield(1);
  run_.Pass();
  EXPECT_EQ(run_.Running(3), 2);
}

TEST_F(SolPolicyTest, AFailedCommitKeepsItsPlace) {
  run_.fail_commits = {0};
  Occupy({1, 2, 3});
  run_.New(1);
  run_.New(2);
  run_.Pass();
  run_.fail_commits.Clear();
  run_.Pass();
  EXPECT_EQ(run_.Running(0), 1);
}

TEST_F(SolPolicyTest, TheSlicelessRunOn) {
  run_.New(1, {0});
  run_.Pass();
  run_.New(2, {0});
  run_.Advance(int64_t{3'600} * 1'000'000'000);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::Infinite());
}

TEST_F(SolPolicyTest, AffinityIsKept) {
  run_.New(1, {2});
  run_.New(2, {2});
  run_.New(3, {1, 2});
  run_.Pass();
  EXPECT_EQ(run_.Running(), (std::vector<int64_t>{-1, 3, 1, -1}));
  // It waits for a CPU that it may not use, until it may.
  EXPECT_EQ(run_.Pass(), 0);
  run_.SetAllowed(2, {0, 3});
  run_.Pass();
  EXPECT_EQ(run_.Running(0), 2);
}

// The CPU that it had; else a sibling of it; else the lowest.
TEST_F(SolPolicyTest, WhereATaskGoes) {
  struct Case {
    const char* name;
    CpuSet taken;
    CpuSet allowed;
    int expected;
  };
  for (const Case& c : {Case{"its last CPU", {}, {0, 1, 2, 3}, 3}, Case{"the sibling", {3}, {0, 1, 2, 3}, 1},
                        Case{"any", {1, 3}, {0, 1, 2, 3}, 0}, Case{"not a forbidden sibling", {3}, {0, 2, 3}, 0},
                        Case{"not its last CPU, if that is forbidden", {}, {0, 1, 2}, 1}}) {
    SolPolicy policy({.cpus = CpuSet::FirstN(4), .topology = TwoCores()}, {});
    PlanRunner<SolPolicy> run(&policy, CpuSet::FirstN(4));
    run.New(1, c.allowed);
    TaskTestPeer::SetHome(run.task(1), 3);  // as runtimes do when it gets a CPU
    for (int cpu : c.taken) run.plan().SetUnavailable(cpu);
    run.Pass();
    EXPECT_EQ(run.Running(c.expected), 1) << c.name;
  }
}

TEST_F(SolSliceTest, AnExpiredTaskGoesToTheBack) {
  for (int64_t id : {1, 2}) run_.New(id, {0});
  run_.Pass();
  EXPECT_EQ(run_.Running(0), 1);
  run_.Advance(kSliceNs - 1);
  EXPECT_EQ(run_.Pass(), 0);
  EXPECT_EQ(run_.look_again(), Time::FromNanoseconds(run_.now().ns() + 1));
  run_.Advance(1);
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(0), 2);
  run_.Advance(kSliceNs);
  run_.Pass();
  EXPECT_EQ(run_.Running(0), 1);
}

TEST_F(SolSliceTest, WithNobodyWaitingItRunsOn) {
  run_.New(1, {0});
  run_.New(2, {1});
  run_.Pass();
  run_.Advance(10 * kSliceNs);
  EXPECT_EQ(run_.Pass(), 0);
}

TEST_F(SolSliceTest, OnlyWhoeverWaitsForThatCpuGetsIt) {
  run_.New(1, {0});
  run_.New(2, {1});
  run_.Pass();
  run_.Advance(kSliceNs);
  run_.New(3, {1});
  EXPECT_EQ(run_.Pass(), 1);
  EXPECT_EQ(run_.Running(0), 1);
  EXPECT_EQ(run_.Running(1), 3);
}

TEST_F(SolSliceTest, TheSliceIsATunable) {
  ASSERT_EQ(policy_.Tunables().size(), 1u);
  EXPECT_STREQ(policy_.Tunables()[0]->name(), "preemption_time_slice");
  EXPECT_TRUE(policy_.Tunables()[0]->Set("1us").ok());
  for (int64_t id : {1, 2}) run_.New(id, {0});
  run_.Pass();
  run_.Advance(1000);
  EXPECT_EQ(run_.Pass(), 1);
}

}  // namespace
}  // namespace ghost
