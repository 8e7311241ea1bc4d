// Assigner: gives requests that have arrived to workers that have none, the one that has waited longest first.
//
// Requests stay in the network until there is a worker for them, so that the queue is one for all workers. It knows the
// workers' mailboxes only: a worker is found free when it is needed, so that a worker says so with one store and no
// queue is shared. O(1) for each request while workers are free; when none is known to be, it looks at all. One thread.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_ASSIGNER_H_
#define GHOST_EXPERIMENTS_ROCKSDB_ASSIGNER_H_

#include <cstddef>
#include <vector>

#include "experiments/rocksdb/scheduler_hints.h"
#include "experiments/rocksdb/synthetic_network.h"
#include "experiments/rocksdb/worker.h"
#include "lib/base/time.h"

namespace ghost {

class Assigner {
 public:
  enum class Result {
    kAssigned,         // a worker has got a batch
    kNoRequest,        // none waits
    kNoWorker,         // all workers have work
    kWorkerFinishing,  // as kNoWorker, but one is about to be free, and will not ring when it is
  };

  // Requests of any of `networks`, to any of `workers`; none of either is another assigner's.
  Assigner(std::vector<SyntheticNetwork*> networks, std::vector<Worker*> workers, SchedulerHints* hints);

  // Gives one worker as many requests as it takes.
  Result AssignOne(Time now);

 private:
  Worker* FindFree(Result* result);
  // A worker whose mailbox is empty is free once its scheduler may be told of new work.
  void CollectFree(Result* result);
  bool Receive(Time now, Request* request);
  bool HasWaiting();

  const std::vector<SyntheticNetwork*> networks_;
  SchedulerHints* const hints_;
  std::vector<Worker*> busy_;
  // Free workers in the order in which they were found: a ring with room for all.
  std::vector<Worker*> free_;
  size_t first_free_ = 0;
  size_t num_free_ = 0;
  size_t next_network_ = 0;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_ASSIGNER_H_
