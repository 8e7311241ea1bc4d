// Weighted round robin: everybody in turn, each for as many quanta as its weight: 40 at nice -20, 20 at nice 0, 1 at
// nice 19. The example of docs/write-a-policy.md. Pure: see lib/policy.h.
#ifndef GHOST_SCHEDULERS_EXAMPLES_WEIGHTED_RR_WEIGHTED_RR_POLICY_H_
#define GHOST_SCHEDULERS_EXAMPLES_WEIGHTED_RR_WEIGHTED_RR_POLICY_H_

#include <algorithm>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "lib/policy.h"
#include "lib/tunable.h"

namespace ghost {

class WeightedRrPolicy {
 public:
  static constexpr bool kWantsTicks = true;
  struct Task : TaskBase, boost::intrusive::list_base_hook<> {
    bool in_turn = false;
    int64_t turn_end_ns = 0;  // of its time on CPU
  };
  explicit WeightedRrPolicy(const PolicyConfig& config) : queues_(config.cpus.Last() + 1) {}

  int PlaceTask(const Task&, const CpuLoads& loads) {
    int best = loads.allowed().First();
    for (int cpu : loads.allowed()) {
      if (loads[cpu].runnable < loads[best].runnable) best = cpu;
    }
    return best;
  }

  void Enqueue(int cpu, Task* task, EnqueueReason reason, Time) {
    if (reason == EnqueueReason::kNew) task->turn_end_ns = static_cast<int64_t>(task->runtime_ns());
    task->in_turn &= reason == EnqueueReason::kPreempted || reason == EnqueueReason::kCommitFailed;
    queues_[cpu].insert(task->in_turn ? queues_[cpu].begin() : queues_[cpu].end(), *task);
  }
  void Dequeue(int cpu, Task* task) { queues_[cpu].erase(queues_[cpu].iterator_to(*task)); }
  Pick<Task> PickNext(int cpu, Time now) {
    while (!queues_[cpu].empty()) {
      Task* task = &queues_[cpu].front();
      queues_[cpu].pop_front();
      const auto ran_ns = static_cast<int64_t>(task->runtime_ns());
      if (!task->in_turn) task->turn_end_ns = std::min(task->turn_end_ns, ran_ns) + TurnNs(*task);
      task->in_turn = task->turn_end_ns > ran_ns;
      if (task->in_turn) return {task, Time::FromNanoseconds(now.ns() + task->turn_end_ns - ran_ns)};
      queues_[cpu].push_back(*task);  // the turns before have used this one up, too
    }
    return {};
  }
  std::vector<Tunable*> Tunables() { return {&quantum_}; }

 private:
  int64_t TurnNs(const Task& task) const { return quantum_.Get() * std::max(1, 20 - task.nice()); }
  std::vector<boost::intrusive::list<Task>> queues_;  // by CPU
  Tunable quantum_{"quantum", "a turn for each weight", Tunable::Unit::kNanoseconds, 1'000'000, 10'000, INT32_MAX};
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_EXAMPLES_WEIGHTED_RR_WEIGHTED_RR_POLICY_H_
