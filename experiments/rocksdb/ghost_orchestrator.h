// GhostOrchestrator: the server with workers that a ghost agent schedules.
//
//     load generators ── mailboxes ── workers, tasks of an enclave
//
// A load generator gives requests to idle workers itself, and has the agent schedule those: it marks them runnable in a
// PrioTable, or wakes them. Which worker runs where and for how long is the agent's. Agents that read no hints will do:
// then workers end up sleeping while they have nothing to do.
//
// At the end the generators go first. Then all workers are marked runnable, again and again until each has ended; if
// there is no agent any more who would give them a CPU, they are taken out of the enclave.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_GHOST_ORCHESTRATOR_H_
#define GHOST_EXPERIMENTS_ROCKSDB_GHOST_ORCHESTRATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "experiments/rocksdb/orchestrator.h"
#include "lib/ghost_thread.h"

namespace ghost {

class GhostOrchestrator : public Orchestrator {
 public:
  struct Ghost {
    GhostThread::Scheduler scheduler = GhostThread::Scheduler::kGhost;  // kCfs: for tests without a kernel
    std::string enclave;                                                // its directory
  };

  // `hints` outlive it, and are there before it is. options.cpus has at least one generator, and not more of them than
  // there are workers.
  GhostOrchestrator(const RunOptions& options, const Ghost& ghost, RequestHandler* handler, SchedulerHints* hints);
  ~GhostOrchestrator() override;

 protected:
  absl::Status StartThread(Worker* worker) override;
  void JoinThreads() override;
  void StartFronts() override;
  absl::Status NotScheduled(int missing) override;
  void Rescue() override;

 private:
  const Ghost ghost_;
  std::vector<std::unique_ptr<GhostThread>> threads_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_GHOST_ORCHESTRATOR_H_
