#include "lib/base/status.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(Status, CarriesAnErrno) {
  const absl::Status status = ErrnoStatus(ENOENT, "cannot open /x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "cannot open /x: No such file or directory");
  EXPECT_EQ(ErrnoOf(status), ENOENT);
  EXPECT_EQ(ErrnoOf(absl::InternalError("x")), 0);
  EXPECT_EQ(ErrnoOf(absl::OkStatus()), 0);
}

TEST(Status, CarriesAHint) {
  EXPECT_EQ(HintOf(WithHint(absl::InternalError("x"), "do this")), "do this");
  EXPECT_EQ(HintOf(absl::InternalError("x")), "");
  EXPECT_EQ(HintOf(WithHint(absl::OkStatus(), "do this")), "") << "success needs no hint";
}

TEST(Status, ExitCodes) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), ExitCode::kOk);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("x")), ExitCode::kFailed);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("x")), ExitCode::kUsage);
  EXPECT_EQ(ExitCodeOf(absl::PermissionDeniedError("x")), ExitCode::kPermission);
  EXPECT_EQ(ExitCodeOf(ErrnoStatus(EPERM, "x")), ExitCode::kPermission);
  EXPECT_EQ(ExitCodeOf(ErrnoStatus(EACCES, "x")), ExitCode::kPermission);
  EXPECT_EQ(ExitCodeOf(ErrnoStatus(EBUSY, "x")), ExitCode::kBusy);
  EXPECT_EQ(ExitCodeOf(absl::AlreadyExistsError("x")), ExitCode::kBusy);
  EXPECT_EQ(ExitCodeOf(ErrnoStatus(EINVAL, "x")), ExitCode::kFailed) << "a system call's EINVAL is not a usage error";
  EXPECT_EQ(ExitCodeOf(WithExitCode(ErrnoStatus(EBUSY, "x"), ExitCode::kNoKernel)), ExitCode::kNoKernel);
}

TEST(Report, PrintsTheMessageAndTheHint) {
  testing::internal::CaptureStderr();
  const int code = Report("prog", WithHint(ErrnoStatus(EBUSY, "cannot take CPU 3"), "stop enclave_1"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "prog: cannot take CPU 3: Device or resource busy\nhint: stop enclave_1\n");
  EXPECT_EQ(code, 5);
}

TEST(Report, PrintsOneLineWhateverTheMessage) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Report("prog", WithHint(absl::InternalError("a\nb\n"), "c\r\nd")), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "prog: a b\nhint: c  d\n");
}

TEST(Report, IsSilentOnSuccess) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Report("prog", absl::OkStatus()), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  GHOST_ASSIGN_OR_RETURN(int half, Half(n));
  GHOST_ASSIGN_OR_RETURN(int quarter, Half(half));
  GHOST_RETURN_IF_ERROR(quarter < 100 ? absl::OkStatus() : absl::OutOfRangeError("big"));
  return quarter;
}

TEST(StatusMacros, PassErrorsOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_EQ(Quarter(400).status().message(), "big");
}

}  // namespace
}  // namespace ghost
