// The enclaves of a kernel as ghostctl shows and finds them, read from their control files.
#ifndef GHOST_UTIL_CTL_ENCLAVES_H_
#define GHOST_UTIL_CTL_ENCLAVES_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/kernel.h"

namespace ghost::ctl {

struct EnclaveView {
  uint64_t id = 0;
  std::string name;
  std::string directory;
  uint32_t abi = 0;
  std::string cpus;     // as the kernel writes it
  bool online = false;  // an agent serves it
  int64_t num_tasks = 0;
};

// In the order of their numbers. An enclave that vanishes meanwhile is left out.
absl::StatusOr<std::vector<EnclaveView>> ViewEnclaves(Kernel& kernel);
absl::StatusOr<EnclaveView> ViewEnclave(KernelEnclave& enclave);

// The enclave that a user means: "2", "enclave_2" or its path; "" is the only one that there is (an error that names
// the choices if there are several).
absl::StatusOr<std::unique_ptr<KernelEnclave>> FindEnclave(Kernel& kernel, const std::string& text);

// The tids in its `tasks` file (the kernel shows the first page of them only).
absl::StatusOr<std::vector<pid_t>> TasksOf(KernelEnclave& enclave);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_ENCLAVES_H_
