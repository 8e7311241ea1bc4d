#include "lib/runtime.h"

namespace ghost {

RuntimeCounters& RuntimeCounters::operator+=(const RuntimeCounters& other) {
  for (const auto& [name, member] : kRuntimeCounters) this->*member += other.*member;
  return *this;
}

std::shared_ptr<const Topology> TopologyFor(const CpuSet& cpus, const RuntimeOptions& options) {
  if (options.topology != nullptr) return options.topology;
  return std::make_shared<const Topology>(Topology::Flat(cpus.Last() + 1));
}

RuntimeCounters Runtime::TotalCounters() const {
  RuntimeCounters total;
  for (int cpu : cpus()) total += Counters(cpu);
  return total;
}

}  // namespace ghost
