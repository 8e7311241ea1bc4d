// CfsBpfRuntime: the agent's side of cfs_bpf, completely fair scheduling that lives in BPF
// (third_party/bpf/cfs_bpf.bpf.c).
//
// The programs schedule, also while this process is stopped. Here: their configuration, and what they have counted.
// Options and weights are those of schedulers/cfs. Threads: lib/runtime.h says it; what the programs write is read as
// it is.
#ifndef GHOST_SCHEDULERS_CFS_BPF_CFS_BPF_RUNTIME_H_
#define GHOST_SCHEDULERS_CFS_BPF_CFS_BPF_RUNTIME_H_

#include <string>

#include "lib/bpf/runtime.h"
#include "schedulers/cfs/cfs_policy.h"
#include "third_party/bpf/cfs_bpf.h"

namespace ghost {

class CfsBpfRuntime final : public BpfRuntime {
 public:
  CfsBpfRuntime(Enclave* enclave, RuntimeOptions options, const CfsPolicy::Options& cfs);
  ~CfsBpfRuntime() override { Stop(); }

  RuntimeCounters Counters(int cpu) const override;
  int64_t CountTasks() const override;

 private:
  absl::Status Configure(BpfPrograms& programs) override;
  absl::Status SetTunables() override;
  void StartScheduling() override;
  void DescribeCpu(int cpu, std::string* text) override;

  const CfsPolicy::Options cfs_;
  cfs_bpf* state_ = nullptr;  // the programs' memory; lives as they do
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_CFS_BPF_CFS_BPF_RUNTIME_H_
