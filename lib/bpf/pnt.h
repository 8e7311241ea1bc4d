// BpfPntPrograms: the program that lets idle CPUs take tasks from the PNT rings (lib/pnt_ring.h), in BPF.
//
// Threads: the one that starts and stops the runtime.
#ifndef GHOST_LIB_BPF_PNT_H_
#define GHOST_LIB_BPF_PNT_H_

#include <memory>

#include "lib/bpf/programs.h"
#include "lib/pnt_ring.h"

namespace ghost {

class BpfPntPrograms final : public PntPrograms {
 public:
  absl::Status Load(Enclave& enclave) override;
  absl::Status Attach(Enclave& enclave) override;
  void Detach() override { programs_->Detach(); }
  pnt* memory() override { return memory_; }

 private:
  std::unique_ptr<BpfPrograms> programs_;
  pnt* memory_ = nullptr;
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_PNT_H_
