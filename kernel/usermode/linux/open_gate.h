// Which gate ghostd uses: the fastest that this machine and this user allow.
//
// What it is not: it opens one only; a task is never moved from one gate to another. Loop thread, once.
#ifndef GHOST_KERNEL_USERMODE_LINUX_OPEN_GATE_H_
#define GHOST_KERNEL_USERMODE_LINUX_OPEN_GATE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernel/usermode/linux/gate.h"

namespace ghost::usermode {

enum class GateKind {
  kAuto,     // BPF; where that is refused, system calls
  kBpf,      // BpfGate or nothing
  kSyscall,  // SyscallGate
};

// With kAuto, `*note` says in one line why BPF was refused; it stays empty otherwise.
absl::StatusOr<std::unique_ptr<Gate>> OpenGate(GateKind kind, Gate::EventCallback on_event, std::string* note);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_OPEN_GATE_H_
