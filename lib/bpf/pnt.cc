#include "lib/bpf/pnt.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/enclave.h"
#include "third_party/bpf/pnt_ring_objects.h"

namespace ghost {

absl::Status BpfPntPrograms::Load(Enclave& enclave) {
  if (enclave.cpus().Last() >= PNT_MAX_CPUS) {
    return absl::InvalidArgumentError(absl::StrCat("--pnt knows CPUs up to ", PNT_MAX_CPUS - 1));
  }
  GHOST_ASSIGN_OR_RETURN(programs_, BpfPrograms::Load("--pnt", PntRingObjects(), enclave.directory(), enclave.abi()));
  memory_ = programs_->Global<pnt>();
  return memory_ != nullptr ? absl::OkStatus() : absl::InternalError("--pnt's program has other rings than this agent");
}

absl::Status BpfPntPrograms::Attach(Enclave& enclave) {
  GHOST_RETURN_IF_ERROR(programs_->Attach());
  return enclave.DisableMyBpfProgLoad();
}

}  // namespace ghost
