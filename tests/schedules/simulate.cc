#include "tests/schedules/simulate.h"

#include "lib/base/logging.h"
#include "lib/base/status.h"
#include "util/ghostsim_policies.h"

namespace ghost::sim {

SimulationOptions OptionsFor(const std::string& policy, int cpus) {
  const PolicyEntry* entry = FindSimPolicy(policy);
  GHOST_CHECK(entry != nullptr) << "there is no policy " << policy;
  return {.scheduler = entry->factory, .num_cpus = cpus};
}

absl::StatusOr<Summary> Simulate(const SimulationOptions& options, const std::string& text) {
  GHOST_ASSIGN_OR_RETURN(const Workload workload, ParseWorkload(text));
  Simulation simulation(options, workload);
  GHOST_RETURN_IF_ERROR(simulation.Run());
  return simulation.summary();
}

}  // namespace ghost::sim
