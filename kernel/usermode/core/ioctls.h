// The ioctls of an enclave's ctl file: arguments in, checks in the ABI's order, arguments out.
//
// What it is not: the work itself; most of these call one method of another part. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_IOCTLS_H_
#define GHOST_KERNEL_USERMODE_CORE_IOCTLS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/dialect.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Ioctls {
 public:
  explicit Ioctls(Kernel& kernel);

  // On a ctl that is open for writing. *parked: the caller, an agent, is to be answered later, unless Settle does at
  // once (Scheduler::TakeAnswer).
  int Handle(Enclave& enclave, uint64_t handle, uint32_t command, std::span<std::byte> argument, Caller& caller,
             uint64_t request, bool* parked);

 private:
  int GetInfo(Enclave& enclave, Caller& caller, ghost_ioc_sw_get_info* get);
  int FreeWord(Enclave& enclave, const ghost_sw_info& info);
  int GetCpuTime(Caller& caller, ghost_ioc_get_cpu_time* get);
  int Commit(Caller& caller, const ghost_ioc_commit_txn& commit, bool group, uint64_t request, bool* parked);
  int TaskAffinity(Enclave& enclave, ghostd_ioc_task_affinity* ask);

  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_IOCTLS_H_
