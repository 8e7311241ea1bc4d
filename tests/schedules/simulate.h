// One run of a workload's text under a policy, for tests. Threads: one.
#ifndef GHOST_TESTS_SCHEDULES_SIMULATE_H_
#define GHOST_TESTS_SCHEDULES_SIMULATE_H_

#include <string>

#include "absl/status/statusor.h"
#include "kernel/usermode/sim/simulation.h"

namespace ghost::sim {

// Its options, with the policy's scheduler; a policy that nobody knows is a bug of the test.
SimulationOptions OptionsFor(const std::string& policy, int cpus);
// The summary, or what went wrong.
absl::StatusOr<Summary> Simulate(const SimulationOptions& options, const std::string& workload);

}  // namespace ghost::sim

#endif  // GHOST_TESTS_SCHEDULES_SIMULATE_H_
