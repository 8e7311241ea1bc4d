#include "kernel/usermode/sim/sim_pnt.h"

#include <span>
#include <utility>

#include "absl/status/status.h"
#include "kernel/usermode/sim/pnt_twin.h"
#include "lib/base/status.h"
#include "lib/enclave.h"

namespace ghost::sim {

using usermode::BpfHelpers;
using usermode::BpfHook;

class SimPnt::Program final : public usermode::BpfProgram {
 public:
  explicit Program(std::shared_ptr<std::shared_ptr<pnt>> rings) : rings_(std::move(rings)) {}
  bool Run(BpfHook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    *result = 0;
    if (*rings_ == nullptr) return true;
    PntTwin(rings_->get()).PickNextTask(*reinterpret_cast<const bpf_ghost_sched*>(context.data()), cpu, helpers);
    return true;
  }

 private:
  const std::shared_ptr<std::shared_ptr<pnt>> rings_;
};

class SimPnt::Programs final : public PntPrograms {
 public:
  explicit Programs(SimPnt* of) : of_(*of) {}
  ~Programs() override { Detach(); }
  absl::Status Load(Enclave&) override {
    memory_ = std::make_shared<pnt>();
    return absl::OkStatus();
  }
  absl::Status Attach(Enclave& enclave) override {
    if (of_.enclaves_.insert(enclave.id()).second) {
      const int error = of_.machine_.core().AttachProgram(enclave.id(), BpfHook::kPickNextTask,
                                                          std::make_unique<Program>(of_.rings_));
      if (error != 0) return ErrnoStatus(-error, "cannot attach the rings' program");
    }
    *of_.rings_ = memory_;
    return absl::OkStatus();
  }
  void Detach() override {
    if (*of_.rings_ == memory_) of_.rings_->reset();
  }
  pnt* memory() override { return memory_.get(); }

 private:
  SimPnt& of_;
  std::shared_ptr<pnt> memory_;
};

std::shared_ptr<PntPrograms> SimPnt::ForAgent() { return std::make_shared<Programs>(this); }

}  // namespace ghost::sim
