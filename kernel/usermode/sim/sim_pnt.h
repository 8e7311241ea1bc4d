// SimPnt: the programs of agents with PNT rings (lib/pnt_ring.h) on a simulated machine: the twin of the program
// (pnt_twin.h) in their enclave, over the rings of the agents that schedule it, one after the other.
//
// A twin stays in its enclave to the end; it does nothing while no agent has rings. It outlives agents. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SIM_PNT_H_
#define GHOST_KERNEL_USERMODE_SIM_SIM_PNT_H_

#include <cstdint>
#include <memory>
#include <set>

#include "kernel/usermode/sim/machine.h"
#include "lib/pnt_ring.h"
#include "third_party/bpf/pnt_ring.h"

namespace ghost::sim {

class SimPnt {
 public:
  explicit SimPnt(Machine* machine) : machine_(*machine) {}
  // For RuntimeOptions::pnt of one agent process.
  std::shared_ptr<PntPrograms> ForAgent();

 private:
  class Programs;
  class Program;
  Machine& machine_;
  // The rings of the agent that schedules; null: of none.
  std::shared_ptr<std::shared_ptr<pnt>> rings_ = std::make_shared<std::shared_ptr<pnt>>();
  std::set<uint64_t> enclaves_;  // that have a twin
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SIM_PNT_H_
