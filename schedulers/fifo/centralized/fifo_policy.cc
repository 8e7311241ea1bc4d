#include "schedulers/fifo/centralized/fifo_policy.h"

namespace ghost {

CentralizedFifoPolicy::CentralizedFifoPolicy(const PolicyConfig& config, const Options& options)
    : groups_(config.cpus),
      queues_(static_cast<size_t>(groups_.count())),
      slice_ns_("preemption_time_slice", "how long a task runs while others wait", Tunable::Unit::kNanoseconds,
                options.slice_ns, /*min=*/1, /*max=*/INT64_MAX) {}

void CentralizedFifoPolicy::OnAffinityChanged(Task* task) {
  if (task->state() != TaskState::kQueued) return;
  Dequeue(task);
  task->group = groups_.Find(task->allowed());
  Queue& queue = queues_[task->group];
  auto place = queue.begin();
  while (place != queue.end() && place->turn < task->turn) ++place;
  queue.insert(place, *task);
  groups_.SetWaiting(task->group, true);
}

void CentralizedFifoPolicy::ReplaceExpired(Plan<Task>& plan) {
  const int64_t slice_ns = slice_ns_.Get();
  for (int cpu = plan.FirstBusy(); cpu >= 0;) {
    const int64_t ran_ns = Time::NanosecondsBetween(plan.since(cpu), plan.now());
    if (ran_ns < slice_ns) return plan.LookAgain(Time::FromNanoseconds(plan.now().ns() + slice_ns - ran_ns));
    const int next = plan.NextBusy(cpu);
    while (Task* task = FirstFor(cpu)) {
      Dequeue(task);
      if (plan.Assign(cpu, task)) break;
    }
    cpu = next;
  }
}

void CentralizedFifoPolicy::Describe(const Task& task, std::string* line) const {
  if (task.state() == TaskState::kQueued && task.boosted) line->append(" boosted");
}

}  // namespace ghost
