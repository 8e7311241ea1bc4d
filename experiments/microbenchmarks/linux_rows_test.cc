#include "experiments/microbenchmarks/linux_rows.h"

#include <sched.h>

#include "gtest/gtest.h"
#include "lib/base/cpu_set.h"

namespace ghost {
namespace {

constexpr int64_t kRounds = 50;

int SomeCpu() {
  cpu_set_t own;
  sched_getaffinity(0, sizeof(own), &own);
  return CpuSet::FromCpuSetT(own).Last();
}

TEST(LinuxRows, EachIsMeasuredAsOftenAsIsWanted) {
  const auto syscall = MeasureSyscall(SomeCpu(), kRounds), cfs = MeasureCfsSwitch(SomeCpu(), kRounds);
  ASSERT_TRUE(syscall.ok() && cfs.ok());
  EXPECT_EQ(syscall->count(), static_cast<uint64_t>(kRounds));
  EXPECT_EQ(cfs->count(), static_cast<uint64_t>(kRounds));
  EXPECT_EQ(MeasureClock(kRounds).count(), static_cast<uint64_t>(kRounds));
  EXPECT_GT(syscall->min_ns(), 0u);
  // A wake-up, a way into sleep, and a switch: more than one system call.
  EXPECT_GT(cfs->min_ns(), syscall->min_ns());
}

TEST(LinuxRows, ThePthreadSwitchNeedsARight) {
  const auto yields = MeasurePthreadSwitch(SomeCpu(), kRounds);
  if (!yields.ok()) GTEST_SKIP() << yields.status();
  EXPECT_EQ(yields->count(), static_cast<uint64_t>(kRounds));
  EXPECT_GT(yields->min_ns(), MeasureClock(kRounds).min_ns());
}

TEST(LinuxRows, ACpuThatIsNotThereIsAnError) {
  EXPECT_FALSE(MeasureSyscall(1023, kRounds).ok());
  EXPECT_FALSE(MeasurePthreadSwitch(1023, kRounds).ok());
  EXPECT_FALSE(MeasureCfsSwitch(1023, kRounds).ok());
}

}  // namespace
}  // namespace ghost
