#include "lib/base/status.h"

#include <cerrno>
#include <iostream>
#include <system_error>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ghost {
namespace {

constexpr char kErrnoUrl[] = "ghost/errno";
constexpr char kHintUrl[] = "ghost/hint";
constexpr char kExitCodeUrl[] = "ghost/exit_code";

void SetNumber(absl::Status* status, absl::string_view url, int number) {
  status->SetPayload(url, absl::Cord(absl::StrCat(number)));
}

// The number under `url`, or `missing`.
int GetNumber(const absl::Status& status, absl::string_view url, int missing) {
  absl::optional<absl::Cord> payload = status.GetPayload(url);
  int number;
  return payload.has_value() && absl::SimpleAtoi(std::string(*payload), &number) ? number : missing;
}

// Reports are lines: whatever a message brings along must not break one.
std::string OneLine(absl::string_view text) {
  std::string line(text);
  while (!line.empty() && line.back() == '\n') line.pop_back();
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line;
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  // std::generic_category is strerror without its shared buffer.
  absl::Status status(absl::ErrnoToStatusCode(error), absl::StrCat(what, ": ", std::generic_category().message(error)));
  SetNumber(&status, kErrnoUrl, error);
  return status;
}

int ErrnoOf(const absl::Status& status) { return GetNumber(status, kErrnoUrl, 0); }

absl::Status WithHint(absl::Status status, absl::string_view hint) {
  status.SetPayload(kHintUrl, absl::Cord(hint));
  return status;
}

std::string HintOf(const absl::Status& status) {
  absl::optional<absl::Cord> hint = status.GetPayload(kHintUrl);
  return hint.has_value() ? std::string(*hint) : std::string();
}

absl::Status WithExitCode(absl::Status status, ExitCode code) {
  SetNumber(&status, kExitCodeUrl, static_cast<int>(code));
  return status;
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return ExitCode::kOk;
  const int given = GetNumber(status, kExitCodeUrl, -1);
  if (given >= 0) return static_cast<ExitCode>(given);
  const int error = ErrnoOf(status);
  if (error == EBUSY) return ExitCode::kBusy;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return error == 0 ? ExitCode::kUsage : ExitCode::kFailed;
    case absl::StatusCode::kPermissionDenied:
      return ExitCode::kPermission;
    case absl::StatusCode::kAlreadyExists:
      return ExitCode::kBusy;
    default:
      return ExitCode::kFailed;
  }
}

int Report(absl::string_view program, const absl::Status& status) {
  if (!status.ok()) {
    std::string text = absl::StrCat(program, ": ", OneLine(status.message()), "\n");
    if (std::string hint = HintOf(status); !hint.empty()) absl::StrAppend(&text, "hint: ", OneLine(hint), "\n");
    // One write, so that lines of two processes don't mix.
    std::cerr << text << std::flush;
  }
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace ghost
