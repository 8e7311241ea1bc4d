// The rows of Table 3 that need a ghost kernel, measured with agents and tasks of its own (round_trips.h), in an
// enclave of its own for each group of rows.
//
// Threads: one, while there are no others (it forks). Ends early, with Cancelled, once `interrupt` (a descriptor) is
// readable.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_GHOST_ROWS_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_GHOST_ROWS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "experiments/microbenchmarks/table3.h"
#include "lib/base/cpu_set.h"
#include "lib/kernel.h"

namespace ghost {

struct GhostRowsOptions {
  int agent_cpu = 0;
  CpuSet targets = {};  // of the tasks, without agent_cpu
  int64_t rounds = 10'000;
  int64_t warm_up = 1'000;
  // For each group of rows; what was measured until then counts.
  absl::Duration time_limit = absl::Seconds(60);
  int interrupt = -1;
};

// Fills rows 1 to 9 of `table`, and says in a note how many rounds did not count. The first target is that of the local
// rows and of the remote ones of one transaction; without targets those rows are missing.
absl::Status MeasureGhostRows(Kernel* kernel, const GhostRowsOptions& options, Table3* table);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_GHOST_ROWS_H_
