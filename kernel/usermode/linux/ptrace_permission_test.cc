#include "kernel/usermode/linux/ptrace_permission.h"

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

TEST(PtracePermission, FollowsYamasRules) {
  for (bool capable : {false, true}) {
    EXPECT_EQ(*PtraceVerdict(0, capable), PtraceScope::kOthers);
    EXPECT_EQ(*PtraceVerdict(1, capable), capable ? PtraceScope::kOthers : PtraceScope::kConsenting);
    EXPECT_EQ(PtraceVerdict(2, capable).ok(), capable);
    EXPECT_FALSE(PtraceVerdict(3, capable).ok());
  }
}

TEST(PtracePermission, ARefusalIsAPermissionErrorWithAHint) {
  for (int scope : {2, 3}) {
    const absl::Status status = PtraceVerdict(scope, false).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kPermission);
    EXPECT_NE(HintOf(status).find("ptrace_scope"), std::string::npos);
  }
}

}  // namespace
}  // namespace ghost::usermode
