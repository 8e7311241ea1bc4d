#include "schedulers/fifo/per_cpu/fifo_policy.h"

#include <tuple>

namespace ghost {

int FifoPolicy::PlaceTask(const Task& task, const CpuLoads& loads) {
  // Its home, if nothing is better: no move, and warm caches.
  const auto rank = [&](int cpu) {
    return std::make_tuple(loads[cpu].runnable, loads[cpu].tasks, cpu != task.home(), cpu);
  };
  int best = loads.allowed().First();
  for (int cpu : loads.allowed()) {
    if (rank(cpu) < rank(best)) best = cpu;
  }
  return best;
}

void FifoPolicy::Enqueue(int cpu, Task* task, EnqueueReason reason, Time) {
  task->boosted =
      reason == EnqueueReason::kPreempted || reason == EnqueueReason::kWoken || reason == EnqueueReason::kCommitFailed;
  Queue& tasks = queues_[cpu].tasks;
  if (task->boosted) {
    tasks.push_front(*task);
  } else {
    tasks.push_back(*task);
  }
}

void FifoPolicy::Dequeue(int cpu, Task* task) {
  Queue& tasks = queues_[cpu].tasks;
  tasks.erase(tasks.iterator_to(*task));
}

Pick<FifoPolicy::Task> FifoPolicy::PickNext(int cpu, Time) {
  Queue& tasks = queues_[cpu].tasks;
  if (tasks.empty()) return {};
  Task* task = &tasks.front();
  tasks.pop_front();
  return {.task = task};
}

void FifoPolicy::Describe(const Task& task, std::string* line) const {
  if (task.state() == TaskState::kQueued && task.boosted) line->append(" boosted");
}

}  // namespace ghost
