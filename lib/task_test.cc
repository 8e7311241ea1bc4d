#include "lib/task.h"

#include <set>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace ghost {
namespace {

using S = TaskState;

TEST(TaskState, TheTableIsWhatThePictureSays) {
  const std::set<std::pair<S, S>> legal = {
      {S::kNew, S::kBlocked},     {S::kNew, S::kRunnable},     {S::kNew, S::kOnCpu},       {S::kNew, S::kGone},
      {S::kBlocked, S::kBlocked}, {S::kBlocked, S::kRunnable}, {S::kBlocked, S::kQueued},  {S::kBlocked, S::kOnCpu},
      {S::kBlocked, S::kGone},    {S::kRunnable, S::kBlocked}, {S::kRunnable, S::kQueued}, {S::kRunnable, S::kGone},
      {S::kQueued, S::kRunnable}, {S::kQueued, S::kOnCpu},     {S::kOnCpu, S::kBlocked},   {S::kOnCpu, S::kRunnable},
      {S::kOnCpu, S::kQueued},    {S::kOnCpu, S::kGone},
  };
  for (int from = 0; from < kNumTaskStates; ++from) {
    for (int to = 0; to < kNumTaskStates; ++to) {
      const auto change = std::make_pair(static_cast<S>(from), static_cast<S>(to));
      EXPECT_EQ(IsLegal(change.first, change.second), legal.count(change) != 0)
          << TaskStateName(change.first) << " -> " << TaskStateName(change.second);
    }
  }
}

TEST(TaskState, NothingFollowsGone) {
  for (int to = 0; to < kNumTaskStates; ++to) EXPECT_FALSE(IsLegal(S::kGone, static_cast<S>(to)));
}

TEST(TaskState, WhoWantsACpu) {
  EXPECT_FALSE(CountsAsRunnable(S::kNew));
  EXPECT_FALSE(CountsAsRunnable(S::kBlocked));
  EXPECT_TRUE(CountsAsRunnable(S::kRunnable));
  EXPECT_TRUE(CountsAsRunnable(S::kQueued));
  EXPECT_TRUE(CountsAsRunnable(S::kOnCpu));
  EXPECT_FALSE(CountsAsRunnable(S::kGone));
}

TEST(TaskState, NamesAreDistinct) {
  std::set<std::string> names;
  for (int state = 0; state < kNumTaskStates; ++state) names.insert(TaskStateName(static_cast<S>(state)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kNumTaskStates));
}

}  // namespace
}  // namespace ghost
