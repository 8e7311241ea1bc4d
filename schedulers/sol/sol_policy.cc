#include "schedulers/sol/sol_policy.h"

namespace ghost {

int SolPolicy::FreeCpuFor(const Plan<Task>& plan, const Task& task) const {
  const int last = task.home();
  const auto suits = [&](int cpu) { return plan.idle().Contains(cpu) && task.allowed().Contains(cpu); };
  if (suits(last)) [[likely]]
    return last;
  if (const Topology::Cpu cpu = topology_->cpu(last); cpu.valid()) {
    for (int sibling : cpu.siblings()) {
      if (suits(sibling)) return sibling;
    }
  }
  return plan.FirstIdleFor(task);
}

void SolPolicy::FillIdle(Plan<Task>& plan) {
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
  if (!plan.idle().empty()) useless_ = plan.idle();
}

void SolPolicy::ReplaceExpired(Plan<Task>& plan) {
  const int64_t slice_ns = slice_ns_.Get();
  for (int cpu = plan.FirstBusy(); cpu >= 0 && !queue_.empty();) {
    const int64_t ran_ns = Time::NanosecondsBetween(plan.since(cpu), plan.now());
    if (ran_ns < slice_ns) return plan.LookAgain(Time::FromNanoseconds(plan.now().ns() + slice_ns - ran_ns));
    const int next = plan.NextBusy(cpu);
    // The first that may run there, and can.
    for (auto it = queue_.begin(); it != queue_.end();) {
      Task& task = *it;
      if (!task.allowed().Contains(cpu)) {
        ++it;
        continue;
      }
      it = queue_.erase(it);
      if (plan.Assign(cpu, &task)) break;
    }
    cpu = next;
  }
}

}  // namespace ghost
