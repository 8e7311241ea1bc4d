#include "lib/bpf/programs_runtime.h"

#include <utility>

#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr int kNumaNode = 0;

}  // namespace

ProgramsRuntime::ProgramsRuntime(Enclave* enclave, RuntimeOptions options) : RuntimeBase(enclave, std::move(options)) {
  cpus_.resize(static_cast<size_t>(cpus().Last()) + 1);
  for (int cpu : cpus()) cpus_[static_cast<size_t>(cpu)] = std::make_unique<Cpu>(cpu);
}

// What takes long is done while an old agent still schedules.
absl::Status ProgramsRuntime::PrepareQueues() {
  GHOST_RETURN_IF_ERROR(LoadPrograms());
  GHOST_ASSIGN_OR_RETURN(channel_, enclave()->CreateChannel(options().queue_elements, kNumaNode, CpuSet()));
  return absl::OkStatus();
}

absl::Status ProgramsRuntime::ConfigureEnclave() {
  GHOST_RETURN_IF_ERROR(SetTunables());
  return AttachPrograms();
}

void ProgramsRuntime::DrainQueue(Cpu& cpu) {
  MessageView view;
  for (;;) {
    const Channel::Result result = channel_.Peek(&view);
    if (result == Channel::Result::kEmpty) return;
    if (result == Channel::Result::kCorrupt) {
      cpu.counters.corrupt_messages.Add(1);
      continue;
    }
    cpu.counters.messages.Add(1);
    channel_.Consume();
  }
}

StepResult ProgramsRuntime::Step(int cpu, Time) {
  Cpu& c = *cpu_base(cpu);
  const uint32_t barrier = c.agent_word.barrier();
  c.counters.passes.Add(1);
  if (cpu == cpus().First()) DrainQueue(c);
  if (c.upkeep_due.exchange(false, std::memory_order_acquire)) {
    if (stopping()) return StepResult::kYielded;
    if (describers().Contains(cpu)) ServeDump(cpu);
  }
  return YieldCpu(c, barrier, /*run_flags=*/0, "an agent cannot sleep") ? StepResult::kYielded
                                                                        : StepResult::kKernelGone;
}

}  // namespace ghost
