// Whether this process may hold threads of other processes at all: Yama, a security module, can forbid it.
//
// What it is not: it says nothing of a certain thread (LinuxDriver::MayAttach does). Any thread.
#ifndef GHOST_KERNEL_USERMODE_LINUX_PTRACE_PERMISSION_H_
#define GHOST_KERNEL_USERMODE_LINUX_PTRACE_PERMISSION_H_

#include "absl/status/statusor.h"

namespace ghost::usermode {

enum class PtraceScope {
  kOthers,     // whatever thread Linux's ordinary rules let it trace
  kConsenting  // only descendants, and processes that name this one with PR_SET_PTRACER (`ghostctl run` does)
};

// Of this process, on this machine. PermissionDenied with a hint if it may trace nobody.
absl::StatusOr<PtraceScope> CheckPtrace();

// The rule behind it. yama_scope: /proc/sys/kernel/yama/ptrace_scope, 0 if there is none; capable: CAP_SYS_PTRACE.
absl::StatusOr<PtraceScope> PtraceVerdict(int yama_scope, bool capable);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_PTRACE_PERMISSION_H_
