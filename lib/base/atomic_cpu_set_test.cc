#include "lib/base/atomic_cpu_set.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"

namespace ghost {
namespace {

TEST(AtomicCpuSetTest, AddsAndRemoves) {
  AtomicCpuSet set(200);
  EXPECT_TRUE(set.empty());
  for (int cpu : {0, 63, 64, 199}) set.Add(cpu);
  set.Remove(63);
  set.Remove(5);
  EXPECT_FALSE(set.empty());
  EXPECT_TRUE(set.Contains(64));
  EXPECT_FALSE(set.Contains(63));
  EXPECT_FALSE(set.Contains(1000));
  EXPECT_TRUE(set.Contains(CpuSet({0, 199})));
  EXPECT_FALSE(set.Contains(CpuSet({0, 63})));
}

TEST(AtomicCpuSetTest, TheFirstOneThatIsInBoth) {
  AtomicCpuSet set(200);
  for (int cpu : {3, 70, 130, 199}) set.Add(cpu);
  const CpuSet all = CpuSet::FirstN(200);
  struct Case {
    int from;
    CpuSet a, b;
    int expected;
  };
  const Case kCases[] = {
      {0, all, all, 3},
      {3, all, all, 3},
      {4, all, all, 70},
      {131, all, all, 199},
      {200, all, all, -1},
      {0, CpuSet({70, 130}), CpuSet({3, 130}), 130},
      {0, CpuSet({70}), CpuSet({3}), -1},
      {0, all, CpuSet(), -1},
      {64, all, all, 70},
      {128, all, all, 130},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(set.FirstIn(c.from, c.a, c.b), c.expected) << c.from << " " << ToCpuList(c.a) << " " << ToCpuList(c.b);
  }
}

// Of two that each add one and then look, one at least sees the other: nobody waits for somebody who waits for him.
TEST(AtomicCpuSetTest, OneOfTwoSeesTheOther) {
  for (int round = 0; round < 2000; ++round) {
    AtomicCpuSet first(64), second(64);
    bool saw[2];
    std::thread other([&] {
      second.Add(1);
      saw[1] = first.Contains(1);
    });
    first.Add(1);
    saw[0] = second.Contains(1);
    other.join();
    ASSERT_TRUE(saw[0] || saw[1]);
  }
}

}  // namespace
}  // namespace ghost
