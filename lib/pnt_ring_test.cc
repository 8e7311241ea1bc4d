// The agent's side of the PNT rings on machines with several NUMA nodes: who takes from which ring, and what stands in
// which. (What it and programs do to one slot: tests/interleaving/pnt_test.cc. What the runtime makes of it: the
// schedules under tests/schedules with "_pnt".)
#include "lib/pnt_ring.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/task_test_peer.h"
#include "lib/topology.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;

// CPUs in turn, `per_node` on each of these nodes.
Topology Machine(const std::vector<int>& nodes, int per_node) {
  std::vector<Topology::Record> records;
  for (int node : nodes) {
    for (int i = 0; i < per_node; ++i) {
      const auto cpu = static_cast<int>(records.size());
      records.push_back({.cpu = cpu, .numa_node = node, .siblings = CpuSet({cpu})});
    }
  }
  absl::StatusOr<Topology> topology = Topology::Custom(records);
  EXPECT_TRUE(topology.ok()) << topology.status();
  return *std::move(topology);
}

class PntRingTest : public testing::Test {
 protected:
  void Make(const std::vector<int>& nodes, int per_node) {
    const Topology topology = Machine(nodes, per_node);
    ring_ = std::make_unique<PntRing>(memory_.get(), topology.all_cpus(), topology);
    all_ = topology.all_cpus();
    ring_->Activate(/*global_cpu=*/0);
  }
  // A waiting task that ran last on `home`, and may run on these CPUs (empty: on all).
  TaskBase* Add(int home, const CpuSet& allowed = {}) {
    Waiting& added = *tasks_.emplace_back(std::make_unique<Waiting>());
    TaskTestPeer::SetGtid(&added.task, static_cast<int64_t>(tasks_.size()));
    TaskTestPeer::SetHome(&added.task, home);
    TaskTestPeer::SetAllowed(&added.task, allowed.empty() ? all_ : allowed);
    TaskTestPeer::SetStatusWord(&added.task, StatusWord(&added.word, {}));
    return &added.task;
  }
  // All, in the order in which they were added.
  void OfferAll() {
    ring_->Begin();
    for (const auto& waiting : tasks_) {
      if (!ring_->Offer(&waiting->task)) break;
    }
    ring_->End();
  }
  // The gtids in a ring, as programs take them: lowest order first.
  std::vector<int64_t> InRing(int ring) {
    std::vector<std::pair<int32_t, int64_t>> found;
    for (const pnt_slot& slot : memory_->rings[ring].slots) {
      if (PNT_STATUS(slot.word) == PNT_READY) found.emplace_back(PNT_HIGH(slot.word), slot.gtid);
    }
    std::sort(found.begin(), found.end());
    std::vector<int64_t> gtids;
    for (const auto& [order, gtid] : found) gtids.push_back(gtid);
    return gtids;
  }
  // What a program does on `cpu` to the first of that CPU's ring. Its gtid.
  int64_t TakeOn(int cpu) {
    pnt_cpu& its = memory_->cpus[cpu];
    const int64_t gtid = InRing(static_cast<int>(its.ring) - 1).front();
    for (pnt_slot& slot : memory_->rings[its.ring - 1].slots) {
      if (PNT_STATUS(slot.word) == PNT_READY && slot.gtid == gtid) slot.word = PNT_WORD(PNT_LATCHED, cpu, ++its.takes);
    }
    return gtid;
  }

  struct Waiting {
    TaskBase task;
    ghost_status_word word = {};
  };
  const std::unique_ptr<pnt> memory_ = std::make_unique<pnt>();
  std::unique_ptr<PntRing> ring_;
  CpuSet all_;
  std::vector<std::unique_ptr<Waiting>> tasks_;
};

TEST_F(PntRingTest, CpusTakeFromTheirNodesRing) {
  Make({0, 3}, 2);
  const auto rings = [this] {
    std::vector<uint32_t> rings;
    for (int cpu : all_) rings.push_back(memory_->cpus[cpu].ring);
    return rings;
  };
  EXPECT_THAT(rings(), ElementsAre(0, 1, 2, 2)) << "ring + 1; not the global agent's CPU";
  ring_->SetTakers(/*global_cpu=*/3, /*heir=*/1);
  EXPECT_THAT(rings(), ElementsAre(1, 0, 2, 0));
}

TEST_F(PntRingTest, MoreNodesThanRingsShareThem) {
  Make({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 1);
  static_assert(PNT_RINGS == 8);
  EXPECT_EQ(memory_->cpus[7].ring, 8u);
  EXPECT_EQ(memory_->cpus[8].ring, 1u);
  EXPECT_EQ(memory_->cpus[9].ring, 2u);
  Add(9);
  Add(-1, CpuSet({8}));
  OfferAll();
  EXPECT_THAT(InRing(1), ElementsAre(1));
  EXPECT_THAT(InRing(0), ElementsAre(2));
}

TEST_F(PntRingTest, ATaskIsOfferedWhereItsCachesAreAndItMayRun) {
  Make({0, 1}, 4);
  Add(/*home=*/1);
  Add(5);
  Add(6);
  Add(-1);              // anywhere: where there are fewer
  Add(1, CpuSet({4}));  // its home is none any more
  Add(20);              // a CPU of no node
  OfferAll();
  EXPECT_THAT(InRing(0), ElementsAre(1, 4, 6));
  EXPECT_THAT(InRing(1), ElementsAre(2, 3, 5));
  for (const auto& waiting : tasks_) EXPECT_TRUE(waiting->task.in_ring());
}

TEST_F(PntRingTest, WhatANodesRingHasNoRoomForGoesToTheOthers) {
  Make({0, 1}, 2);
  for (int i = 0; i < PNT_SLOTS + 3; ++i) Add(/*home=*/1);
  Add(1, CpuSet({0, 1}));  // it may run there only
  OfferAll();
  EXPECT_EQ(InRing(0).size(), size_t{PNT_SLOTS});
  EXPECT_THAT(InRing(1), ElementsAre(PNT_SLOTS + 1, PNT_SLOTS + 2, PNT_SLOTS + 3));
  EXPECT_FALSE(tasks_.back()->task.in_ring());
}

TEST_F(PntRingTest, RingsAreTakenFromEachByItself) {
  Make({0, 1}, 2);
  for (int i = 0; i < 4; ++i) Add(i < 2 ? 1 : 2);
  OfferAll();
  EXPECT_EQ(TakeOn(3), 3);
  EXPECT_EQ(TakeOn(1), 1);
  EXPECT_EQ(TakeOn(3), 4);
  EXPECT_TRUE(ring_->HasTaken(3));
  EXPECT_FALSE(ring_->HasTaken(2));
  std::vector<std::pair<int64_t, int>> told;
  EXPECT_TRUE(ring_->Reap([&](TaskBase* task, const PntRing::Take& take) {
    told.emplace_back(task->gtid(), take.cpu);
    EXPECT_EQ(take.latest, task->gtid() != 3 || told.size() == 2) << "in the order of slots, not of takes";
  }));
  EXPECT_THAT(told, testing::UnorderedElementsAre(std::pair(1, 1), std::pair(3, 3), std::pair(4, 3)));
  EXPECT_FALSE(ring_->HasTaken(3));
  EXPECT_THAT(InRing(0), ElementsAre(2));
  EXPECT_EQ(ring_->taken(), 3u);
}

}  // namespace
}  // namespace ghost
