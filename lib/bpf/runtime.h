// BpfRuntime: the runtime of schedulers that live in BPF. Programs decide; agents only make the enclave a served one.
//
// A scheduler derives from it and says which programs it has and how they are set up. What is here: loading before the
// old agent has left and attaching after, agents that sleep, taking over tasks (the kernel announces them anew, to the
// programs), and letting the programs start once that is done.
//
// Messages that programs do not drop come to one queue, which wakes nobody. Threads: lib/runtime_base.h says it.
#ifndef GHOST_LIB_BPF_RUNTIME_H_
#define GHOST_LIB_BPF_RUNTIME_H_

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/bpf/object.h"
#include "lib/bpf/programs.h"
#include "lib/runtime_base.h"

namespace ghost {

class BpfRuntime : public RuntimeBase {
 public:
  // `name`: of the scheduler, for messages.
  BpfRuntime(Enclave* enclave, RuntimeOptions options, std::string name, std::span<const BpfObjectFile> objects);
  ~BpfRuntime() override;

  absl::Status Start() override;
  void Stop() override;
  StepResult Step(int cpu, Time now) override;

 protected:
  // The programs are loaded and not attached: sets their configuration. An error ends the start.
  virtual absl::Status Configure(BpfPrograms& programs) = 0;
  // All tasks have been announced to the programs: they may schedule from now on.
  virtual void StartScheduling() = 0;
  // Sets the enclave up ("deliver_ticks", …), before programs are attached.
  virtual absl::Status SetTunables() { return absl::OkStatus(); }

  BpfPrograms* programs() { return programs_.get(); }

 private:
  Cpu* cpu_base(int cpu) const override { return cpus_[static_cast<size_t>(cpu)].get(); }
  absl::Status PrepareQueues() override;
  Channel* agent_queue(int) override { return &channel_; }
  Channel* default_queue() override { return &channel_; }
  absl::Status ConfigureEnclave() override;
  void AdoptTask(const Enclave::DiscoveredTask&) override {}
  bool wants_nice() const override { return true; }  // announces adopted tasks anew: that is how programs learn of them
  CpuSet describers() const override { return CpuSet({cpus().First()}); }
  void DrainQueue(Cpu& cpu);

  const std::string name_;
  const std::span<const BpfObjectFile> objects_;
  std::vector<std::unique_ptr<Cpu>> cpus_;  // by number
  Channel channel_;                         // read by the agent of the first CPU
  std::unique_ptr<BpfPrograms> programs_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_RUNTIME_H_
