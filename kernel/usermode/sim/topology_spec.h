// The shape of a simulated machine in one line, as people write it: "sockets 2 cores 28 smt 2".
//
// CPUs are numbered as Linux numbers them on such machines: the first hardware thread of each core, socket by socket,
// then the second of each. Each socket is a NUMA node. Threads: any.
#ifndef GHOST_KERNEL_USERMODE_SIM_TOPOLOGY_SPEC_H_
#define GHOST_KERNEL_USERMODE_SIM_TOPOLOGY_SPEC_H_

#include <memory>

#include "lib/topology.h"

namespace ghost::sim {

struct TopologySpec {
  int sockets = 1;
  int cores = 1;  // of each socket
  int smt = 1;    // hardware threads of each core
  int l3 = 0;     // cores that share an L3 cache; 0: all of a socket

  int num_cpus() const { return sockets * cores * smt; }
};

// At most CpuSet::kMaxCpus CPUs.
std::shared_ptr<const Topology> MakeTopology(const TopologySpec& spec);

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_TOPOLOGY_SPEC_H_
