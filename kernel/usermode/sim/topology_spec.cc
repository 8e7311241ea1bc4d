#include "kernel/usermode/sim/topology_spec.h"

#include <algorithm>
#include <vector>

#include "lib/base/logging.h"

namespace ghost::sim {

std::shared_ptr<const Topology> MakeTopology(const TopologySpec& spec) {
  const int num_cores = spec.sockets * spec.cores;
  const int l3_cores = spec.l3 == 0 ? spec.cores : spec.l3;
  GHOST_CHECK(spec.num_cpus() >= 1 && spec.num_cpus() <= CpuSet::kMaxCpus) << spec.num_cpus() << " cpus";
  std::vector<Topology::Record> records;
  for (int cpu = 0; cpu < spec.num_cpus(); ++cpu) {
    const int core = cpu % num_cores;
    const int socket = core / spec.cores;
    const int first_of_l3 = socket * spec.cores + (core % spec.cores) / l3_cores * l3_cores;
    const int end_of_l3 = std::min(first_of_l3 + l3_cores, (socket + 1) * spec.cores);
    Topology::Record record{.cpu = cpu, .numa_node = socket};
    for (int thread = 0; thread < spec.smt; ++thread) {
      record.siblings.Add(core + thread * num_cores);
      for (int other = first_of_l3; other < end_of_l3; ++other) record.l3_siblings.Add(other + thread * num_cores);
    }
    records.push_back(record);
  }
  absl::StatusOr<Topology> topology = Topology::Custom(records);
  GHOST_CHECK(topology.ok()) << topology.status().ToString();
  return std::make_shared<const Topology>(*std::move(topology));
}

}  // namespace ghost::sim
