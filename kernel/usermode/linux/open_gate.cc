#include "kernel/usermode/linux/open_gate.h"

#include <utility>

#include "kernel/usermode/linux/bpf_gate.h"
#include "kernel/usermode/linux/syscall_gate.h"

namespace ghost::usermode {

absl::StatusOr<std::unique_ptr<Gate>> OpenGate(GateKind kind, Gate::EventCallback on_event, std::string* note) {
  if (kind == GateKind::kSyscall) return SyscallGate::Create(std::move(on_event));
  absl::StatusOr<std::unique_ptr<Gate>> gate = BpfGate::Create(on_event);
  if (gate.ok() || kind == GateKind::kBpf) return gate;
  *note = std::string(gate.status().message());
  return SyscallGate::Create(std::move(on_event));
}

}  // namespace ghost::usermode
