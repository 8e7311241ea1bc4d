// Orchestrator: a run of the server: its threads, and what came of it.
//
//     orchestrator->Start();                        // workers are there and wait
//     orchestrator->Open(window);                   // requests arrive
//     …
//     const RunResults results = orchestrator->Close();
//
// CfsOrchestrator and GhostOrchestrator say which threads there are and who schedules them; all else is here. One
// thread; the object's end ends what is still running.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_ORCHESTRATOR_H_
#define GHOST_EXPERIMENTS_ROCKSDB_ORCHESTRATOR_H_

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "experiments/common/cpu_plan.h"
#include "experiments/common/doorbell.h"
#include "experiments/common/latencies.h"
#include "experiments/rocksdb/front.h"
#include "experiments/rocksdb/request_handler.h"
#include "experiments/rocksdb/request_stats.h"
#include "experiments/rocksdb/synthetic_network.h"
#include "experiments/rocksdb/worker.h"
#include "lib/base/time.h"

namespace ghost {

struct RunOptions {
  double throughput = 20'000;  // of all generators together
  double range_ratio = 0;
  uint32_t get_keys = 1;
  uint32_t range_keys = 1;
  int num_workers = 6;
  int batch = 1;
  CpuPlan cpus;
  bool front_sleeps = false;  // rather than spin
  Mailbox::Waiting worker_waiting = Mailbox::Waiting::kSleep;
  bool samples = false;
  uint64_t seed = 1;
};

// When requests arrive, and from when on they count.
struct RunWindow {
  Time start;
  Time measure_from;
  Time end = Time::Infinite();
};

struct RunResults {
  RequestStats stats = RequestStats({});
  Latencies lateness;  // of the generators
  Time measure_from;
  int64_t measured_ns = 0;  // from measure_from to the end of the arrivals
  uint64_t arrived = 0;     // in that time
  uint64_t failed = 0;      // requests that the database could not serve, at any time
  Latencies unfinished;     // how long those that no worker got had waited in the end; their number with it

  uint64_t finished() const { return stats.count(); }
};

class Orchestrator {
 public:
  virtual ~Orchestrator() = default;

  // Starts the workers and waits until each of them waits for requests. The error says what keeps them from it.
  absl::Status Start();
  void Open(const RunWindow& window);
  // Ends the arrivals now, if their window has not ended yet, and lets the workers finish what they have. Each request
  // that nobody had given to a worker yet is unfinished. DeadlineExceeded: a worker does not end; nothing more can be
  // done with this object then, not even its end.
  absl::StatusOr<RunResults> Close();
  // The same after a Start that has failed: there are no results. Nothing if all has ended.
  absl::Status End();

 protected:
  // `handler` and `hints` outlive it. Workers are shared among the dispatchers: i, i + n, … are those of one of n.
  Orchestrator(const RunOptions& options, int num_dispatchers, RequestHandler* handler, SchedulerHints* hints);

  virtual absl::Status StartThread(Worker* worker) = 0;
  virtual void JoinThreads() = 0;
  // AddFront for each thread in front of the workers; networks()[i] is of generator i.
  virtual void StartFronts() = 0;
  // What to say if workers don't come to their first request.
  virtual absl::Status NotScheduled(int missing) = 0;
  // The last means to let workers run that have not ended.
  virtual void Rescue() {}

  void AddFront(Front::Options front, int cpu);
  Assigner MakeAssigner(int dispatcher, std::vector<SyntheticNetwork*> networks);
  Doorbell* bell(int dispatcher) { return bells_[dispatcher].get(); }
  const RunOptions& options() const { return options_; }
  const std::vector<std::unique_ptr<SyntheticNetwork>>& networks() const { return networks_; }

 private:
  int NumNotWaiting() const;
  // Closes the mailboxes of those that have finished; true once all have ended.
  bool CloseWorkers();
  void StopFronts();

  const RunOptions options_;
  RequestHandler* const handler_;
  SchedulerHints* const hints_;
  RunWindow window_;
  std::vector<std::unique_ptr<Doorbell>> bells_;  // of the dispatchers
  std::vector<std::unique_ptr<Worker>> workers_;  // those with a thread
  std::vector<std::unique_ptr<SyntheticNetwork>> networks_;
  std::vector<std::unique_ptr<Front>> fronts_;
  std::vector<std::thread> front_threads_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_ORCHESTRATOR_H_
