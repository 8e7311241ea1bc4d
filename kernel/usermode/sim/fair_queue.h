// The run queue of a CPU's ordinary threads: Linux's CFS as far as an experiment sees it.
//
// CPU time counts by weight, 1.25 times as much for each nice value. Who has had the least goes first. It is looked who
// that is every kSliceNs, and when a thread wakes: it stands at most kSleepersBonusNs behind those who run, and goes
// before one who is ahead of it by more than kWakeupGranularityNs, by its own weight. The values are those of a machine
// of 8 CPUs or more (Linux 4.15: sched_min_granularity_ns, half of sched_latency_ns, sched_wakeup_granularity_ns).
// What it is not: there are no groups, no balancing between CPUs, and time spent waiting for an interrupt counts too.
//
// Plain data; cpus.h says when. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_FAIR_QUEUE_H_
#define GHOST_KERNEL_USERMODE_SIM_FAIR_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel/usermode/sim/thread.h"

namespace ghost::sim {

class FairQueue {
 public:
  static constexpr int64_t kSliceNs = 3'000'000;
  static constexpr int64_t kSleepersBonusNs = 12'000'000;
  static constexpr int64_t kWakeupGranularityNs = 4'000'000;

  bool empty() const { return threads_.empty(); }
  size_t size() const { return threads_.size(); }
  // Who has the CPU, or is the next to have it. There must be one.
  Thread& first() const { return *threads_.front(); }
  const std::vector<Thread*>& threads() const { return threads_; }

  // The weighted time that the first has had up to now; `runtime_ns` is its CPU time. Before each change.
  void Account(uint64_t runtime_ns);
  // What a thread has had more than the least of its queue, which it takes along when it leaves.
  int64_t Lag(const Thread& thread) const { return thread.vruntime_ns - least_ns_; }
  // `lag_ns`: as of the queue that it was in. True: it wakes, and goes before the first from now on.
  bool Add(Thread& thread, int64_t lag_ns, uint64_t runtime_ns);
  // False: it is not here. If it was the first, who has had the least follows.
  bool Remove(Thread& thread);
  // Who has had the least becomes the first; among equals, it is somebody else's turn. `yields`: somebody else's
  // anyway.
  void Turn(bool yields);

 private:
  std::vector<Thread*> threads_;
  int64_t least_ns_ = 0;  // weighted time; it never falls
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_FAIR_QUEUE_H_
