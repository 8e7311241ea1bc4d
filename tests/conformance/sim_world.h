// A kernel without real threads: the core over the simulated machine (kernel/usermode/sim/machine.h).
//
// Actors are threads of the machine. One that is a ghost task makes its calls when it is on a CPU, by its program; any
// other makes them at once. The clock moves only while something is awaited. One thread.
#ifndef GHOST_TESTS_CONFORMANCE_SIM_WORLD_H_
#define GHOST_TESTS_CONFORMANCE_SIM_WORLD_H_

#include <cstdint>
#include <memory>

#include "tests/conformance/world.h"

namespace ghost::conformance {

// A machine of 4 CPUs with ABI `abi`; a new one for each case.
std::unique_ptr<World> MakeSimWorld(uint32_t abi);

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_SIM_WORLD_H_
