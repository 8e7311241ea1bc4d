// Yielders: threads that do nothing but yield, each so many times, and how long they take for it together.
//
// Threads: one holds it.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_YIELDERS_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_YIELDERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ghost {

struct YieldersOptions {
  std::string enclave = "";    // its directory; empty: Linux schedules them
  std::vector<int> cpus = {};  // Linux: threads are pinned to them in turn; ghost: not looked at
  int threads = 1;
  int64_t loops_per_thread = 1;
};

// From the moment at which all may begin until the last one has yielded for the last time. DeadlineExceeded: they stand
// still, and the process can only be left with _exit.
absl::StatusOr<absl::Duration> RunYielders(const YieldersOptions& options);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_YIELDERS_H_
