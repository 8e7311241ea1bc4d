#include "lib/affinity_groups.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"

namespace ghost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AffinityGroupsTest : public testing::Test {
 protected:
  std::vector<int> At(int cpu) {
    std::vector<int> groups;
    groups_.ForEachAt(cpu, [&](int group) { groups.push_back(group); });
    return groups;
  }
  std::vector<int> Offered(const CpuSet& idle) {
    std::vector<int> cpus;
    groups_.OfferEach(idle, [&](int cpu) { cpus.push_back(cpu); });
    return cpus;
  }
  int Wait(const CpuSet& allowed) {
    const int group = groups_.Find(allowed);
    groups_.SetWaiting(group, true);
    return group;
  }

  AffinityGroups groups_{CpuSet::FirstN(128)};
};

TEST_F(AffinityGroupsTest, OneGroupForEachSet) {
  EXPECT_EQ(groups_.Find(CpuSet::FirstN(128)), 0);
  const int pair = groups_.Find({3, 4});
  EXPECT_EQ(groups_.Find({3, 4}), pair);
  EXPECT_NE(groups_.Find({3, 5}), pair);
  EXPECT_NE(pair, 0);
  EXPECT_EQ(groups_.Find({7}), AffinityGroups::kShared + 7);
  EXPECT_LT(groups_.Find({127}), groups_.count());
}

TEST_F(AffinityGroupsTest, OnlyGroupsThatWaitAreSeenAndOnlyWhereTheyMayRun) {
  const int pair = groups_.Find({3, 4});
  EXPECT_THAT(At(3), IsEmpty());
  EXPECT_FALSE(groups_.SomebodyWaits());
  groups_.SetWaiting(pair, true);
  const int pinned = Wait({3});
  EXPECT_THAT(At(3), ElementsAre(pair, pinned));
  EXPECT_THAT(At(4), ElementsAre(pair));
  EXPECT_THAT(At(5), IsEmpty());
  EXPECT_TRUE(groups_.SomebodyHasLessChoice());
  Wait(CpuSet::FirstN(128));
  EXPECT_THAT(At(5), ElementsAre(0));
  groups_.SetWaiting(pair, false);
  groups_.SetWaiting(pinned, false);
  groups_.SetWaiting(pinned, false);  // told twice: no change
  EXPECT_THAT(At(3), ElementsAre(0));
  EXPECT_FALSE(groups_.SomebodyHasLessChoice());
  groups_.SetWaiting(0, false);
  EXPECT_FALSE(groups_.SomebodyWaits());
}

TEST_F(AffinityGroupsTest, CpusThatNobodyWaitsForAreNotOffered) {
  EXPECT_THAT(Offered({1, 2, 3, 4}), IsEmpty());
  const int pair = Wait({3, 4});
  const int pinned = Wait({100});
  EXPECT_THAT(Offered({1, 2, 3, 4}), ElementsAre(3, 4));
  groups_.SetWaiting(pair, false);
  EXPECT_THAT(Offered({1, 2, 3, 4, 100}), ElementsAre(100));
  groups_.SetWaiting(pinned, false);
  EXPECT_THAT(Offered({3, 4, 100}), IsEmpty());
}

TEST_F(AffinityGroupsTest, WhoHasAllChoicesLeavesCpusToWhoHasLess) {
  Wait(CpuSet::FirstN(128));
  EXPECT_THAT(Offered({1, 2, 3}), ElementsAre(1, 2, 3));
  Wait({1, 2});
  EXPECT_THAT(Offered({1, 2, 3}), ElementsAre(3, 1, 2));
}

TEST_F(AffinityGroupsTest, OffersEndWhenNobodyWaits) {
  Wait(CpuSet::FirstN(128));
  std::vector<int> cpus;
  groups_.OfferEach({1, 2, 3}, [&](int cpu) {
    cpus.push_back(cpu);
    if (cpu == 2) groups_.SetWaiting(0, false);
  });
  EXPECT_THAT(cpus, ElementsAre(1, 2));
}

TEST_F(AffinityGroupsTest, MoreSetsThanGroupsWaitForOneOfTheirCpus) {
  std::set<int> groups;
  for (int cpu = 0; cpu < AffinityGroups::kShared - 1; ++cpu) groups.insert(Wait({cpu, cpu + 1}));
  EXPECT_EQ(groups.size(), static_cast<size_t>(AffinityGroups::kShared - 1));
  EXPECT_EQ(groups_.Find({90, 91}), AffinityGroups::kShared + 90);
  // Whose set nobody waits with gives its group away; the others keep theirs.
  const int first = groups_.Find({0, 1});
  groups_.SetWaiting(first, false);
  EXPECT_EQ(Wait({90, 91}), first);
  EXPECT_THAT(At(90), ElementsAre(first));
  EXPECT_THAT(At(0), IsEmpty());
  EXPECT_EQ(groups_.Find({1, 2}), At(1)[0]);
}

// Whatever waits, each group is seen at those CPUs of its tasks' sets, and nowhere else.
TEST_F(AffinityGroupsTest, AgreesWithATableOfAllPairs) {
  std::mt19937 random(1);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<uint32_t>(below)); };
  std::vector<std::pair<CpuSet, int>> waiting;
  for (int step = 0; step < 20000; ++step) {
    if (draw(2) == 0 && waiting.size() < 100) {
      CpuSet allowed;
      for (int i = 1 + draw(3); i > 0; --i) allowed.Add(draw(8));
      if (draw(8) == 0) allowed = CpuSet::FirstN(128);
      const int group = groups_.Find(allowed);
      groups_.SetWaiting(group, true);
      waiting.push_back({allowed, group});
    } else if (!waiting.empty()) {
      const int index = draw(static_cast<int>(waiting.size()));
      const int group = waiting[index].second;
      waiting.erase(waiting.begin() + index);
      bool others = false;
      for (const auto& [allowed, other] : waiting) others |= other == group;
      groups_.SetWaiting(group, others);
    }
    const int cpu = draw(9);
    const std::vector<int> seen = At(cpu);
    for (const auto& [allowed, group] : waiting) {
      const bool found = std::find(seen.begin(), seen.end(), group) != seen.end();
      // A set beyond the 63 shared ones is seen at one of its CPUs at least.
      if (found) {
        ASSERT_TRUE(allowed.Contains(cpu));
      } else if (group < AffinityGroups::kShared) {
        ASSERT_FALSE(allowed.Contains(cpu));
      }
    }
  }
}

}  // namespace
}  // namespace ghost
