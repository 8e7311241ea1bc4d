// TwinProgram: one hook's program of a scheduler's twin in C++ (biff_twin.h, cfs_bpf_twin.h), as Core::AttachProgram
// takes it. It keeps a reference to the twin. One thread.
#ifndef GHOST_KERNEL_USERMODE_SIM_TWIN_PROGRAM_H_
#define GHOST_KERNEL_USERMODE_SIM_TWIN_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/usermode/core/bpf_program.h"

namespace ghost::sim {

template <typename T>
class TwinProgram final : public usermode::BpfProgram {
 public:
  explicit TwinProgram(T* twin) : twin_(*twin) {}
  bool Run(usermode::BpfHook hook, std::span<std::byte> context, int cpu, usermode::BpfHelpers& helpers,
           int32_t* result) override {
    return twin_.Run(hook, context, cpu, helpers, result);
  }

 private:
  T& twin_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_TWIN_PROGRAM_H_
