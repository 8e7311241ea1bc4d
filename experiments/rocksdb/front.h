// Front: what a thread does that stands in front of the workers: notice requests when they arrive (a load generator),
// give them to workers (a dispatcher), or both.
//
// With a CPU of its own it spins. Where it shares one it must not: then it sleeps until the next arrival, or until it
// is rung (by a generator that has noticed one, by a worker that is free). What it does is the same, and so is the
// schedule: a generator that is woken late notices late, and says so.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_FRONT_H_
#define GHOST_EXPERIMENTS_ROCKSDB_FRONT_H_

#include <atomic>
#include <memory>
#include <optional>

#include "experiments/common/doorbell.h"
#include "experiments/rocksdb/assigner.h"
#include "experiments/rocksdb/synthetic_network.h"
#include "lib/base/time.h"

namespace ghost {

class Front {
 public:
  struct Options {
    SyntheticNetwork* generate = nullptr;  // of which it is the generator, if of any
    std::optional<Assigner> assign;        // if it is a dispatcher
    Doorbell* bell = nullptr;              // wakes it
    Doorbell* ring = nullptr;              // is rung when it has noticed something: another dispatcher's, or null
    bool sleep = false;                    // rather than spin
  };

  explicit Front(Options options) : options_(std::move(options)) {}

  // The thread's part: until Stop(). All that has arrived until then has been noticed afterwards, and not one more has
  // been assigned.
  void Run();
  // From any thread, once.
  void Stop() {
    stop_.store(true, std::memory_order_release);
    options_.bell->Ring();
  }

 private:
  // A round. Whether there was something to do; if not, *until is when there may be.
  bool Step(Time now, Time* until);
  bool Stopped() const { return stop_.load(std::memory_order_acquire); }

  Options options_;
  std::atomic<bool> stop_ = false;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_FRONT_H_
