// ProgramsRuntime: the runtime of schedulers whose programs in the kernel decide, however those came there. Agents only
// make the enclave a served one: they sleep.
//
// What is here: the order of a start (programs are made ready while an old agent still schedules, and attached once it
// has left), agents that sleep, and taking over tasks: the kernel announces them anew, to the programs. Who derives
// from it brings the programs: BpfRuntime (runtime.h) loads BPF objects; a simulation has C++ ones
// (kernel/usermode/sim/twin_scheduler.h).
//
// Messages that programs do not drop come to one queue, which wakes nobody. Threads: lib/runtime_base.h says it.
#ifndef GHOST_LIB_BPF_PROGRAMS_RUNTIME_H_
#define GHOST_LIB_BPF_PROGRAMS_RUNTIME_H_

#include <memory>
#include <vector>

#include "lib/runtime_base.h"

namespace ghost {

class ProgramsRuntime : public RuntimeBase {
 public:
  ProgramsRuntime(Enclave* enclave, RuntimeOptions options);

  StepResult Step(int cpu, Time now) override;

 protected:
  // Makes the programs, and sets their configuration; an old agent may still schedule.
  virtual absl::Status LoadPrograms() = 0;
  // Sets the enclave up ("deliver_ticks", …), before programs are attached.
  virtual absl::Status SetTunables() { return absl::OkStatus(); }
  // There is no old agent any more.
  virtual absl::Status AttachPrograms() = 0;

  Cpu* cpu_base(int cpu) const override { return cpus_[static_cast<size_t>(cpu)].get(); }

 private:
  absl::Status PrepareQueues() override;
  Channel* agent_queue(int) override { return &channel_; }
  Channel* default_queue() override { return &channel_; }
  absl::Status ConfigureEnclave() override;
  void AdoptTask(const Enclave::DiscoveredTask&) override {}
  bool wants_nice() const override { return true; }  // announces adopted tasks anew: that is how programs learn of them
  CpuSet describers() const override { return CpuSet({cpus().First()}); }
  void DrainQueue(Cpu& cpu);

  std::vector<std::unique_ptr<Cpu>> cpus_;  // by number
  Channel channel_;                         // read by the agent of the first CPU
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_PROGRAMS_RUNTIME_H_
