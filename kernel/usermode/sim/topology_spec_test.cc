#include "kernel/usermode/sim/topology_spec.h"

#include "gtest/gtest.h"

namespace ghost::sim {
namespace {

TEST(TopologySpecTest, TwoSocketsNumberedAsLinuxDoes) {
  const auto topology = MakeTopology({.sockets = 2, .cores = 4, .smt = 2, .l3 = 2});
  EXPECT_EQ(topology->num_cpus(), 16);
  EXPECT_EQ(topology->num_cores(), 8);
  EXPECT_EQ(topology->num_numa_nodes(), 2);
  EXPECT_EQ(topology->cpu(1).siblings(), (CpuSet{1, 9}));
  EXPECT_EQ(topology->cpu(14).siblings(), (CpuSet{6, 14}));
  EXPECT_EQ(topology->cpu(1).l3_siblings(), (CpuSet{0, 1, 8, 9}));
  EXPECT_EQ(topology->cpu(3).numa_node(), 0);
  EXPECT_EQ(topology->cpu(4).numa_node(), 1);
  EXPECT_EQ(topology->cpu(11).numa_node(), 0);
  EXPECT_EQ(topology->cpu(12).numa_node(), 1);
}

TEST(TopologySpecTest, ACacheOfEachSocketUnlessSaidOtherwise) {
  const auto topology = MakeTopology({.sockets = 2, .cores = 3});
  EXPECT_EQ(topology->cpu(0).l3_siblings(), (CpuSet{0, 1, 2}));
  EXPECT_EQ(topology->cpu(5).l3_siblings(), (CpuSet{3, 4, 5}));
  const auto uneven = MakeTopology({.cores = 5, .l3 = 2});
  EXPECT_EQ(uneven->cpu(4).l3_siblings(), (CpuSet{4}));
}

}  // namespace
}  // namespace ghost::sim
