#include "lib/base/capability.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"

namespace ghost {
namespace {

// Leaves the calling thread these of its permitted capabilities as effective ones; false: it has not all of them.
bool Keep(uint32_t low, uint32_t high) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  data[0].effective = low;
  data[1].effective = high;
  return syscall(SYS_capset, &header, data) == 0;
}

TEST(CapabilityTest, OfTheThreadAndOfBothWords) {
  bool kept = false;
  std::thread thread([&] {
    kept = Keep(CAP_TO_MASK(CAP_SYS_NICE), CAP_TO_MASK(CAP_BPF));
    if (!kept) return;
    EXPECT_TRUE(HasCapability(CAP_SYS_NICE));
    EXPECT_TRUE(HasCapability(CAP_BPF));
    EXPECT_FALSE(HasCapability(CAP_SYS_ADMIN));
    EXPECT_FALSE(HasCapability(CAP_PERFMON));
    ASSERT_TRUE(Keep(0, 0));
    EXPECT_FALSE(HasCapability(CAP_SYS_NICE));
    EXPECT_FALSE(HasCapability(CAP_BPF));
  });
  thread.join();
  if (!kept) GTEST_SKIP() << "this process has not the capabilities to take away";
}

}  // namespace
}  // namespace ghost
