// absl::Status for what can go wrong outside our own code, its exit code, and the one way a program reports it.
//
// A Status may carry a hint (what the user can do) and an exit code; Report() prints
//     program: message
//     hint: …
// on stderr and returns the exit code to leave main with.
#ifndef GHOST_LIB_BASE_STATUS_H_
#define GHOST_LIB_BASE_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ghost {

enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kNoKernel = 3,  // no ghost kernel, or no common ABI
  kPermission = 4,
  kBusy = 5,  // CPUs or enclave busy
};

// A Status for errno value `error`: "what: strerror". Its errno can be read back with ErrnoOf.
absl::Status ErrnoStatus(int error, absl::string_view what);
// The errno a Status was made from, or 0.
int ErrnoOf(const absl::Status& status);

absl::Status WithHint(absl::Status status, absl::string_view hint);
std::string HintOf(const absl::Status& status);  // "" if it has none
absl::Status WithExitCode(absl::Status status, ExitCode code);
// As given by WithExitCode; otherwise by kind: InvalidArgument 2, PermissionDenied 4, AlreadyExists/EBUSY 5, else 1.
ExitCode ExitCodeOf(const absl::Status& status);

// Prints the two lines for a failed status and returns its exit code as an int.
int Report(absl::string_view program, const absl::Status& status);

}  // namespace ghost

#define GHOST_RETURN_IF_ERROR(expression)                                                    \
  do {                                                                                       \
    if (::absl::Status ghost_status = (expression); !ghost_status.ok()) return ghost_status; \
  } while (0)

#define GHOST_STATUS_CONCAT_(a, b) a##b
#define GHOST_STATUS_CONCAT(a, b) GHOST_STATUS_CONCAT_(a, b)
#define GHOST_ASSIGN_OR_RETURN(declaration, expression) \
  GHOST_ASSIGN_OR_RETURN_(GHOST_STATUS_CONCAT(ghost_or_, __LINE__), declaration, expression)
#define GHOST_ASSIGN_OR_RETURN_(temporary, declaration, expression) \
  auto temporary = (expression);                                    \
  if (!temporary.ok()) return temporary.status();                   \
  declaration = *std::move(temporary)

#endif  // GHOST_LIB_BASE_STATUS_H_
