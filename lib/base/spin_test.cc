#include "lib/base/spin.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(Spin, UsesThatMuchCpuTime) {
  const absl::Duration before = ThreadCpuTime();
  SpinFor(absl::Milliseconds(5));
  EXPECT_GE(ThreadCpuTime() - before, absl::Milliseconds(5));
}

TEST(Spin, NothingToDo) {
  SpinFor(absl::ZeroDuration());
  SpinFor(-absl::Seconds(1));
}

TEST(Spin, PauseReturns) { Pause(); }

}  // namespace
}  // namespace ghost
