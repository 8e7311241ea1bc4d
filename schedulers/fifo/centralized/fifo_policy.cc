#include "schedulers/fifo/centralized/fifo_policy.h"

namespace ghost {
namespace {

int FreeCpuFor(const Plan<CentralizedFifoPolicy::Task>& plan, const CentralizedFifoPolicy::Task& task) {
  const int last = task.home();
  if (plan.idle().Contains(last) && task.allowed().Contains(last)) return last;
  return plan.FirstIdleFor(task);
}

}  // namespace

CentralizedFifoPolicy::CentralizedFifoPolicy(const PolicyConfig&, const Options& options)
    : slice_ns_("preemption_time_slice", "how long a task runs while others wait", Tunable::Unit::kNanoseconds,
                options.slice_ns, /*min=*/1, /*max=*/INT64_MAX) {}

void CentralizedFifoPolicy::FillIdle(Plan<Task>& plan) {
  if (plan.idle().IsSubsetOf(useless_)) return;
  for (auto it = queue_.begin(); it != queue_.end() && !plan.idle().empty();) {
    Task& task = *it;
    const int cpu = FreeCpuFor(plan, task);
    if (cpu < 0) {
      ++it;
      continue;
    }
    it = queue_.erase(it);
    plan.Assign(cpu, &task);
  }
  useless_ = plan.idle();
}

void CentralizedFifoPolicy::ReplaceExpired(Plan<Task>& plan) {
  const int64_t slice_ns = slice_ns_.Get();
  for (int cpu = plan.FirstBusy(); cpu >= 0;) {
    const int64_t ran_ns = Time::NanosecondsBetween(plan.since(cpu), plan.now());
    if (ran_ns < slice_ns) return plan.LookAgain(Time::FromNanoseconds(plan.now().ns() + slice_ns - ran_ns));
    const int next = plan.NextBusy(cpu);
    for (Task* task = TakeFirstFor(cpu); task != nullptr && !plan.Assign(cpu, task);) task = TakeFirstFor(cpu);
    cpu = next;
  }
}

CentralizedFifoPolicy::Task* CentralizedFifoPolicy::TakeFirstFor(int cpu) {
  for (Task& task : queue_) {
    if (!task.allowed().Contains(cpu)) continue;
    queue_.erase(queue_.iterator_to(task));
    return &task;
  }
  return nullptr;
}

void CentralizedFifoPolicy::Describe(const Task& task, std::string* line) const {
  if (task.state() == TaskState::kQueued && task.boosted) line->append(" boosted");
}

}  // namespace ghost
