// The program of the PNT rings once more, in C++: what a simulation, and tests/interleaving, run where ghostd runs
// third_party/bpf/pnt_ring.bpf.c. tests/bpf holds the two against each other on random events; keep them alike.
//
// Threads: several may run at once on one memory, as the program does on many CPUs, with one lock.
#ifndef GHOST_KERNEL_USERMODE_SIM_PNT_TWIN_H_
#define GHOST_KERNEL_USERMODE_SIM_PNT_TWIN_H_

#include <cstdint>
#include <memory>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "third_party/bpf/pnt_ring.h"

namespace ghost::sim {

class PntTwin {
 public:
  // What programs on several CPUs claim under; a program that runs alone needs none.
  class Lock {
   public:
    virtual ~Lock() = default;
    virtual void Acquire() = 0;
    virtual void Release() = 0;
  };
  // `slots`: how many of a ring's it looks at, for tests of every order.
  explicit PntTwin(pnt* memory, Lock* lock = nullptr, uint32_t slots = PNT_SLOTS)
      : memory_(*memory), lock_(lock), slots_(slots) {}
  // `cpu` picks its next task.
  void PickNextTask(const bpf_ghost_sched& context, int cpu, usermode::BpfHelpers& helpers);
  // For Core::AttachProgram.
  static std::unique_ptr<usermode::BpfProgram> Program(std::shared_ptr<pnt> memory);

 private:
  // Slots + 1, 0 = none.
  uint32_t FirstOf(uint32_t ring, uint32_t found, uint32_t slot, int cpu);
  uint32_t FirstReady(uint32_t ring, int cpu);
  bool Claim(pnt_slot& slot, int cpu);
  bool Take(uint32_t ring, uint32_t number, int cpu, usermode::BpfHelpers& helpers);
  pnt& memory_;
  Lock* const lock_;
  const uint32_t slots_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_PNT_TWIN_H_
