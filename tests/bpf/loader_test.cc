// The loader where its kernel is another than it was told, or has no object to load.
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/abi/abi_version.h"
#include "lib/base/status.h"
#include "lib/bpf/programs.h"
#include "third_party/bpf/biff_objects.h"

namespace ghost {
namespace {

using testing::HasSubstr;

TEST(LoaderTest, NoObjectForTheKernelIsExitCode3) {
  std::vector<BpfObjectFile> newer;
  for (const BpfObjectFile& file : BiffObjects()) {
    if (!file.user_mode && file.abi >= 79) newer.push_back(file);
  }
  const auto programs = BpfPrograms::LoadFor(/*user_mode=*/false, "biff", newer, "/nowhere", *FindAbi(75));
  ASSERT_FALSE(programs.ok());
  EXPECT_THAT(programs.status().message(), HasSubstr("biff has no BPF programs for ABI 75 of /nowhere"));
  EXPECT_EQ(ExitCodeOf(programs.status()), ExitCode::kNoKernel);
}

TEST(LoaderTest, AGhostKernelsObjectOnAStockKernelIsRefusedWithAHint) {
  for (uint32_t abi : {69u, 91u}) {
    testing::internal::CaptureStderr();  // the log
    const auto programs = BpfPrograms::LoadFor(/*user_mode=*/false, "biff", BiffObjects(), "/nowhere", *FindAbi(abi));
    testing::internal::GetCapturedStderr();
    ASSERT_FALSE(programs.ok());
    EXPECT_THAT(programs.status().message(), HasSubstr("cannot load the BPF programs of biff"));
    EXPECT_FALSE(HintOf(programs.status()).empty());
  }
}

TEST(LoaderTest, AttachingToNoEnclaveFailsAndAttachesNothing) {
  auto programs = BpfPrograms::LoadFor(/*user_mode=*/true, "biff", BiffObjects(), "/nowhere", *FindAbi(91));
  ASSERT_TRUE(programs.ok()) << programs.status();
  const absl::Status status = (*programs)->Attach(absl::ZeroDuration());
  EXPECT_THAT(status.message(), HasSubstr("to /nowhere"));
  EXPECT_FALSE((*programs)->attached());
}

}  // namespace
}  // namespace ghost
