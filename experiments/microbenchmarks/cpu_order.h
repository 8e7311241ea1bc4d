// In which order experiments give CPUs work: near the agent's first, each core once before any core twice.
//
// Pure. Any thread.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_CPU_ORDER_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_CPU_ORDER_H_

#include <vector>

#include "lib/base/cpu_set.h"
#include "lib/topology.h"

namespace ghost {

// `candidates` without `agent_cpu`: those of its NUMA node first; there one thread of each core, then their siblings,
// the agent's own first among them. With `pack_smt` the threads of a core follow each other, and the agent's siblings
// come first. Candidates that the topology does not know are left out.
std::vector<int> CpuOrder(const Topology& topology, const CpuSet& candidates, int agent_cpu, bool pack_smt);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_CPU_ORDER_H_
