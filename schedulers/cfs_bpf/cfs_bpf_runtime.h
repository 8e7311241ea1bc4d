// CfsBpfRuntime: the agent's side of cfs_bpf, completely fair scheduling that lives in BPF
// (third_party/bpf/cfs_bpf.bpf.c).
//
// The programs schedule, also while this process is stopped. Here: their configuration, and what they have counted.
// Options and weights are those of schedulers/cfs. Threads: lib/runtime.h says it.
#ifndef GHOST_SCHEDULERS_CFS_BPF_CFS_BPF_RUNTIME_H_
#define GHOST_SCHEDULERS_CFS_BPF_CFS_BPF_RUNTIME_H_

#include <string>

#include "lib/bpf/state_runtime.h"
#include "schedulers/cfs/cfs_policy.h"
#include "third_party/bpf/cfs_bpf.h"

namespace ghost {

class CfsBpfRuntime final : public BpfStateRuntime<cfs_bpf> {
 public:
  CfsBpfRuntime(Enclave* enclave, RuntimeOptions options, const CfsPolicy::Options& cfs);
  ~CfsBpfRuntime() override { Stop(); }

 private:
  void WriteConfig(cfs_bpf* state) override;
  int64_t TasksNow(const cfs_bpf& state) const override;
  void CountOwn(const cfs_bpf& state, int cpu, RuntimeCounters* counters) const override;
  void DescribeCpu(int cpu, std::string* text) override;

  const CfsPolicy::Options cfs_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_CFS_BPF_CFS_BPF_RUNTIME_H_
