// A run of the experiment on this machine, from its options to its printed results.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_EXPERIMENT_H_
#define GHOST_EXPERIMENTS_ROCKSDB_EXPERIMENT_H_

#include "absl/status/status.h"
#include "experiments/rocksdb/options.h"
#include "lib/base/signals.h"

namespace ghost {

// Says on stdout (or stderr, see SayReady) when it begins to measure, and prints the results on stdout when the time is
// over or `signals` has one; a second signal kills the process. The options are valid. To be called while the process
// has one thread; it may have unjoinable ones after DeadlineExceeded, so that only _exit is left.
absl::Status RunExperiment(const ExperimentOptions& options, SignalFd* signals);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_EXPERIMENT_H_
