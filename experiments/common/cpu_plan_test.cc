#include "experiments/common/cpu_plan.h"

#include <sched.h>

#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

using Cpus = std::vector<int>;

// `nodes` nodes with `cores` cores each; if `smt`, the second threads are numbered after all first ones.
Topology Machine(int nodes, int cores, bool smt) {
  std::vector<Topology::Record> records;
  const int first_threads = nodes * cores;
  for (int cpu = 0; cpu < first_threads * (smt ? 2 : 1); ++cpu) {
    const int core = cpu % first_threads;
    Topology::Record record = {.cpu = cpu, .numa_node = core / cores, .siblings = {core}};
    if (smt) record.siblings.Add(core + first_threads);
    records.push_back(record);
  }
  return *Topology::Custom(records);
}

CpuPlan PlanCfs(const Topology& topology, int workers, const CpuSet& usable) {
  return PlanCpus(topology, usable, {.workers = workers, .dispatcher = true});
}
CpuPlan PlanCfs(const Topology& topology, int workers) { return PlanCfs(topology, workers, topology.all_cpus()); }

TEST(CpuPlanTest, CfsOnOneCpuAllShareIt) {
  const CpuPlan plan = PlanCfs(Topology::Flat(1), 3);
  EXPECT_EQ(plan.ToString(), "generators 0, dispatchers 0, workers 0");
  EXPECT_EQ(plan.workers, (Cpus{0, 0, 0}));
  EXPECT_FALSE(plan.front_owns_cpus);
  EXPECT_FALSE(plan.workers_own_cpus);
}

TEST(CpuPlanTest, CfsOnTwoCpusTheFrontSharesOne) {
  const CpuPlan plan = PlanCfs(Topology::Flat(2), 6);
  EXPECT_EQ(plan.ToString(), "generators 0, dispatchers 0, workers 1");
  EXPECT_EQ(plan.workers, Cpus(6, 1));
  EXPECT_FALSE(plan.front_owns_cpus);
  EXPECT_FALSE(plan.workers_own_cpus);
  EXPECT_TRUE(PlanCfs(Topology::Flat(2), 1).workers_own_cpus);
}

TEST(CpuPlanTest, CfsOnThreeCpusEachRoleHasOne) {
  const CpuPlan plan = PlanCfs(Topology::Flat(3), 6);
  EXPECT_EQ(plan.ToString(), "generators 0, dispatchers 1, workers 2");
  EXPECT_TRUE(plan.front_owns_cpus);
  EXPECT_FALSE(plan.workers_own_cpus);
}

TEST(CpuPlanTest, CfsOnEightCpusEachThreadHasOne) {
  const CpuPlan plan = PlanCfs(Topology::Flat(8), 6);
  EXPECT_EQ(plan.ToString(), "generators 0, dispatchers 1, workers 2-7");
  EXPECT_TRUE(plan.front_owns_cpus);
  EXPECT_TRUE(plan.workers_own_cpus);
}

TEST(CpuPlanTest, WithMoreTheFirstIsLeftToLinux) {
  EXPECT_EQ(PlanCfs(Topology::Flat(9), 6).ToString(), "generators 1, dispatchers 2, workers 3-8");
}

// 2 nodes, 32 cores each, 128 CPUs: one node, no two threads on a core.
TEST(CpuPlanTest, CfsOnOneHundredAndTwentyEightCpus) {
  const Topology topology = Machine(2, 32, /*smt=*/true);
  ASSERT_EQ(topology.num_cpus(), 128);
  const CpuPlan plan = PlanCfs(topology, 6);
  EXPECT_EQ(plan.ToString(), "generators 1, dispatchers 2, workers 3-8");
  EXPECT_TRUE(plan.front_owns_cpus && plan.workers_own_cpus);
  // The other node's cores come before the hyperthreads of this one.
  EXPECT_EQ(PlanCfs(topology, 70).ToString(), "generators 1, dispatchers 2, workers 3-72");
  EXPECT_EQ(std::set<int>(plan.workers.begin(), plan.workers.end()).size(), 6u);
}

TEST(CpuPlanTest, CoresComeBeforeHyperthreads) {
  // 2 cores, 4 CPUs; siblings 0,2 and 1,3: the generator and the dispatcher have a core each.
  EXPECT_EQ(PlanCfs(Machine(1, 2, true), 2).ToString(), "generators 0, dispatchers 1, workers 2-3");
}

TEST(CpuPlanTest, TheNodeWithMostUsableCpusComesFirst) {
  EXPECT_EQ(PlanCfs(Machine(2, 4, false), 2, CpuSet({3, 4, 5, 6, 7})).ToString(),
            "generators 4, dispatchers 5, workers 6-7");
}

TEST(CpuPlanTest, OnlyUsableCpusAreUsed) {
  const CpuPlan plan = PlanCfs(Topology::Flat(128), 6, CpuSet({70, 71, 99}));
  EXPECT_EQ(plan.ToString(), "generators 70, dispatchers 71, workers 99");
}

