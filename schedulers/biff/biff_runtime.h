// BiffRuntime: the agent's side of biff, a global FIFO that lives in BPF (third_party/bpf/biff.bpf.c).
//
// The programs schedule, also while this process is stopped. Here: their configuration, and what they have counted.
// Threads: lib/runtime.h says it.
#ifndef GHOST_SCHEDULERS_BIFF_BIFF_RUNTIME_H_
#define GHOST_SCHEDULERS_BIFF_BIFF_RUNTIME_H_

#include <string>

#include "absl/time/time.h"
#include "lib/bpf/state_runtime.h"
#include "third_party/bpf/biff.h"

namespace ghost {

class BiffRuntime final : public BpfStateRuntime<biff> {
 public:
  // `slice`: how long a task runs while others wait.
  BiffRuntime(Enclave* enclave, RuntimeOptions options, absl::Duration slice);
  ~BiffRuntime() override { Stop(); }

 private:
  void WriteConfig(biff* state) override;
  int64_t TasksNow(const biff& state) const override;
  void CountOwn(const biff& state, int cpu, RuntimeCounters* counters) const override;
  void DescribeCpu(int cpu, std::string* text) override;

  const absl::Duration slice_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_BIFF_BIFF_RUNTIME_H_
