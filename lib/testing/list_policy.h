// ListPolicy: the plainest per-CPU policy, for tests of what stands below policies. Tasks queue in the order of their
// coming; a test sets where new ones go, and sees what the runtime told.
//
// Threads: as lib/policy.h says; `place` and `log` are a test's own business.
#ifndef GHOST_LIB_TESTING_LIST_POLICY_H_
#define GHOST_LIB_TESTING_LIST_POLICY_H_

#include <array>
#include <cstdint>

#include "boost/intrusive/list.hpp"
#include "lib/policy.h"
#include "lib/task.h"

namespace ghost {

class ListPolicy {
 public:
  static constexpr int kMaxCpus = 64;

  struct Task : TaskBase {
    boost::intrusive::list_member_hook<> link;
    EnqueueReason last_reason = EnqueueReason::kNew;
  };

  explicit ListPolicy(const PolicyConfig&) {}

  // Where new tasks go; -1: to the allowed CPU with the fewest runnable tasks.
  static inline int place = -1;
  static inline Time slice_end = Time::Infinite();

  int PlaceTask(const Task&, const CpuLoads& loads) {
    if (place >= 0) return place;
    int best = loads.allowed().First();
    for (int cpu : loads.allowed()) {
      if (loads[cpu].runnable < loads[best].runnable) best = cpu;
    }
    return best;
  }
  void Enqueue(int cpu, Task* task, EnqueueReason reason, Time) {
    task->last_reason = reason;
    queues_[cpu].push_back(*task);
  }
  void Dequeue(int cpu, Task* task) { queues_[cpu].erase(queues_[cpu].iterator_to(*task)); }
  Pick<Task> PickNext(int cpu, Time) {
    if (queues_[cpu].empty()) return {};
    Task* task = &queues_[cpu].front();
    queues_[cpu].pop_front();
    return {.task = task, .slice_end = slice_end};
  }

  auto& queue(int cpu) { return queues_[cpu]; }
  size_t Length(int cpu) const { return queues_[cpu].size(); }
  // The first task in a CPU's queue, or null.
  const Task* Front(int cpu) const { return queues_[cpu].empty() ? nullptr : &queues_[cpu].front(); }

 private:
  std::array<boost::intrusive::list<
                 Task, boost::intrusive::member_hook<Task, boost::intrusive::list_member_hook<>, &Task::link>>,
             kMaxCpus>
      queues_;
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_LIST_POLICY_H_