TEST(CpuPlanTest, GhostTheGeneratorStaysOutOfTheEnclave) {
  const CpuPlan plan = PlanCpus(Topology::Flat(8), CpuSet::FirstN(8), {.avoid = CpuSet({0, 1, 2, 3})});
  EXPECT_EQ(plan.ToString(), "generators 4");
  EXPECT_TRUE(plan.front_owns_cpus);
  EXPECT_EQ(PlanCpus(Topology::Flat(8), CpuSet::FirstN(8), {.avoid = CpuSet({4, 5, 6, 7})}).ToString(), "generators 1");
}

TEST(CpuPlanTest, GhostAnEnclaveOfAllCpusLeavesTheGeneratorAnyOfThem) {
  for (int cpus : {1, 2, 128}) {
    const CpuPlan plan = PlanCpus(Topology::Flat(cpus), CpuSet::FirstN(cpus), {.avoid = CpuSet::FirstN(cpus)});
    EXPECT_EQ(plan.ToString(), "generators any");
    EXPECT_EQ(plan.generators, (Cpus{CpuPlan::kAnyCpu}));
    EXPECT_FALSE(plan.front_owns_cpus);
  }
  // ghostd's CPUs may be more than there are.
  EXPECT_EQ(PlanCpus(Topology::Flat(2), CpuSet::FirstN(2), {.avoid = CpuSet::FirstN(8)}).ToString(), "generators any");
}

TEST(CpuPlanTest, WhatTheUserGivesIsUsed) {
  const CpuPlan plan = PlanCpus(Topology::Flat(16), CpuSet::FirstN(16),
                                {.workers = 4,
                                 .dispatcher = true,
                                 .generator_cpus = CpuSet({10, 11}),
                                 .dispatcher_cpus = CpuSet({12}),
                                 .worker_cpus = CpuSet({13, 14})});
  EXPECT_EQ(plan.generators, (Cpus{10, 11}));
  EXPECT_EQ(plan.dispatchers, (Cpus{12}));
  EXPECT_EQ(plan.workers, (Cpus{13, 14, 13, 14}));
  EXPECT_TRUE(plan.front_owns_cpus);
  EXPECT_FALSE(plan.workers_own_cpus);
}

TEST(CpuPlanTest, ThePlanKeepsOffWhatTheUserGives) {
  const CpuPlan plan =
      PlanCpus(Topology::Flat(4), CpuSet::FirstN(4), {.workers = 2, .dispatcher = true, .generator_cpus = CpuSet({0})});
  EXPECT_EQ(plan.ToString(), "generators 0, dispatchers 1, workers 2-3");
  // Everything is the generators' by the user's will: then the rest shares.
  const CpuPlan shared = PlanCpus(Topology::Flat(2), CpuSet::FirstN(2),
                                  {.workers = 2, .dispatcher = true, .generator_cpus = CpuSet({0, 1})});
  EXPECT_EQ(shared.ToString(), "generators 0-1, dispatchers 0, workers 1");
  EXPECT_FALSE(shared.front_owns_cpus);
}

TEST(CpuPlanTest, AGivenCpuInTheEnclaveIsNobodysOwn) {
  const CpuPlan plan =
      PlanCpus(Topology::Flat(4), CpuSet::FirstN(4), {.avoid = CpuSet({0, 1}), .generator_cpus = CpuSet({1})});
  EXPECT_EQ(plan.ToString(), "generators 1");
  EXPECT_FALSE(plan.front_owns_cpus);
}

TEST(CpuPlanTest, ListsOfCpus) {
  const Topology topology = Topology::Flat(8);
  const CpuSet usable({0, 1, 2, 3});
  EXPECT_EQ(*ParseCpuFlag(topology, usable, "--worker_cpus", "1-3"), CpuSet({1, 2, 3}));
  EXPECT_EQ(*ParseCpuFlag(topology, usable, "--worker_cpus", ""), CpuSet());
  for (const auto& [list, why] : {std::pair{"1-", "\"1-\" is not a CPU"}, std::pair{"2-1", "runs backwards"},
                                  std::pair{"8", "CPU 8 does not exist"}, std::pair{"all", "\"all\" is not a CPU"},
                                  std::pair{"1,,2", "empty"}, std::pair{"3-5", "this process may not use CPU 4"}}) {
    const absl::Status status = ParseCpuFlag(topology, usable, "--worker_cpus", list).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << list;
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), "--worker_cpus ")) << status;
    EXPECT_NE(HintOf(status), "") << list;
  }
}

TEST(CpuPlanTest, PinnedThreadsMayUseOnlyTheirCpu) {
  std::thread([] {
    const CpuSet before = *UsableCpus();
    ASSERT_FALSE(before.empty());
    EXPECT_TRUE(PinTo(CpuPlan::kAnyCpu).ok());
    EXPECT_EQ(*UsableCpus(), before);
    EXPECT_TRUE(PinTo(before.Last()).ok());
    EXPECT_EQ(*UsableCpus(), CpuSet({before.Last()}));
    EXPECT_FALSE(PinTo(CpuSet::kMaxCpus - 1).ok());
  }).join();
}

}  // namespace
}  // namespace ghost
