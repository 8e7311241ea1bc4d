#include "kernel/usermode/sim/scheduler_twin.h"

namespace ghost::sim {
namespace {

using usermode::BpfHelpers;
using usermode::BpfHook;

class TwinProgram final : public usermode::BpfProgram {
 public:
  explicit TwinProgram(SchedulerTwin* twin) : twin_(*twin) {}
  bool Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    return twin_.Run(hook, context, cpu, helpers, result);
  }

 private:
  SchedulerTwin& twin_;
};

}  // namespace

std::unique_ptr<usermode::BpfProgram> SchedulerTwin::Program() { return std::make_unique<TwinProgram>(this); }

bool SchedulerTwin::Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) {
  *result = 0;
  switch (hook) {
    case BpfHook::kPickNextTask:
      PickNextTask(reinterpret_cast<bpf_ghost_sched*>(context.data()), cpu, helpers);
      break;
    case BpfHook::kSendMessage:
      *result = SendMessage(reinterpret_cast<bpf_ghost_msg*>(context.data()), cpu, helpers);
      break;
    case BpfHook::kSelectRq: {
      auto* select = reinterpret_cast<bpf_ghost_select_rq*>(context.data());
      select->skip_ttwu_queue = 1;
      *result = SelectRq(*select);
      break;
    }
  }
  return true;
}

}  // namespace ghost::sim
