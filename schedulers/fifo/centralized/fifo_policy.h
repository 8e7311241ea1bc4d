// Centralized FIFO: one queue for all CPUs; tasks run in the order in which they came, each until it blocks or yields,
// or has used up its slice while others wait.
//
//   * A free CPU gets the first task that may run there: its last CPU, if that is free, else the lowest.
//   * A task queues at the back. In front go: a task that another class took the CPU from (it was not done), one woken
//     from a wait that others may depend on (not deferrable: not a timer, futex or poll), and one that was chosen but
//     did not get on the CPU.
//   * With a slice, a task that has run for so long gives its CPU to the first that waits for it, and goes to the back.
//
// Pure: see lib/centralized_policy.h, which also says who calls it. A pass costs what it decides; only tasks that may
// not run on any free CPU are passed over one by one.
#ifndef GHOST_SCHEDULERS_FIFO_CENTRALIZED_FIFO_POLICY_H_
#define GHOST_SCHEDULERS_FIFO_CENTRALIZED_FIFO_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/centralized_policy.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/tunable.h"

namespace ghost {

class CentralizedFifoPolicy {
 public:
  using Link = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  struct Task : TaskBase {
    Link link;
    bool boosted = false;  // it joined the queue in front
  };
  struct Options {
    int64_t slice_ns = INT64_MAX;  // > 0; INT64_MAX: none
  };

  explicit CentralizedFifoPolicy(const PolicyConfig&, const Options& options);

  void Enqueue(Task* task, EnqueueReason reason, Time) {
    task->boosted = GoesInFront(reason);
    queue_.insert(task->boosted ? queue_.begin() : queue_.end(), *task);
    useless_.Clear();
  }
  void Dequeue(Task* task) { queue_.erase(queue_.iterator_to(*task)); }
  void OnAffinityChanged(Task*) { useless_.Clear(); }

  void Schedule(Plan<Task>& plan) {
    if (queue_.empty()) return;
    FillIdle(plan);
    if (!queue_.empty() && slice_ns_.Get() != INT64_MAX) ReplaceExpired(plan);
  }

  std::vector<Tunable*> Tunables() { return {&slice_ns_}; }
  void Describe(const Task& task, std::string* line) const;

 private:
  static bool GoesInFront(EnqueueReason reason) {
    return reason == EnqueueReason::kPreempted || reason == EnqueueReason::kWoken ||
           reason == EnqueueReason::kCommitFailed;
  }
  void FillIdle(Plan<Task>& plan);
  void ReplaceExpired(Plan<Task>& plan);
  // Takes the first task that may run there out of the queue; null: there is none.
  Task* TakeFirstFor(int cpu);

  boost::intrusive::list<Task, boost::intrusive::member_hook<Task, Link, &Task::link>,
                         boost::intrusive::constant_time_size<false>>
      queue_;
  CpuSet useless_;  // free CPUs that none of those in the queue may run on
  Tunable slice_ns_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_FIFO_CENTRALIZED_FIFO_POLICY_H_
