// CfsOrchestrator: the server under Linux's own scheduler.
//
//     load generators ── networks ── dispatchers ── mailboxes ── workers
//
// Each is a thread that is pinned to a CPU as the plan says. Generator i feeds dispatcher i modulo their number; worker
// i is of dispatcher i modulo their number: a queue for each dispatcher, and no lock. Nobody preempts a request.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_CFS_ORCHESTRATOR_H_
#define GHOST_EXPERIMENTS_ROCKSDB_CFS_ORCHESTRATOR_H_

#include <memory>
#include <thread>
#include <vector>

#include "experiments/rocksdb/orchestrator.h"

namespace ghost {

class CfsOrchestrator : public Orchestrator {
 public:
  // options.cpus has at least one generator, not more dispatchers than generators or workers, and a CPU for each
  // worker.
  CfsOrchestrator(const RunOptions& options, RequestHandler* handler);
  ~CfsOrchestrator() override;

 protected:
  absl::Status StartThread(Worker* worker) override;
  void JoinThreads() override;
  void StartFronts() override;
  absl::Status NotScheduled(int missing) override;

 private:
  SchedulerHints no_hints_;
  std::vector<std::unique_ptr<Doorbell>> generator_bells_;
  std::vector<std::thread> threads_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_CFS_ORCHESTRATOR_H_
