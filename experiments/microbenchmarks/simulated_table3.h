// Table 3 of the ghOSt paper on the simulation: what its cost model makes of the rows, measured by running them.
//
// The same RoundTrips as over a kernel run on simulated machines; figures are virtual time. A policy's decision costs
// nothing (cost pass=0): there is no policy in the table. The model has one price for a context switch, so the two rows
// of Linux's switches are equal; and a polling agent finds a message between two looks, so row 2 has one look (cost
// poll) more than the paper's. Threads: one.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_SIMULATED_TABLE3_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_SIMULATED_TABLE3_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "experiments/microbenchmarks/table3.h"

namespace ghost {

absl::StatusOr<Table3> SimulateTable3(int64_t rounds);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_SIMULATED_TABLE3_H_
