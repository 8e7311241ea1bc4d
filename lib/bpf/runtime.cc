#include "lib/bpf/runtime.h"

#include <utility>

#include "lib/base/status.h"

namespace ghost {

BpfRuntime::BpfRuntime(Enclave* enclave, RuntimeOptions options, std::string name,
                       std::span<const BpfObjectFile> objects)
    : ProgramsRuntime(enclave, std::move(options)), name_(std::move(name)), objects_(objects) {}

BpfRuntime::~BpfRuntime() { Stop(); }

absl::Status BpfRuntime::LoadPrograms() {
  GHOST_ASSIGN_OR_RETURN(programs_, BpfPrograms::Load(name_, objects_, enclave()->directory(), enclave()->abi()));
  return Configure(*programs_);
}

absl::Status BpfRuntime::AttachPrograms() {
  GHOST_RETURN_IF_ERROR(programs_->Attach());
  return enclave()->DisableMyBpfProgLoad();
}

absl::Status BpfRuntime::Start() {
  GHOST_RETURN_IF_ERROR(RuntimeBase::Start());
  StartScheduling();
  // Every CPU looks at what there is: its agent wakes, and sleeps again.
  for (int cpu : cpus()) cpu_base(cpu)->request->Ping();
  return absl::OkStatus();
}

void BpfRuntime::Stop() {
  RuntimeBase::Stop();
  if (programs_ != nullptr) programs_->Detach();
}

}  // namespace ghost
