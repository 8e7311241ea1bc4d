// Commits, messages, wake-ups and answers take no memory from the heap.
#include <gtest/gtest.h>

#include "kernel/usermode/core/hot_path.h"
#include "lib/base/testing/allocation_counter.h"

namespace ghost::usermode {
namespace {

TEST(AllocationTest, HotPathsDoNotAllocate) {
  HotPath path(20);
  auto round = [&](size_t i) {
    path.CommitLocal(i);
    path.BlockAndWake(i);
    path.RunRemoteAndPreempt(i);
    path.GroupAndYield(i, i + 1);
    path.YieldAndPing();
    path.TicksAndChanges(i);
  };
  round(0);
  AllocationCounter allocations;
  for (size_t i = 0; i + 1 < 20; ++i) round(i);
  EXPECT_EQ(allocations.count(), 0);
  path.core().CheckInvariants();
}

}  // namespace
}  // namespace ghost::usermode
