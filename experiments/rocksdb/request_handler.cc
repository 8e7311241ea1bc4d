#include "experiments/rocksdb/request_handler.h"

#include <time.h>

#include "lib/base/time.h"

namespace ghost {
namespace {

int64_t ThreadCpuNs() {
  timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

// Computes until the thread's CPU time is `end_ns`. That clock is a system call, the other one is none: so it waits by
// the latter for as long as is left, and then looks whether it had the CPU all the time.
void SpinUntilCpuTime(int64_t end_ns) {
  for (;;) {
    const int64_t left_ns = end_ns - ThreadCpuNs();
    if (left_ns <= 0) return;
    const Time start = Time::Now();
    while (Time::NanosecondsBetween(start, Time::Now()) < left_ns) continue;
  }
}

}  // namespace

DatabaseHandler::DatabaseHandler(const Database* database, const Options& options)
    : database_(database),
      range_size_(options.range_size),
      get_ns_(absl::ToInt64Nanoseconds(options.get_duration)),
      range_ns_(absl::ToInt64Nanoseconds(options.range_duration)),
      get_exponential_mean_ns_(absl::ToDoubleNanoseconds(options.get_exponential_mean)) {}

int64_t DatabaseHandler::ServiceTimeNs(RequestKind kind, Scratch* scratch) const {
  if (kind == RequestKind::kRange) return range_ns_;
  if (get_exponential_mean_ns_ <= 0) return get_ns_;
  std::exponential_distribution<double> more(1 / get_exponential_mean_ns_);
  return get_ns_ + static_cast<int64_t>(more(scratch->random));
}

bool DatabaseHandler::Handle(const Request& request, Scratch* scratch) {
  const int64_t end_ns = ThreadCpuNs() + ServiceTimeNs(request.kind, scratch);
  const bool found = request.kind == RequestKind::kGet ? database_->Get(request.key, &scratch->value)
                                                       : database_->Range(request.key, range_size_, &scratch->value);
  SpinUntilCpuTime(end_ns);
  return found;
}

}  // namespace ghost
