#include "lib/per_cpu_base.h"

#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr int kNumaNode = 0;

}  // namespace

absl::Status PerCpuBase::PrepareQueues() {
  for (int cpu : cpus()) {
    GHOST_ASSIGN_OR_RETURN(cpu_base(cpu)->channel,
                           enclave()->CreateChannel(options().queue_elements, kNumaNode, CpuSet({cpu})));
    if (wants_timers()) GHOST_RETURN_IF_ERROR(cpu_base(cpu)->slice_timer.Create(&enclave()->kernel()));
  }
  return absl::OkStatus();
}

absl::Status PerCpuBase::ConfigureEnclave() {
  return wants_ticks() ? enclave()->SetTunable("deliver_ticks", true) : absl::OkStatus();
}

RuntimeCounters PerCpuBase::Counters(int cpu) const {
  RuntimeCounters result = RuntimeBase::Counters(cpu);
  const Cpu* c = cpu_base(cpu);
  if (c == nullptr) return result;
  result.tasks = static_cast<uint64_t>(c->row.tasks.load(std::memory_order_relaxed));
  result.runnable = static_cast<uint64_t>(c->row.runnable.value());
  return result;
}

int64_t PerCpuBase::CountTasks() const {
  int64_t count = 0;
  for (int cpu : cpus()) count += cpu_base(cpu)->row.tasks.load(std::memory_order_relaxed);
  return count;
}

}  // namespace ghost
