// The rows of Table 3 that need no ghost kernel: a system call, and two kinds of context switch.
//
//   system call       getppid(2), the average of 100 in a row, as often as there are rounds
//   pthread switch    two SCHED_FIFO threads of one process and one priority on one CPU yield to each other 100 times
//                     each: nothing is woken, nothing chosen; the average of the 200 switches. Needs the right to
//                     SCHED_FIFO
//   CFS switch        two SCHED_OTHER threads of one process on one CPU: each wakes the other and sleeps (futex), 100
//                     times; the average of the 200 switches, a wake-up and a way into sleep each
//
// All on one given CPU; a tenth of the rounds before them is not counted. Threads: one; each call makes its own.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_LINUX_ROWS_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_LINUX_ROWS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "experiments/common/latencies.h"

namespace ghost {

absl::StatusOr<Latencies> MeasureSyscall(int cpu, int64_t rounds);
absl::StatusOr<Latencies> MeasurePthreadSwitch(int cpu, int64_t rounds);
absl::StatusOr<Latencies> MeasureCfsSwitch(int cpu, int64_t rounds);
// One look at CLOCK_MONOTONIC, which is in each figure of an agent once.
Latencies MeasureClock(int64_t rounds);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_LINUX_ROWS_H_
