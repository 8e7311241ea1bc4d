// RequestHandler: what a worker does with a request.
//
// The real one asks the database and then computes until the request has taken its service time. Tests have others.
// Any number of threads at once.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_REQUEST_HANDLER_H_
#define GHOST_EXPERIMENTS_ROCKSDB_REQUEST_HANDLER_H_

#include <cstdint>
#include <random>

#include "absl/time/time.h"
#include "experiments/rocksdb/database.h"
#include "experiments/rocksdb/request.h"

namespace ghost {

class RequestHandler {
 public:
  // What a worker keeps for itself.
  struct Scratch {
    explicit Scratch(uint64_t seed) : random(seed) {}

    std::mt19937_64 random;
    std::string value;
  };

  virtual ~RequestHandler() = default;
  // False: it could not be served.
  virtual bool Handle(const Request& request, Scratch* scratch) = 0;
};

class DatabaseHandler : public RequestHandler {
 public:
  struct Options {
    // What requests take in all, in CPU time of their worker: one that is preempted has not computed meanwhile. A
    // request of which the database itself takes longer is not made shorter.
    absl::Duration get_duration;
    absl::Duration range_duration;
    // A Get request takes as much more, exponentially distributed with this mean; zero: none.
    absl::Duration get_exponential_mean;
    int range_size = 1;  // entries of a Range request
  };

  // `database` outlives it.
  DatabaseHandler(const Database* database, const Options& options);
  bool Handle(const Request& request, Scratch* scratch) override;

 private:
  int64_t ServiceTimeNs(RequestKind kind, Scratch* scratch) const;

  const Database* const database_;
  const int range_size_;
  const int64_t get_ns_;
  const int64_t range_ns_;
  const double get_exponential_mean_ns_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_REQUEST_HANDLER_H_
