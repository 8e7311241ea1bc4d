#include "experiments/microbenchmarks/cpu_order.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

// Two nodes of two cores of two threads: core i has CPUs i and i + 4; cores 0 and 1 are on node 0.
Topology TwoNodes() {
  std::vector<Topology::Record> records;
  for (int cpu = 0; cpu < 8; ++cpu) {
    records.push_back({.cpu = cpu, .numa_node = cpu % 4 / 2, .siblings = {cpu % 4, cpu % 4 + 4}});
  }
  return *Topology::Custom(records);
}

using Order = std::vector<int>;

TEST(CpuOrder, EachCoreOnceBeforeAnyTwiceTheAgentsLast) {
  EXPECT_EQ(CpuOrder(TwoNodes(), CpuSet::FirstN(8), 0, false), (Order{1, 4, 5, 2, 3, 6, 7}));
  // The agent sits on the second thread of its core: the first one is its sibling.
  EXPECT_EQ(CpuOrder(TwoNodes(), CpuSet::FirstN(8), 5, false), (Order{0, 1, 4, 2, 3, 6, 7}));
}

TEST(CpuOrder, ThePackedWay) {
  EXPECT_EQ(CpuOrder(TwoNodes(), CpuSet::FirstN(8), 0, true), (Order{4, 1, 5, 2, 6, 3, 7}));
}

TEST(CpuOrder, OnlyCandidates) {
  EXPECT_EQ(CpuOrder(TwoNodes(), {2, 6, 7}, 2, false), (Order{7, 6}));
  EXPECT_EQ(CpuOrder(TwoNodes(), {2, 500}, 0, false), (Order{2}));
  EXPECT_EQ(CpuOrder(TwoNodes(), {}, 0, false), Order());
}

TEST(CpuOrder, FlatIsByNumber) {
  EXPECT_EQ(CpuOrder(Topology::Flat(4), CpuSet::FirstN(4), 1, false), (Order{0, 2, 3}));
}

}  // namespace
}  // namespace ghost
