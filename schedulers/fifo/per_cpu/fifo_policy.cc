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

FifoPolicy::Task* FifoPolicy::PickToGive(int cpu, int to_cpu, int64_t) {
  constexpr int kTasksToTry = 32;
  Queue& tasks = queues_[cpu].tasks;
  int tried = 0;
  for (auto it = tasks.begin(); it != tasks.end() && tried < kTasksToTry; ++it, ++tried) {
    if (tried > 0 && it->allowed().Contains(to_cpu)) return &*it;
  }
  return tried > 0 && tasks.front().allowed().Contains(to_cpu) ? &tasks.front() : nullptr;
}

void FifoPolicy::Describe(const Task& task, std::string* line) const {
  if (task.state() == TaskState::kQueued && task.boosted) line->append(" boosted");
}

}  // namespace ghost
