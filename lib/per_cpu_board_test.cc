#include "lib/per_cpu_board.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"
#include "lib/topology.h"

namespace ghost {
namespace {

// Two nodes of two L3 caches of two cores of two CPUs: 0-15, siblings 0,1 2,3 …
std::shared_ptr<const Topology> TwoNodes() {
  std::vector<Topology::Record> records;
  for (int cpu = 0; cpu < 16; ++cpu) {
    const int cache = cpu / 4 * 4;
    records.push_back({.cpu = cpu,
                       .numa_node = cpu / 8,
                       .siblings = CpuSet({cpu / 2 * 2, cpu / 2 * 2 + 1}),
                       .l3_siblings = CpuSet({cache, cache + 1, cache + 2, cache + 3})});
  }
  return std::make_shared<const Topology>(*Topology::Custom(records));
}

TEST(CpuBoardTest, TheNearestIdleCpu) {
  const CpuSet all = CpuSet::FirstN(16);
  struct Case {
    const char* name;
    CpuSet idle;
    CpuSet allowed;
    int near;
    int expected;
  };
  const Case kCases[] = {
      {"nobody is", {}, all, 0, -1},
      {"nobody that is allowed", {3, 4}, {5, 6}, 0, -1},
      {"itself, if its core is", {0, 1, 2, 3}, all, 1, 1},
      {"a whole core of the same cache before a half", {1, 2, 3}, all, 1, 2},
      {"a half of the same cache before a whole core of another", {3, 4, 5}, all, 0, 3},
      {"the same node before another", {6, 8, 9}, all, 0, 6},
      {"a whole core of the same node before a half", {4, 6, 7}, all, 0, 6},
      {"any", {12}, all, 0, 12},
      {"round from where it is", {4, 8}, all, 10, 8},
      {"a core is whole without a sibling that is not allowed", {2, 3}, {2}, 0, 2},
      {"near nowhere", {5}, all, -1, 5},
  };
  for (const Case& c : kCases) {
    CpuBoard board(all, TwoNodes());
    for (int cpu : c.idle) board.idle().Add(cpu);
    EXPECT_EQ(board.NearestIdle(c.near, c.allowed), c.expected) << c.name;
  }
}

TEST(CpuBoardTest, WhatStandsInTheFiguresOfACpu) {
  CpuBoard board(CpuSet::FirstN(2), std::make_shared<const Topology>(Topology::Flat(2)));
  board.row(1).runnable.Add(3);
  board.row(1).incoming = 2;
  board.row(1).tasks = 7;
  const CpuSet allowed({0, 1});
  EXPECT_EQ(CpuLoads(allowed, board)[1].runnable, 5);
  EXPECT_EQ(CpuLoads(allowed, board)[1].tasks, 7);
  EXPECT_EQ(CpuLoads(allowed, board, /*counted_on=*/1, /*counted=*/1)[1].runnable, 4);
  EXPECT_EQ(CpuLoads(allowed, board, /*counted_on=*/1, /*counted=*/1)[1].tasks, 6);
  EXPECT_EQ(CpuLoads(allowed, board, /*counted_on=*/1, /*counted=*/1)[0].runnable, 0);
}

}  // namespace
}  // namespace ghost
