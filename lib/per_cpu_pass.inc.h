// The schedule pass of PerCpuRuntime: hot, see lib/per_cpu_runtime.h, which includes this file; nobody else does.
#ifndef GHOST_LIB_PER_CPU_PASS_INC_H_
#define GHOST_LIB_PER_CPU_PASS_INC_H_

#include "lib/per_cpu_runtime.h"

namespace ghost {

template <typename Policy>
StepResult PerCpuRuntime<Policy>::Step(int cpu, Time now) {
  CpuState& c = *cpus_[cpu];
  PassResult result = Pass(c, now);
  if (result == PassResult::kUpkeep) [[unlikely]]
    result = UpkeepAndPass(c, now);
  static_assert(static_cast<int>(PassResult::kCommitted) == static_cast<int>(StepResult::kCommitted) &&
                static_cast<int>(PassResult::kYielded) == static_cast<int>(StepResult::kYielded) &&
                static_cast<int>(PassResult::kKernelGone) == static_cast<int>(StepResult::kKernelGone));
  return static_cast<StepResult>(result);
}

template <typename Policy>
[[gnu::noinline]] typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::UpkeepAndPass(CpuState& c,
                                                                                                  Time now) {
  PassResult result;
  do {
    Upkeep(c, now);
    // Stop raises upkeep_due before it pings, so a barrier that has seen the ping is not slept on.
    if (stopping()) return PassResult::kYielded;
    result = Pass(c, now);
  } while (result == PassResult::kUpkeep);
  if (!c.to_ping.empty()) NeedUpkeep(c);  // the next step tries again
  return result;
}

template <typename Policy>
[[gnu::always_inline]] inline typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Pass(CpuState& c,
                                                                                                     Time now) {
  c.counters.passes.Add(1);
  c.barrier = c.agent_word.barrier();
  if (!c.mailbox.empty()) TakeMail(c, now);
  const bool drained = Drain(c, now);
  if (!drained || c.fresh_look.Overflowed(c.channel) || c.upkeep_due.load(std::memory_order_acquire)) [[unlikely]] {
    return PassResult::kUpkeep;
  }
  return Decide(c, now);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::TakeMail(CpuState& c, Time now) {
  TaskList mail = c.mailbox.TakeAll();
  c.idle = false;  // whoever sent it has said so
  c.may_share = true;
  while (TaskBase* base = mail.PopFront()) {
    Task* task = static_cast<Task*>(base);
    task->place_ &= ~Task::kInMailbox;
    c.row.incoming.fetch_sub(1, std::memory_order_relaxed);
    c.at_home.Add(task);
    // Messages may have overtaken the mail.
    if (task->state_ == TaskState::kGone) AddGone(c, task);
    if (task->state_ != TaskState::kRunnable) continue;
    c.row.runnable.Add(1);
    c.joined = true;
    MakeRunnable(c, task, static_cast<EnqueueReason>(std::exchange(task->join_reason_, 0)), now);
  }
}

// False: the first message is one that upkeep has to handle before any that follow.
template <typename Policy>
[[gnu::always_inline]] inline bool PerCpuRuntime<Policy>::Drain(CpuState& c, Time now) {
  const auto handle = [&]<typename M>(const M& message, uint32_t seqnum) __attribute__((always_inline)) {
    if constexpr (kConcernsTask<M>) {
      if (Task* task = Follow(c, message.gtid, seqnum); task != nullptr) On(c, task, message, now);
    }
  };
  const Drained drained = DrainMessages(c.channel, c.counters.corrupt_messages, handle);
  if (drained.messages != 0) {
    c.counters.messages.Add(drained.messages);
    c.stale = 0;
  }
  if (drained.end == Drained::End::kCorrupt) [[unlikely]]
    LoseTrack(c);
  return drained.end != Drained::End::kNewTask;
}

template <typename Policy>
[[gnu::always_inline]] inline typename PerCpuRuntime<Policy>::Task* PerCpuRuntime<Policy>::Follow(CpuState& c,
                                                                                                  int64_t gtid,
                                                                                                  uint32_t seqnum) {
  Task* task = keeper_.Find(gtid);
  if (task == nullptr || task->home_ != c.cpu) [[unlikely]] {
    c.counters.unknown_tasks.Add(1);
    return nullptr;
  }
  return TaskKeeper<Task>::Advance(task, seqnum) ? task : nullptr;
}

template <typename Policy>
[[gnu::always_inline]] inline void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskBlocked& message,
                                                             Time now) {
  task->runtime_ns_ = message.runtime_ns;
  c.counters.blocked.Add(1);
  if (message.from_switchto) [[unlikely]]
    NoteChainEnd(c, message.cpu);
  Block(c, task, now);
}

template <typename Policy>
[[gnu::always_inline]] inline void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskWakeup& message,
                                                             Time now) {
  c.counters.woken.Add(1);
  if (task->state_ != TaskState::kBlocked) [[unlikely]]
    return c.counters.illegal_changes.Add(1);
  if (task->place_ != 0) [[unlikely]]
    return AskForPlace(c, task);
  const EnqueueReason reason = message.deferrable ? EnqueueReason::kWokenDeferrable : EnqueueReason::kWoken;
  if constexpr (kPlacesWakeups) {
    if (has_choice_ && c.row.runnable.value() > 0) {
      const int cpu = policy_.PlaceTask(*task, CpuLoads(task->allowed_, board_));
      if (cpu != c.cpu && task->allowed_.Contains(cpu)) [[unlikely]] {
        return GoTo(c, task, cpu, reason);
      }
    }
  }
  c.row.runnable.Add(1);
  c.joined = true;
  Join(c, task, reason, now);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskPreempt& message, Time now) {
  task->runtime_ns_ = message.runtime_ns;
  c.counters.preempted.Add(1);
  if (message.from_switchto) [[unlikely]]
    NoteChainEnd(c, message.cpu);
  const bool expired = task == c.current && now >= c.slice_end;
  MakeRunnable(c, task, expired ? EnqueueReason::kSliceExpired : EnqueueReason::kPreempted, now);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskYield& message, Time now) {
  task->runtime_ns_ = message.runtime_ns;
  c.counters.yielded.Add(1);
  if (message.from_switchto) [[unlikely]]
    NoteChainEnd(c, message.cpu);
  MakeRunnable(c, task, EnqueueReason::kYielded, now);
}

