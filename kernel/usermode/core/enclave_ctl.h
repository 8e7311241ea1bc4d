// The commands that are written into ghostfs's two kinds of ctl files.
//
// They are read as a ghost kernel reads them, with sscanf: lax in some ways, strict in others (text.h). One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_ENCLAVE_CTL_H_
#define GHOST_KERNEL_USERMODE_CORE_ENCLAVE_CTL_H_

#include <string_view>

#include "kernel/usermode/core/enclaves.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

// Both: 0 or -errno.
class EnclaveCtl {
 public:
  explicit EnclaveCtl(Kernel& kernel);

  // `create <id> <abi> [options]`. Options: a bare number or gid=N, ephemeral.
  int WriteRoot(std::string_view text, const Caller& caller);
  // `destroy`, `create sw_region <id> <node>`, `become agent …`, `disable my bpf_prog_load`, `discover tasks`.
  int Write(Enclave& enclave, std::string_view text, Caller& caller);

 private:
  int ParseOptions(std::string_view text, Enclaves::Config* config) const;

  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_ENCLAVE_CTL_H_
