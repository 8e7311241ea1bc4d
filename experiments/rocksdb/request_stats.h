// RequestStats: what the requests that a worker has done took, by kind and stage.
//
// Bounded memory and O(1) for each request; with samples also every request itself, for those who want that. One
// thread; Merge adds up at the end.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_REQUEST_STATS_H_
#define GHOST_EXPERIMENTS_ROCKSDB_REQUEST_STATS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "experiments/common/latencies.h"
#include "experiments/rocksdb/request.h"
#include "lib/base/time.h"

namespace ghost {

inline constexpr int kNumStages = 5;
struct StageName {
  const char* title;
  const char* key;
};
inline constexpr std::array<StageName, kNumStages> kStageNames = {{{"Ingress Queue Time", "ingress_queue_time"},
                                                                   {"Repeatable Handle Time", "repeatable_handle_time"},
                                                                   {"Worker Queue Time", "worker_queue_time"},
                                                                   {"Worker Handle Time", "worker_handle_time"},
                                                                   {"Total", "total"}}};
using StageTimes = std::array<int64_t, kNumStages>;  // ns; the last is the sum of the others
StageTimes TimesOf(const Request& request);

class RequestStats {
 public:
  struct Sample {
    RequestKind kind;
    Time arrival;
    StageTimes times;
  };
  struct Options {
    Time measure_from = {};  // requests that arrive before it don't count
    bool samples = false;    // keep each one
  };
  using Stages = std::array<Latencies, kNumStages>;

  explicit RequestStats(const Options& options) : options_(options) {}

  void Add(const Request& request);
  void Merge(const RequestStats& other);

  // Null if there was no request of this kind.
  const Stages* of(RequestKind kind) const { return stages_[static_cast<int>(kind)].get(); }
  // Of all kinds together.
  std::unique_ptr<Stages> all() const;
  uint64_t count() const;
  const std::vector<Sample>& samples() const { return samples_; }

 private:
  Stages& Of(RequestKind kind);

  Options options_;
  std::array<std::unique_ptr<Stages>, kNumRequestKinds> stages_;  // made with the first one
  std::vector<Sample> samples_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_REQUEST_STATS_H_
