// SimPntPrograms: the program of an agent with PNT rings (lib/pnt_ring.h) on a simulated machine: its twin
// (pnt_twin.h), attached as long as the agent has its enclave open. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SIM_PNT_H_
#define GHOST_KERNEL_USERMODE_SIM_SIM_PNT_H_

#include <memory>

#include "kernel/usermode/sim/pnt_twin.h"
#include "kernel/usermode/sim/sim_kernel.h"
#include "lib/enclave.h"
#include "lib/pnt_ring.h"
#include "third_party/bpf/pnt_ring.h"

namespace ghost::sim {

class SimPntPrograms final : public PntPrograms {
 public:
  absl::Status Load(Enclave&) override {
    memory_ = std::make_shared<pnt>();
    return absl::OkStatus();
  }
  absl::Status Attach(Enclave& enclave) override {
    return static_cast<SimEnclave&>(enclave.kernel())
        .AttachProgram(usermode::BpfHook::kPickNextTask, PntTwin::Program(memory_));
  }
  // It does nothing while its rings are not active, and goes when the enclave is closed.
  void Detach() override {}
  pnt* memory() override { return memory_.get(); }

 private:
  std::shared_ptr<pnt> memory_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SIM_PNT_H_
