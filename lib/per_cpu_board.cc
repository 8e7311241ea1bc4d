#include "lib/per_cpu_board.h"

#include <algorithm>

namespace ghost {
namespace {

// How many idle CPUs of a domain are asked whether all of their core is.
constexpr int kCoresToTry = 8;

}  // namespace

int CpuBoard::FindNearestIdle(int near, const CpuSet& allowed) const {
  int found = -1;
  VisitDomains(near, [&](const CpuSet& domain) { return (found = IdleIn(near, allowed, domain)) >= 0; });
  return found;
}

// From `near` on, and round: so that not all who look find the same one.
int CpuBoard::IdleIn(int near, const CpuSet& allowed, const CpuSet& domain) const {
  int first = -1;
  int tried = 0;
  const int start = std::max(near, 0);
  for (int from : {start, 0}) {
    for (int cpu = idle_.FirstIn(from, allowed, domain); cpu >= 0 && (from != 0 || start == 0 || cpu < start);
         cpu = idle_.FirstIn(cpu + 1, allowed, domain)) {
      if (WholeCoreIsIdle(cpu)) return cpu;
      if (first < 0) first = cpu;
      if (++tried == kCoresToTry) return first;
    }
    if (start == 0) break;
  }
  return first;
}

bool CpuBoard::WholeCoreIsIdle(int cpu) const {
  const Topology::Cpu record = topology_->cpu(cpu);
  return topology_->smt_count() <= 1 || !record.valid() || idle_.Contains(record.siblings() & cpus_);
}

}  // namespace ghost
