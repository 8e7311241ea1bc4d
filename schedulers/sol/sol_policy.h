// SOL, "speed of light": centralized FIFO with as little overhead as can be had.
//
//   * The runtime does not wait for what comes of a commit (kAsynchronous): the next pass reads messages and decides
//   for
//     other CPUs meanwhile.
//   * A task gets the CPU that it had last, if that is free, so that it finds its caches; else an SMT sibling of it;
//   else
//     the lowest that it may run on.
//   * It queues at the back. In front go: a task that another class took the CPU from, one woken from a wait that
//   others
//     may depend on, and one that was chosen but did not get on the CPU.
//   * With a slice, a task that has run for so long gives its CPU to the first that waits for it, and goes to the back.
//
// Pure: see lib/centralized_policy.h, which also says who calls it. A pass costs what it decides; only tasks that may
// not run on any free CPU are passed over one by one, and once.
#ifndef GHOST_SCHEDULERS_SOL_SOL_POLICY_H_
#define GHOST_SCHEDULERS_SOL_SOL_POLICY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/centralized_policy.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/topology.h"
#include "lib/tunable.h"

namespace ghost {

class SolPolicy {
 public:
  static constexpr bool kAsynchronous = true;

  using Link = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  struct Task : TaskBase {
    Link link;
  };
  struct Options {
    int64_t slice_ns = INT64_MAX;  // > 0; INT64_MAX: none
  };

  SolPolicy(const PolicyConfig& config, const Options& options)
      : topology_(config.topology),
        slice_ns_("preemption_time_slice", "how long a task runs while others wait", Tunable::Unit::kNanoseconds,
                  options.slice_ns, /*min=*/1, /*max=*/INT64_MAX) {}

  void Enqueue(Task* task, EnqueueReason reason, Time) {
    const bool in_front = reason == EnqueueReason::kPreempted || reason == EnqueueReason::kWoken ||
                          reason == EnqueueReason::kCommitFailed;
    queue_.insert(in_front ? queue_.begin() : queue_.end(), *task);
    if (!useless_.empty()) useless_.Clear();
  }
  void Dequeue(Task* task) { queue_.erase(queue_.iterator_to(*task)); }
  void OnAffinityChanged(Task*) { useless_.Clear(); }

  void Schedule(Plan<Task>& plan) {
    if (queue_.empty()) return;
    if (!plan.idle().empty() && !plan.idle().IsSubsetOf(useless_)) FillIdle(plan);
    if (!queue_.empty() && slice_ns_.Get() != INT64_MAX) ReplaceExpired(plan);
  }

  template <typename Visit>
  void ForEachWaiting(Visit visit) {
    for (Task& task : queue_) {
      if (!visit(task)) return;
    }
  }

  std::vector<Tunable*> Tunables() { return {&slice_ns_}; }

 private:
  void FillIdle(Plan<Task>& plan);
  void ReplaceExpired(Plan<Task>& plan);
  // The free CPU that suits the task best; -1: it may not run on any.
  int FreeCpuFor(const Plan<Task>& plan, const Task& task) const;

  const std::shared_ptr<const Topology> topology_;
  boost::intrusive::list<Task, boost::intrusive::member_hook<Task, Link, &Task::link>,
                         boost::intrusive::constant_time_size<false>>
      queue_;
  CpuSet useless_;  // free CPUs that none of those in the queue may run on
  Tunable slice_ns_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_SOL_SOL_POLICY_H_
