#include "kernel/usermode/linux/ptrace_permission.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

constexpr char kScopeFile[] = "/proc/sys/kernel/yama/ptrace_scope";

bool HasCapSysPtrace() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective & CAP_TO_MASK(CAP_SYS_PTRACE)) != 0;
}

}  // namespace

absl::StatusOr<PtraceScope> PtraceVerdict(int yama_scope, bool capable) {
  constexpr int kChildrenOnly = 1, kNobody = 3;
  if (yama_scope < kChildrenOnly || (capable && yama_scope < kNobody)) return PtraceScope::kOthers;
  if (yama_scope == kChildrenOnly) return PtraceScope::kConsenting;
  absl::Status refused = WithExitCode(absl::PermissionDeniedError(absl::StrCat(
                                          "cannot hold other programs' threads: ", kScopeFile, " is ", yama_scope)),
                                      ExitCode::kPermission);
  if (yama_scope >= kNobody) {
    return WithHint(refused, "this value lasts until the next boot: set kernel.yama.ptrace_scope = 0 in /etc/sysctl.d");
  }
  return WithHint(refused, "run as root, give ghostd CAP_SYS_PTRACE, or: sysctl kernel.yama.ptrace_scope=0");
}

absl::StatusOr<PtraceScope> CheckPtrace() {
  int scope = 0;
  absl::StatusOr<std::string> text = ReadFile(kScopeFile);
  if (!text.ok() || !absl::SimpleAtoi(*text, &scope)) scope = 0;
  return PtraceVerdict(scope, HasCapSysPtrace());
}

}  // namespace ghost::usermode
