// Enclaves: creation, their CPUs, destruction.
//
// Destruction is asked for by an event (a write of `destroy`, a task that has waited too long, the end of an ephemeral
// enclave's last agent) and done at the end of that same entry into the core, after its result is known: the ctl file
// goes first, then agents are killed, tasks let go, and the directory removed. The object goes when its last agent has
// ended. What it is not: the texts of the files (ghostfs_files.h, enclave_ctl.h). One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_ENCLAVES_H_
#define GHOST_KERNEL_USERMODE_CORE_ENCLAVES_H_

#include <cstdint>
#include <vector>

#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Enclaves {
 public:
  explicit Enclaves(Kernel& kernel);

  struct Config {
    uint64_t id = 0;
    const AbiVersion* abi = nullptr;
    uid_t uid = 0;
    gid_t gid = 0;
    bool ephemeral = false;
  };
  // 0, -EEXIST, -ENOMEM.
  int Create(const Config& config);
  // Makes `cpus` the set of the enclave's CPUs; all or nothing. 0 or -errno.
  int SetCpus(Enclave& enclave, const CpuSet& cpus);
  int CreateStatusWordRegion(Enclave& enclave, uint32_t id, int32_t node);

  // Removes the ctl file; the rest happens in FinishDestroys.
  void RequestDestroy(Enclave& enclave);
  void FinishDestroys();

  // An agent of a dying enclave has ended.
  void RemoveCpu(Cpu& cpu);
  // A task, an agent or a writer of its ctl has gone: the enclave may end now.
  void Released(Enclave& enclave);

  Enclave* FindEnclave(uint64_t id);

 private:
  void Destroy(Enclave& enclave);
  void Free(Enclave& enclave);

  Kernel& kernel_;
  State& state_;
  std::vector<Enclave*> to_destroy_;
  bool garbage_ = false;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_ENCLAVES_H_
