// Centralized FIFO: one order for all CPUs; tasks run as they came, each until it blocks or yields, or has used up its
// slice while others wait.
//
//   * A free CPU gets the first task that may run there; if that task's last CPU is free, too, it gets that one
//   instead,
//     where its caches are warm.
//   * A task queues at the back. In front go: a task that another class took the CPU from (it was not done), one woken
//     from a wait that others may depend on (not deferrable: not a timer, futex or poll), and one that was chosen but
//     did not get on the CPU.
//   * With a slice, a task that has run for so long gives its CPU to the first that waits for it, and goes to the back.
//
// The order is one of numbers; tasks of the same affinity stand in one queue (lib/affinity_groups.h), so that nobody is
// looked at who may not run.
//
// Pure: see lib/centralized_policy.h, which also says who calls it.
#ifndef GHOST_SCHEDULERS_FIFO_CENTRALIZED_FIFO_POLICY_H_
#define GHOST_SCHEDULERS_FIFO_CENTRALIZED_FIFO_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "lib/affinity_groups.h"
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
    int64_t turn = 0;      // its place in the order: the lowest is first
    int group = 0;         // whose queue it stands in
    bool boosted = false;  // it joined in front
  };
  struct Options {
    int64_t slice_ns = INT64_MAX;  // > 0; INT64_MAX: none
  };

  CentralizedFifoPolicy(const PolicyConfig& config, const Options& options);

  void Enqueue(Task* task, EnqueueReason reason, Time) {
    task->boosted = GoesInFront(reason);
    task->turn = task->boosted ? --first_turn_ : ++last_turn_;
    task->group = groups_.Find(task->allowed());
    Queue& queue = queues_[task->group];
    queue.insert(task->boosted ? queue.begin() : queue.end(), *task);
    groups_.SetWaiting(task->group, true);
  }
  void Dequeue(Task* task) {
    Queue& queue = queues_[task->group];
    queue.erase(queue.iterator_to(*task));
    groups_.SetWaiting(task->group, !queue.empty());
  }
  void OnAffinityChanged(Task* task);

  void Schedule(Plan<Task>& plan) {
    if (!groups_.SomebodyWaits()) return;
    groups_.OfferEach(plan.idle(), [&](int cpu) { Fill(cpu, plan); });
    if (slice_ns_.Get() != INT64_MAX && groups_.SomebodyWaits()) ReplaceExpired(plan);
  }

  template <typename Visit>
  void ForEachWaiting(Visit visit) {
    groups_.VisitInOrder([&](int group) { return &queues_[group].front(); },
                         [&](int group, Task* task) { return NextIn(queues_[group], task); },
                         [](const Task& a, const Task& b) { return a.turn < b.turn; }, visit);
  }

  std::vector<Tunable*> Tunables() { return {&slice_ns_}; }
  void Describe(const Task& task, std::string* line) const;

 private:
  using Queue = boost::intrusive::list<Task, boost::intrusive::member_hook<Task, Link, &Task::link>,
                                       boost::intrusive::constant_time_size<false>>;

  static bool GoesInFront(EnqueueReason reason) {
    return reason == EnqueueReason::kPreempted || reason == EnqueueReason::kWoken ||
           reason == EnqueueReason::kCommitFailed;
  }
  // The first in the order that may run there; null: nobody waits for this CPU.
  Task* FirstFor(int cpu) {
    return groups_.FirstAt(
        cpu, [&](int group) -> Task& { return queues_[group].front(); },
        [](const Task& a, const Task& b) { return a.turn < b.turn; });
  }
  // Gives an idle CPU its task.
  void Fill(int cpu, Plan<Task>& plan) {
    while (plan.idle().Contains(cpu)) {
      Task* task = FirstFor(cpu);
      if (task == nullptr) return;
      // Its last CPU, unless somebody who may run only there is before it.
      const int last = task->home();
      const int chosen = plan.idle().Contains(last) && FirstFor(last) == task ? last : cpu;
      Dequeue(task);
      plan.Assign(chosen, task);
    }
  }
  void ReplaceExpired(Plan<Task>& plan);

  AffinityGroups groups_;
  std::vector<Queue> queues_;  // by group, each in the order of turns
  int64_t first_turn_ = 0;
  int64_t last_turn_ = 0;
  Tunable slice_ns_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_FIFO_CENTRALIZED_FIFO_POLICY_H_
