// What CentralizedRuntime does with tasks that CPUs take by themselves (lib/pnt_ring.h): see lib/centralized_runtime.h,
// which includes this file; nobody else does. Nothing of it is called where there are no rings.
//
// A task in a ring is queued, for the policy and for the runtime, until the agent learns that a CPU has taken it: from
// its slot (ReapRing, once a pass, after all messages were read), or as a message comes that only a task can cause
// which has run (WasTaken). Commits for CPUs that seem to be idle ask the kernel not to preempt: one may have taken a
// task since.
#ifndef GHOST_LIB_CENTRALIZED_RING_INC_H_
#define GHOST_LIB_CENTRALIZED_RING_INC_H_

#include "lib/centralized_runtime.h"

namespace ghost {

// After messages are read, before the policy decides.
template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::ReapRing(CpuState& c, Time now) {
  ring_stale_ |= ring()->Reap([&](TaskBase* base, const PntRing::Take& take) {
    auto* task = static_cast<Task*>(base);
    if (task->state_ != TaskState::kQueued) return;
    StartsElsewhere(task, take.cpu, now);
    if (!take.latest || take.cpu < 0) return;
    CpuState& on = *cpus_[take.cpu];
    if (on.pending) Settle(c, on, now);
    plan_.SetUnavailable(take.cpu);
    plan_.SetBusy(take.cpu, task, now);
  });
}

// A CPU has given it to itself.
template <typename Policy>
void CentralizedRuntime<Policy>::StartsElsewhere(Task* task, int cpu, Time now) {
  policy_.Dequeue(task);
  static_assert(IsLegal(TaskState::kQueued, TaskState::kOnCpu));
  task->state_ = TaskState::kOnCpu;
  task->home_ = cpu;
  if (cpu < 0) return;
  cpus_[cpu]->task_seqnum = task->seqnum_;
  if constexpr (requires { policy_.OnRunning(0, task, now); }) policy_.OnRunning(cpu, task, now);
}

// A message says that a queued task is off every CPU. True: one had taken it, and it is as if it were still there;
// which CPU runs what is not changed by that.
template <typename Policy>
[[gnu::noinline]] bool CentralizedRuntime<Policy>::WasTaken(Task* task, Time now) {
  int cpu = -1;
  ring_stale_ = true;
  if (!task->in_ring() || !ring()->Resolve(task, &cpu)) return false;
  StartsElsewhere(task, cpu, now);
  return true;
}

// At the end of a pass: the first of those who still wait are offered.
template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::RefreshRing(bool decided) {
  if (const std::pair<int, int> taken = {global_cpu(), heir()}; taken != not_takers_) {
    not_takers_ = taken;
    ring()->SetTakers(taken.first, taken.second);
  }
  if (handled_ == 0 && !decided && plan_.deferred().empty() && !std::exchange(ring_stale_, false)) return;
  ring()->Begin();
  if constexpr (kShowsWaiting) policy_.ForEachWaiting([&](Task& task) { return ring()->Offer(&task); });
  ring()->End();
}

// Whether the transaction for a planned CPU may be opened; if so, it is.
template <typename Policy>
[[gnu::noinline]] bool CentralizedRuntime<Policy>::OpenCarefully(CpuState& on, Time now) {
  // Where no message says that a CPU was taken, its agent's status word does.
  on.refused = Outcome::kCpuUnavailable;
  if (looks_at_words_ && !on.agent_word.cpu_available()) return false;
  if (ring() == nullptr) {
    Open(on, now, 0);
    return true;
  }
  on.refused = Outcome::kRetry;
  Task* task = plan_.planned(on.cpu);
  ring_stale_ = true;
  if (ring()->HasTaken(on.cpu) || (task != nullptr && task->in_ring() && !ring()->TakeBack(task))) return false;
  const bool seems_idle = plan_.current(on.cpu) == nullptr;
  Open(on, now, seems_idle && task != nullptr ? DO_NOT_PREEMPT : 0);
  return true;
}

}  // namespace ghost

#endif  // GHOST_LIB_CENTRALIZED_RING_INC_H_
