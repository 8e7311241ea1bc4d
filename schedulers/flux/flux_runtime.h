// FluxRuntime: the agent's side of flux, a tree of schedulers that lives in BPF (third_party/bpf/flux.bpf.c).
//
// The programs schedule, also while this process is stopped. Here: their configuration, and what they have counted.
// Threads: lib/runtime.h says it; what the programs write is read as it is.
#ifndef GHOST_SCHEDULERS_FLUX_FLUX_RUNTIME_H_
#define GHOST_SCHEDULERS_FLUX_FLUX_RUNTIME_H_

#include <string>

#include "absl/time/time.h"
#include "lib/bpf/runtime.h"
#include "schedulers/flux/flux_tree.h"
#include "third_party/bpf/flux.h"

namespace ghost {

class FluxRuntime final : public BpfRuntime {
 public:
  struct Config {
    FluxTree tree;
    absl::Duration slice;  // how long a leaf's thread runs while others of it wait
  };
  FluxRuntime(Enclave* enclave, RuntimeOptions options, Config config);
  ~FluxRuntime() override { Stop(); }

  RuntimeCounters Counters(int cpu) const override;
  int64_t CountTasks() const override;

 private:
  absl::Status Configure(BpfPrograms& programs) override;
  absl::Status SetTunables() override;
  void StartScheduling() override;
  void DescribeCpu(int cpu, std::string* text) override;

  const Config config_;
  flux* state_ = nullptr;  // the programs' memory; lives as they do
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_FLUX_FLUX_RUNTIME_H_
