// The schedule pass of CentralizedRuntime, up to its commit: hot, see lib/centralized_runtime.h, which includes this
// file; nobody else does.
#ifndef GHOST_LIB_CENTRALIZED_PASS_INC_H_
#define GHOST_LIB_CENTRALIZED_PASS_INC_H_

#include "lib/centralized_runtime.h"

namespace ghost {

template <typename Policy>
StepResult CentralizedRuntime<Policy>::Step(int cpu, Time now) {
  CpuState& c = *cpus_[cpu];
  if (cpu != global_cpu()) return SatelliteStep(c, now);
  loop_meter_.Begin(now, /*real=*/c.agent != nullptr);
  while (!Pass(c, now)) [[unlikely]] {
      Upkeep(c, now);
      if (stopping()) return StepResult::kYielded;
    }
  return Finish(c, now);
}

template <typename Policy>
[[gnu::always_inline]] inline bool CentralizedRuntime<Policy>::Pass(CpuState& c, Time now) {
  c.counters.passes.Add(1);
  barrier_ = c.agent_word.barrier();
  now_ = now;
  plan_.BeginPass(now);
  if constexpr (kAsynchronous) {
    if (!pending_.empty()) Reap(c, now);
  }
  handled_ = 0;
  const bool drained = queue().Quiet() || Drain(c, now);
  loop_meter_.MessagesRead();
  if (!drained || fresh_look_.Overflowed(queue()) || upkeep_due()) [[unlikely]]
    return false;
  if constexpr (kHasHints) {
    if (HintSource* source = hints(); source != nullptr && !source->Poll(this)) NeedUpkeep();
  }
  if (has_more_to_see_) [[unlikely]] {
    if (ring() != nullptr) ReapRing(c, now);
    for (int cpu : forbidden_) {
      if (plan_.IsBusy(cpu) && !plan_.current(cpu)->allowed().Contains(cpu)) plan_.Unschedule(cpu);
    }
    forbidden_.Clear();
    has_more_to_see_ = ring() != nullptr;
  }
  if (now >= next_look_) [[unlikely]]
    PollUnavailable(now);
  policy_.Schedule(plan_);
  return true;
}

// False: the first message is one that upkeep has to handle before any that follow.
template <typename Policy>
[[gnu::always_inline]] inline bool CentralizedRuntime<Policy>::Drain(CpuState& c, Time now) {
  uint32_t alarms = 0;  // that the timer has gone off is not that something has happened
  const auto handle = [&]<typename M>(const M& message, uint32_t seqnum) __attribute__((always_inline)) {
    if constexpr (kConcernsTask<M>) {
      Task* task = keeper_.Find(message.gtid);
      if (task == nullptr) [[unlikely]]
        return c.counters.unknown_tasks.Add(1);
      if (!TaskKeeper<Task>::Advance(task, seqnum) || task->state_ == TaskState::kGone) [[unlikely]]
        return;
      if constexpr (kAsynchronous) {
        if ((task->place_ & Task::kPending) != 0) [[unlikely]]
          Settle(c, *cpus_[task->home_], now);
      }
      On(c, task, message, now);
    } else if constexpr (std::is_same_v<M, CpuAvailable> || std::is_same_v<M, CpuBusy>) {
      OnCpuMessage(message.cpu, std::is_same_v<M, CpuAvailable>, now);
    } else if constexpr (std::is_same_v<M, CpuTimerExpired>) {
      ++alarms;
    }
  };
  const Drained drained = DrainMessages(queue(), c.counters.corrupt_messages, handle);
  handled_ = drained.messages - alarms;
  if (drained.messages != 0) {
    c.counters.messages.Add(drained.messages);
    stale_since_ = Time::Infinite();
  }
  if (drained.end == Drained::End::kCorrupt) [[unlikely]]
    LoseTrack();
  return drained.end != Drained::End::kNewTask;
}

template <typename Policy>
[[gnu::always_inline]] inline StepResult CentralizedRuntime<Policy>::Finish(CpuState& c, Time now) {
  look_again_ = plan_.look_again();
  const bool asks = !plan_.planned_cpus().empty();
  if (asks && !Commit(c, now)) return StepResult::kKernelGone;
  if (!plan_.deferred().empty()) [[unlikely]]
    ReturnDeferred(c, now);
  if constexpr (kHasHints) {
    for (const Task* task : plan_.have_work()) {
      if (HintSource* source = hints(); source != nullptr) source->SetHasWork(task->gtid_);
    }
  }
  if (ring() != nullptr) [[unlikely]]
    RefreshRing(asks);
  loop_meter_.End();
  if (c.agent_word.boosted_priority() || heir() >= 0) [[unlikely]]
    return ConsiderLeaving(c, now);
  if (asks) {
    busy_at_ = now;
    return StepResult::kCommitted;
  }
  return Rest(c, now);
}

// Nothing is to do. On a machine that is shared, polling for long takes what others could use.
template <typename Policy>
inline StepResult CentralizedRuntime<Policy>::Rest(CpuState& c, Time now) {
  if (handled_ != 0) busy_at_ = now;
  if (next_look_ != Time::Infinite() && runnable_.value() > 0) [[unlikely]]
    look_again_ = std::min(look_again_, std::max(next_look_, now + absl::Microseconds(50)));
  if (kAsynchronous && !pending_.empty()) look_again_ = now;
  if (Time::NanosecondsBetween(busy_at_, now) < idle_poll_ns() || !pending_.empty()) [[likely]]
    return StepResult::kPolled;
  Time until = look_again_;
  if constexpr (kHasHints) {
    if (HintSource* source = hints(); source != nullptr) {
      until = std::min(until, source->NextPoll(now, runnable_.value() > 0));
    }
  }
  return Sleep(c, barrier_, now, until, 0);
}

// Another class wants the CPU of the global agent.
template <typename Policy>
[[gnu::noinline]] StepResult CentralizedRuntime<Policy>::ConsiderLeaving(CpuState& c, Time now) {
  // How soon a CPU is looked at that was left, which takes its agent a moment, and one whose agent does not answer.
  constexpr absl::Duration kLeft = absl::Microseconds(100);
  constexpr absl::Duration kMute = absl::Milliseconds(100);
  busy_at_ = now;
  look_again_ = now;
  if (heir() < 0) return OfferRole(c, now);
  switch (HeirsAnswer(now)) {
    case Answer::kNone:
      return StepResult::kPolled;
    case Answer::kTooLate:
      if (const int heir = this->heir(); Withdraw()) {
        SetUnavailable(heir, now + kMute);
        return StepResult::kPolled;
      }
      break;  // it is awake after all
    case Answer::kAwake:
      break;
  }
  // This CPU is another class's, until it is seen to be free.
  SetUnavailable(c.cpu, now + kLeft);
  HandOver(c);
  return StepResult::kPolled;
}

template <typename Policy>
StepResult CentralizedRuntime<Policy>::OfferRole(CpuState& c, Time now) {
  CpuSet candidates = available_;
  candidates.Remove(c.cpu);
  const int next = Nearest(c.cpu, candidates, plan_.idle());
  if (next < 0) {
    // There is nowhere to go. The other class gets this CPU until a message comes, but not for long at a time: a CPU
    // may have become free without one.
    constexpr absl::Duration kTurn = absl::Milliseconds(1);
    return Sleep(c, barrier_, now, std::min(look_again_ == now ? Time::Infinite() : look_again_, now + kTurn),
                 RTLA_ON_IDLE);
  }
  if constexpr (kAsynchronous) {
    if (cpus_[next]->pending) Settle(c, *cpus_[next], now);
  }
  OfferTo(next, now);
  // Its task is off it from now on; the message that says so comes.
  plan_.SetUnavailable(next);
  return StepResult::kPolled;
}

template <typename Policy>
[[gnu::always_inline]] inline void CentralizedRuntime<Policy>::On(CpuState& c, Task* task, const TaskBlocked& message,
                                                                  Time now) {
  task->runtime_ns_ = message.runtime_ns;
  c.counters.blocked.Add(1);
  EndChain(message.cpu, message.from_switchto);
  Block(c, task, now);
}

template <typename Policy>
[[gnu::always_inline]] inline void CentralizedRuntime<Policy>::On(CpuState& c, Task* task, const TaskWakeup& message,
                                                                  Time now) {
  c.counters.woken.Add(1);
  if (task->state_ != TaskState::kBlocked) [[unlikely]]
    return c.counters.illegal_changes.Add(1);
  MakeRunnable(c, task, message.deferrable ? EnqueueReason::kWokenDeferrable : EnqueueReason::kWoken, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState& c, Task* task, const TaskPreempt& message, Time now) {
  task->runtime_ns_ = message.runtime_ns;
  c.counters.preempted.Add(1);
  EndChain(message.cpu, message.from_switchto);
  const bool put_back = (task->place_ & Task::kPutBack) != 0;
  MakeRunnable(c, task, put_back ? EnqueueReason::kSliceExpired : EnqueueReason::kPreempted, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState& c, Task* task, const TaskYield& message, Time now) {
  task->runtime_ns_ = message.runtime_ns;
  c.counters.yielded.Add(1);
  EndChain(message.cpu, message.from_switchto);
  MakeRunnable(c, task, EnqueueReason::kYielded, now);
}

// It gave its CPU to another task directly; a message of that one, or of the last in the chain, says when the CPU is
// free again.
template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState& c, Task* task, const TaskSwitchto& message, Time now) {
  task->runtime_ns_ = message.runtime_ns;
  if (cpus().Contains(message.cpu)) cpus_[message.cpu]->chain = true;
  Block(c, task, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState&, Task* task, const TaskDeparted& message, Time now) {
  EndChain(message.cpu, message.from_switchto);
  Leave(task, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState&, Task* task, const TaskDead&, Time now) {
  Leave(task, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState&, Task* task, const TaskAffinityChanged&, Time) {
  if ((task->place_ & Task::kWaitsForPlace) != 0) return;
  task->place_ |= Task::kWaitsForPlace;
  changed_.PushBack(task);
  NeedUpkeep();
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState&, Task* task, const TaskPriorityChanged& message, Time) {
  task->nice_ = message.nice;
  if constexpr (requires { policy_.OnNiceChanged(task); }) policy_.OnNiceChanged(task);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::On(CpuState& c, Task* task, const TaskLatchFailure&, Time now) {
  if (ring() != nullptr) ring()->NoteLatchFailure();
  MakeRunnable(c, task, EnqueueReason::kCommitFailed, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::OnCpuMessage(int cpu, bool available, Time now) {
  // How soon a CPU is looked at though no message said that it is free again.
  constexpr absl::Duration kDistrust = absl::Milliseconds(1);
  if (!cpus().Contains(cpu)) return;
  if (available) return SetAvailable(cpu);
  SetUnavailable(cpu, now + kDistrust);
}

template <typename Policy>
void CentralizedRuntime<Policy>::OnHint(int64_t gtid, const WorkHint& hint) {
  if constexpr (kHasHints) {
    if (Task* task = keeper_.Find(gtid); task != nullptr && task->state_ != TaskState::kGone) {
      policy_.OnHint(task, hint, now_);
      ++handled_;
    }
  }
}

template <typename Policy>
inline void CentralizedRuntime<Policy>::SetState(CpuState& c, Task* task, TaskState state) {
  if (!IsLegal(task->state_, state)) [[unlikely]]
    c.counters.illegal_changes.Add(1);
  if (const int change = int{CountsAsRunnable(state)} - int{CountsAsRunnable(task->state_)}; change != 0) {
    runnable_.Add(change);
  }
  task->state_ = state;
}

// A task that had a CPU has left it.
template <typename Policy>
inline void CentralizedRuntime<Policy>::LeaveCpu(Task* task, Time now) {
  task->place_ &= ~Task::kPutBack;
  const int cpu = task->home_;
  if (cpu < 0) return;  // an older agent gave it one
  if (plan_.current(cpu) == task) {
    if (plan_.IsBusy(cpu)) {
      Vacate(cpu);
    } else {
      plan_.ForgetCurrent(cpu);
    }
  }
  if constexpr (requires { policy_.OnStopped(0, task, now); }) policy_.OnStopped(cpu, task, now);
}

template <typename Policy>
inline void CentralizedRuntime<Policy>::Block(CpuState& c, Task* task, Time now) {
  const bool is_new = task->state_ == TaskState::kNew;
  if (task->state_ == TaskState::kOnCpu) [[likely]] {
    LeaveCpu(task, now);
    static_assert(IsLegal(TaskState::kOnCpu, TaskState::kBlocked));
    task->state_ = TaskState::kBlocked;
    runnable_.Add(-1);
  } else {
    if (task->in_ring() && WasTaken(task, now)) [[unlikely]]
      LeaveCpu(task, now);
    if (task->state_ == TaskState::kQueued) {
      policy_.Dequeue(task);
      SetState(c, task, TaskState::kRunnable);
    }
    SetState(c, task, TaskState::kBlocked);
  }
  if constexpr (requires { policy_.OnBlocked(task, now); }) {
    if (!is_new) policy_.OnBlocked(task, now);
  }
}

template <typename Policy>
inline void CentralizedRuntime<Policy>::MakeRunnable(CpuState& c, Task* task, EnqueueReason reason, Time now) {
  if (task->state_ == TaskState::kQueued) [[unlikely]] {
    if (!task->in_ring() || !WasTaken(task, now)) return c.counters.illegal_changes.Add(1);
  }
  if (task->state_ == TaskState::kOnCpu) LeaveCpu(task, now);
  SetState(c, task, TaskState::kQueued);
  policy_.Enqueue(task, reason, now);
}

template <typename Policy>
void CentralizedRuntime<Policy>::Leave(Task* task, Time now) {
  if (task->in_ring()) WasTaken(task, now);
  if (task->state_ == TaskState::kOnCpu) LeaveCpu(task, now);
  if (task->state_ == TaskState::kQueued) policy_.Dequeue(task);
  if constexpr (requires { policy_.OnGone(task); }) policy_.OnGone(task);
  runnable_.Add(-int{CountsAsRunnable(task->state_)});
  task->state_ = TaskState::kGone;
  // Whoever finds it in the list of changed affinities buries it.
  if ((task->place_ & Task::kWaitsForPlace) == 0) gone_.PushBack(task);
  NeedUpkeep();
}

}  // namespace ghost

#endif  // GHOST_LIB_CENTRALIZED_PASS_INC_H_
