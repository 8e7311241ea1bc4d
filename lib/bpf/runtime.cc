#include "lib/bpf/runtime.h"

#include <utility>

#include "lib/base/status.h"

namespace ghost {
namespace {

// How long a departing agent's programs may take to go: its process has to end.
constexpr absl::Duration kOldProgramsTimeout = absl::Seconds(10);
constexpr int kNumaNode = 0;

}  // namespace

BpfRuntime::BpfRuntime(Enclave* enclave, RuntimeOptions options, std::string name,
                       std::span<const BpfObjectFile> objects)
    : RuntimeBase(enclave, std::move(options)), name_(std::move(name)), objects_(objects) {
  cpus_.resize(static_cast<size_t>(cpus().Last()) + 1);
  for (int cpu : cpus()) cpus_[static_cast<size_t>(cpu)] = std::make_unique<Cpu>(cpu);
}

BpfRuntime::~BpfRuntime() { Stop(); }

// What takes long is done while an old agent still schedules.
absl::Status BpfRuntime::PrepareQueues() {
  GHOST_ASSIGN_OR_RETURN(programs_, BpfPrograms::Load(name_, objects_, enclave()->directory(), enclave()->abi()));
  GHOST_RETURN_IF_ERROR(Configure(*programs_));
  GHOST_ASSIGN_OR_RETURN(channel_, enclave()->CreateChannel(options().queue_elements, kNumaNode, CpuSet()));
  return absl::OkStatus();
}

absl::Status BpfRuntime::ConfigureEnclave() {
  GHOST_RETURN_IF_ERROR(SetTunables());
  GHOST_RETURN_IF_ERROR(programs_->Attach(kOldProgramsTimeout));
  return enclave()->DisableMyBpfProgLoad();
}

absl::Status BpfRuntime::Start() {
  GHOST_RETURN_IF_ERROR(RuntimeBase::Start());
  StartScheduling();
  // Every CPU looks at what there is: its agent wakes, and sleeps again.
  for (int cpu : cpus()) cpu_base(cpu)->request->Ping();
  return absl::OkStatus();
}

void BpfRuntime::Stop() {
  RuntimeBase::Stop();
  if (programs_ != nullptr) programs_->Detach();
}

void BpfRuntime::DrainQueue(Cpu& cpu) {
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

StepResult BpfRuntime::Step(int cpu, Time) {
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
