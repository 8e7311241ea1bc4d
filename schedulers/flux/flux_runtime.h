// FluxRuntime: the agent's side of flux, a tree of schedulers that lives in BPF (third_party/bpf/flux.bpf.c).
//
// The programs schedule, also while this process is stopped. Here: their configuration, and what they have counted.
// Threads: lib/runtime.h says it.
#ifndef GHOST_SCHEDULERS_FLUX_FLUX_RUNTIME_H_
#define GHOST_SCHEDULERS_FLUX_FLUX_RUNTIME_H_

#include <string>

#include "absl/time/time.h"
#include "lib/bpf/state_runtime.h"
#include "schedulers/flux/flux_tree.h"
#include "third_party/bpf/flux.h"

namespace ghost {

class FluxRuntime final : public BpfStateRuntime<flux> {
 public:
  struct Config {
    FluxTree tree;
    absl::Duration slice;  // how long a leaf's thread runs while others of it wait
  };
  FluxRuntime(Enclave* enclave, RuntimeOptions options, Config config);
  ~FluxRuntime() override { Stop(); }

 private:
  void WriteConfig(flux* state) override;
  int64_t TasksNow(const flux& state) const override;
  void CountOwn(const flux& state, int cpu, RuntimeCounters* counters) const override;
  void DescribeCpu(int cpu, std::string* text) override;

  const Config config_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_FLUX_FLUX_RUNTIME_H_
