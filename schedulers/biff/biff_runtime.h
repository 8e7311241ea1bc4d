// BiffRuntime: the agent's side of biff, a global FIFO that lives in BPF (third_party/bpf/biff.bpf.c).
//
// The programs schedule, also while this process is stopped. Here: their configuration, and what they have counted.
// Threads: lib/runtime.h says it; what the programs write is read as it is.
#ifndef GHOST_SCHEDULERS_BIFF_BIFF_RUNTIME_H_
#define GHOST_SCHEDULERS_BIFF_BIFF_RUNTIME_H_

#include <string>

#include "absl/time/time.h"
#include "lib/bpf/runtime.h"
#include "third_party/bpf/biff.h"

namespace ghost {

class BiffRuntime final : public BpfRuntime {
 public:
  // `slice`: how long a task runs while others wait.
  BiffRuntime(Enclave* enclave, RuntimeOptions options, absl::Duration slice);
  ~BiffRuntime() override { Stop(); }

  RuntimeCounters Counters(int cpu) const override;
  int64_t CountTasks() const override;

 private:
  absl::Status Configure(BpfPrograms& programs) override;
  absl::Status SetTunables() override;
  void StartScheduling() override;
  void DescribeCpu(int cpu, std::string* text) override;

  const absl::Duration slice_;
  biff* state_ = nullptr;  // the programs' memory; lives as they do
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_BIFF_BIFF_RUNTIME_H_
