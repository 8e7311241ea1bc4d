// SchedulerTwin: what the C++ twins of schedulers that live in BPF have in common (biff_twin.h, cfs_bpf_twin.h,
// flux_twin.h): programs as the core runs them, and from a hook the way to the function that answers it.
//
// What it is not: a scheduler. One thread.
#ifndef GHOST_KERNEL_USERMODE_SIM_SCHEDULER_TWIN_H_
#define GHOST_KERNEL_USERMODE_SIM_SCHEDULER_TWIN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"

namespace ghost::sim {

class SchedulerTwin {
 public:
  // All tasks have been announced: from now on they are given CPUs.
  void StartScheduling() { initialized_ = true; }

  // The program of one hook, for Core::AttachProgram; it keeps a reference to this.
  std::unique_ptr<usermode::BpfProgram> Program();

  // A program of the hook runs for an event of `cpu`; always true: it could be run.
  bool Run(usermode::BpfHook hook, std::span<std::byte> context, int cpu, usermode::BpfHelpers& helpers,
           int32_t* result);

 protected:
  ~SchedulerTwin() = default;

  virtual void PickNextTask(bpf_ghost_sched* context, int cpu, usermode::BpfHelpers& helpers) = 0;
  // Not 0: the message is dropped. `cpu`: where it is produced.
  virtual int32_t SendMessage(bpf_ghost_msg* message, int cpu, usermode::BpfHelpers& helpers) = 0;
  // The CPU at which the task queues: where it was, unless a scheduler says otherwise.
  virtual int32_t SelectRq(const bpf_ghost_select_rq& context) { return static_cast<int32_t>(context.task_cpu); }

  bool initialized() const { return initialized_; }

  // As ghost_kick of third_party/bpf/ghost.bpf.h.
  static void KickCpu(int cpu, bool must, usermode::BpfHelpers& helpers) {
    helpers.ReschedCpu(cpu, must ? RESCHED_ANY_CLASS | SET_MUST_RESCHED : RESCHED_ANY_CLASS);
  }

 private:
  bool initialized_ = false;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SCHEDULER_TWIN_H_
