// Worker: one thread of the server. It waits for requests in its mailbox, does them, and keeps what they took.
//
// What it is not: a thread. An orchestrator makes one, on a CPU or in a ghost enclave, and lets it Run().
#ifndef GHOST_EXPERIMENTS_ROCKSDB_WORKER_H_
#define GHOST_EXPERIMENTS_ROCKSDB_WORKER_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "experiments/common/doorbell.h"
#include "experiments/rocksdb/mailbox.h"
#include "experiments/rocksdb/request_handler.h"
#include "experiments/rocksdb/request_stats.h"
#include "experiments/rocksdb/scheduler_hints.h"

namespace ghost {

class Worker {
 public:
  struct Options {
    int index = 0;
    int batch = 1;
    Mailbox::Waiting waiting = Mailbox::Waiting::kSleep;
    uint64_t seed = 1;
  };

  // All of them outlive it. `dispatcher` is rung each time that it is free.
  Worker(const Options& options, RequestHandler* handler, SchedulerHints* hints, Doorbell* dispatcher)
      : options_(options),
        handler_(handler),
        hints_(hints),
        dispatcher_(dispatcher),
        mailbox_(options.batch),
        scratch_(options.seed) {}

  // The thread's part: until the mailbox is closed.
  void Run();

  // -- The dispatcher's --
  int index() const { return options_.index; }
  Mailbox& mailbox() { return mailbox_; }
  // Before the first request.
  void Measure(const RequestStats::Options& options) { stats_.emplace(options); }

  // -- Anyone's --
  bool HasEnded() const { return ended_.load(std::memory_order_acquire); }
  // After its end.
  const RequestStats& stats() const { return *stats_; }
  uint64_t failed() const { return failed_; }

 private:
  void DoRequests();

  const Options options_;
  RequestHandler* const handler_;
  SchedulerHints* const hints_;
  Doorbell* const dispatcher_;
  Mailbox mailbox_;
  RequestHandler::Scratch scratch_;
  std::optional<RequestStats> stats_;
  uint64_t failed_ = 0;
  std::atomic<bool> ended_ = false;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_WORKER_H_