// It gave its CPU to another task directly; that one's message tells when the CPU is free again.
template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskSwitchto& message, Time now) {
  task->runtime_ns_ = message.runtime_ns;
  Block(c, task, now);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskDeparted& message, Time) {
  if (message.from_switchto) NoteChainEnd(c, message.cpu);
  Leave(c, task);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskDead&, Time) {
  Leave(c, task);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskAffinityChanged&, Time now) {
  task->place_ |= Task::kNeedsPlace;
  if (task->state_ != TaskState::kQueued) return;
  TakeOff(c, task);
  MakeRunnable(c, task, EnqueueReason::kNew, now);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskPriorityChanged& message, Time) {
  task->nice_ = message.nice;
  if constexpr (requires { policy_.OnNiceChanged(0, task); }) policy_.OnNiceChanged(c.cpu, task);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::On(CpuState& c, Task* task, const TaskLatchFailure&, Time now) {
  MakeRunnable(c, task, EnqueueReason::kCommitFailed, now);
}

template <typename Policy>
void PerCpuRuntime<Policy>::SetState(CpuState& c, Task* task, TaskState state) {
  if (!IsLegal(task->state_, state)) c.counters.illegal_changes.Add(1);
  // A task on its way is not among the runnable ones of its new home yet.
  if ((task->place_ & Task::kInMailbox) == 0)
    c.row.runnable.Add(int{CountsAsRunnable(state)} - int{CountsAsRunnable(task->state_)});
  task->state_ = state;
}

// A chain of tasks that gave each other the CPU (switchto) has ended there: its agent, who only knows the first of
// them, is to look.
template <typename Policy>
void PerCpuRuntime<Policy>::NoteChainEnd(CpuState& c, int cpu) {
  if (cpu == c.cpu || !cpus().Contains(cpu)) return;
  c.to_ping.Add(cpu);
  NeedUpkeep(c);
}

// Out of the run queue, off the CPU: kRunnable then, if it was in one of them.
template <typename Policy>
void PerCpuRuntime<Policy>::TakeOff(CpuState& c, Task* task) {
  if (task->state_ == TaskState::kQueued) {
    policy_.Dequeue(c.cpu, task);
    SetState(c, task, TaskState::kRunnable);
  }
  if (c.current == task) c.current = nullptr;
}

template <typename Policy>
inline void PerCpuRuntime<Policy>::Block(CpuState& c, Task* task, Time now) {
  if (task->state_ == TaskState::kOnCpu) [[likely]] {
    static_assert(IsLegal(TaskState::kOnCpu, TaskState::kBlocked));
    task->state_ = TaskState::kBlocked;
    c.row.runnable.Add(-1);
    if (c.current == task) c.current = nullptr;
  } else {
    TakeOff(c, task);
    SetState(c, task, TaskState::kBlocked);
  }
  if constexpr (requires { policy_.OnBlocked(0, task, now); }) policy_.OnBlocked(c.cpu, task, now);
}

// From asleep, from a CPU, or from nowhere, into the run queue; or to be placed first.
template <typename Policy>
[[gnu::always_inline]] inline void PerCpuRuntime<Policy>::MakeRunnable(CpuState& c, Task* task, EnqueueReason reason,
                                                                       Time now) {
  if (task->place_ != 0 || task->state_ == TaskState::kQueued) [[unlikely]] {
    return AskForPlace(c, task);
  }
  if (CountsAsRunnable(task->state_)) {
    if (c.current == task) c.current = nullptr;
  } else {
    c.row.runnable.Add(1);
    c.joined = true;
  }
  Join(c, task, reason, now);
}

template <typename Policy>
[[gnu::always_inline]] inline void PerCpuRuntime<Policy>::Join(CpuState& c, Task* task, EnqueueReason reason,
                                                               Time now) {
  static_assert(IsLegal(TaskState::kBlocked, TaskState::kQueued) && IsLegal(TaskState::kOnCpu, TaskState::kQueued) &&
                IsLegal(TaskState::kRunnable, TaskState::kQueued));
  task->state_ = TaskState::kQueued;
  policy_.Enqueue(c.cpu, task, reason, now);
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::AskForPlace(CpuState& c, Task* task) {
  if (task->state_ == TaskState::kQueued) return c.counters.illegal_changes.Add(1);
  if (c.current == task) c.current = nullptr;
  if (task->state_ != TaskState::kRunnable) SetState(c, task, TaskState::kRunnable);
  // It stands in one line only; whoever finds it there goes on with it.
  if ((task->place_ & (Task::kInMailbox | Task::kWaitsForPlace)) != 0) return;
  task->place_ |= Task::kWaitsForPlace;
  c.to_place.PushBack(task);
  NeedUpkeep(c);
}

// To that CPU, once upkeep has told the kernel.
template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::GoTo(CpuState& c, Task* task, int cpu, EnqueueReason reason) {
  task->wanted_cpu_ = cpu;
  task->join_reason_ = static_cast<uint8_t>(reason);
  AskForPlace(c, task);
}

template <typename Policy>
void PerCpuRuntime<Policy>::Leave(CpuState& c, Task* task) {
  TakeOff(c, task);
  SetState(c, task, TaskState::kGone);
  if constexpr (requires { policy_.OnGone(0, task); }) policy_.OnGone(c.cpu, task);
  // Whoever finds it in the mailbox or in the list of tasks to place buries it.
  if ((task->place_ & (Task::kInMailbox | Task::kWaitsForPlace)) == 0) AddGone(c, task);
}

template <typename Policy>
[[gnu::always_inline]] inline typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Decide(CpuState& c,
                                                                                                       Time now) {
  if (c.agent_word.boosted_priority()) [[unlikely]] {
    // Another class wants this CPU. A task that was latched now would be preempted before it ran.
    if constexpr (kShares) {
      if (c.idle) StopBeingIdle(c);
      // All of its tasks wait.
      if (std::exchange(c.may_share, false) && c.row.runnable.value() > 0 && TellOthers(c)) return PassResult::kUpkeep;
    }
    return Yield(c, kShares || c.row.runnable.value() > 0 ? RTLA_ON_IDLE : 0);
  }
  if constexpr (kShares) {
    if (c.joined) {
      c.joined = false;
      if (c.idle) [[unlikely]]
        StopBeingIdle(c);
      if (c.row.runnable.value() > 1 && TellOthers(c)) [[unlikely]]
        return PassResult::kUpkeep;
    }
    if constexpr (kBalances) {
      if (now >= c.balance_at && BalanceIsDue(c, now)) [[unlikely]]
        return PassResult::kUpkeep;
    }
  }
  // Where agents do not share their CPU with tasks, a task may run on while its agent drains.
  if (c.current != nullptr) return Yield(c, 0);
  const Pick<Task> pick = policy_.PickNext(c.cpu, now);
  if (pick.task == nullptr) {
    if constexpr (kShares) {
      if (BecomeIdle(c)) return PassResult::kUpkeep;
    }
    return Yield(c, 0);
  }
  return Run(c, pick.task, pick.slice_end, now);
}

// A timer that goes off too early costs a pass; one that is set for each pick would cost a call for each. So one that
// is on its way, and goes off before the slice ends, stays: whoever wakes by it sets it anew. However often tasks take
// turns, that is a call for each slice of full length.
template <typename Policy>
inline void PerCpuRuntime<Policy>::WatchSlice(CpuState& c, Time slice_end, Time now) {
  constexpr absl::Duration kLeast = absl::Microseconds(10);
  const Time set = c.slice_timer.when();
  if (slice_end == Time::Infinite() || (now < set && set <= slice_end)) [[likely]]
    return;
  // If the kernel refuses, the slice ends with the tick, or the next message.
  c.slice_timer.Set(c.cpu, std::max(slice_end, now + kLeast));
}

template <typename Policy>
[[gnu::always_inline]] inline typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Run(CpuState& c,
                                                                                                    Task* task,
                                                                                                    Time slice_end,
                                                                                                    Time now) {
  if constexpr (kTimelySlices) WatchSlice(c, slice_end, now);
  c.request->Open({.gtid = task->gtid_,
                   .task_barrier = task->seqnum_,
                   .agent_barrier = c.barrier,
                   .commit_flags = COMMIT_AT_TXN_COMMIT});
  const Outcome outcome = c.request->Commit();
  if (outcome != Outcome::kRunning) [[unlikely]]
    return RunFailed(c, task, outcome, now);
  c.counters.commits.Add(1);
  static_assert(IsLegal(TaskState::kQueued, TaskState::kOnCpu));
  task->state_ = TaskState::kOnCpu;
  c.current = task;
  c.slice_end = slice_end;
  c.stale = 0;
  return PassResult::kCommitted;
}

// The kernel knows more of a task than we do: its message should be in the queue. If none comes, one has been lost.
template <typename Policy>
void PerCpuRuntime<Policy>::NoteStale(CpuState& c) {
  constexpr int kEnough = 3;
  if (++c.stale >= kEnough) LoseTrack(c);
}

template <typename Policy>
[[gnu::noinline]] typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::RunFailed(CpuState& c, Task* task,
                                                                                              Outcome outcome,
                                                                                              Time now) {
  c.counters.commits_failed.Add(1);
  SetState(c, task, TaskState::kRunnable);
  if (outcome == Outcome::kTaskGone) return PassResult::kYielded;  // its last message buries it
  MakeRunnable(c, task, EnqueueReason::kCommitFailed, now);
  switch (outcome) {
    case Outcome::kTaskChanged:
    case Outcome::kTaskBusy:
      NoteStale(c);
      return PassResult::kYielded;
    case Outcome::kRetry:
      return PassResult::kYielded;
    case Outcome::kCpuUnavailable:
      return Yield(c, RTLA_ON_IDLE);
    default:
      ReportKernelGone(c.cpu, OutcomeName(outcome), ENODEV);
      return PassResult::kKernelGone;
  }
}

template <typename Policy>
[[gnu::always_inline]] inline typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Yield(CpuState& c,
                                                                                                      int run_flags) {
  const bool served = YieldCpu(c, c.barrier, run_flags, "the agent cannot yield");
  c.may_share = true;
  return served ? PassResult::kYielded : PassResult::kKernelGone;
}

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_PASS_INC_H_
