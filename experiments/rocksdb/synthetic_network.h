// SyntheticNetwork: requests that arrive as a Poisson process, on a schedule that nothing can delay.
//
// One thread, the generator, notices arrivals when they are due; one thread, the receiver, takes them. Between the two
// there is only a count: what a request is and when it arrived follows from the seed, so each side reads the schedule
// for itself. The queue of a server that can't keep up is as long as it gets, takes no memory, and no request in it is
// ever younger than the schedule says. (That is why there is no coordinated omission here: a slow server, or a late
// generator, changes when requests are taken, but not when they arrived.)
//
//     SyntheticNetwork network({.throughput = 20'000, …});
//     generator: network.Notice(Time::Now());
//     receiver:  Request request; if (network.Receive(Time::Now(), &request)) …
//
// O(1) for each request, no allocation, no lock.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_SYNTHETIC_NETWORK_H_
#define GHOST_EXPERIMENTS_ROCKSDB_SYNTHETIC_NETWORK_H_

#include <atomic>
#include <cstdint>
#include <random>

#include "experiments/common/latencies.h"
#include "experiments/common/poisson.h"
#include "experiments/rocksdb/request.h"

namespace ghost {

class SyntheticNetwork {
 public:
  struct Options {
    double throughput = 0;        // requests per second; positive
    double range_ratio = 0;       // of them, what part are Range requests: 0..1
    uint32_t get_keys = 1;        // keys of Get requests are below
    uint32_t range_keys = 1;      // first keys of Range requests are below
    uint64_t seed = 1;            // the whole of it follows from that
    Time start;                   // no request arrives before
    Time measure_from;            // lateness is counted of requests that arrive from here on
    Time end = Time::Infinite();  // none arrives from here on
  };

  explicit SyntheticNetwork(const Options& options);

  // -- The generator's --
  // Takes note of what has arrived before `now`, so that it can be received; at most kMaxNotice requests at once.
  // Returns whether there were any.
  bool Notice(Time now);
  // The first arrival that it has not noticed; infinite once all have been.
  Time NextArrival() const { return noticed_.next() < options_.end ? noticed_.next() : Time::Infinite(); }
  // How late each arrival from measure_from on was noticed, and until when all have been. After the generator's end.
  const Latencies& lateness() const { return lateness_; }
  Time noticed_until() const { return noticed_until_; }

  // -- The receiver's --
  // The next request that was noticed; false if there is none.
  bool Receive(Time now, Request* request);
  bool HasWaiting() {
    if (received_count_ == known_count_) known_count_ = noticed_count_.load(std::memory_order_acquire);
    return received_count_ != known_count_;
  }

 private:
  static constexpr int kMaxNotice = 4096;

  const Options options_;
  PoissonSchedule noticed_;
  Latencies lateness_;
  Time noticed_until_;

  alignas(64) std::atomic<uint64_t> noticed_count_ = 0;

  alignas(64) uint64_t received_count_ = 0;
  uint64_t known_count_ = 0;  // noticed_count_, as the receiver last saw it
  PoissonSchedule received_;
  std::mt19937_64 content_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_SYNTHETIC_NETWORK_H_
