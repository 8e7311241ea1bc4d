#include "experiments/microbenchmarks/cpu_order.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace ghost {

std::vector<int> CpuOrder(const Topology& topology, const CpuSet& candidates, int agent_cpu, bool pack_smt) {
  // The how-manieth of its core a CPU is; the agent's stands before all.
  std::map<int, int> of_core;
  const Topology::Cpu agent = topology.cpu(agent_cpu);
  if (agent.valid()) of_core[agent.core()] = 1;
  std::vector<std::tuple<bool, int, bool, int, int>> ranks;
  for (int id : candidates) {
    const Topology::Cpu cpu = topology.cpu(id);
    if (!cpu.valid() || id == agent_cpu) continue;
    const int turn = of_core[cpu.core()]++;
    const bool far = agent.valid() && cpu.numa_node() != agent.numa_node();
    const bool other_core = !agent.valid() || cpu.core() != agent.core();
    ranks.emplace_back(far, pack_smt ? 0 : turn, other_core, pack_smt ? cpu.core() : 0, id);
  }
  std::sort(ranks.begin(), ranks.end());
  std::vector<int> order;
  for (const auto& rank : ranks) order.push_back(std::get<4>(rank));
  return order;
}

}  // namespace ghost
