// The schedule pass of PerCpuRuntime: hot, see lib/per_cpu_runtime.h, which includes this file; nobody else does.
#ifndef GHOST_LIB_PER_CPU_PASS_INC_H_
#define GHOST_LIB_PER_CPU_PASS_INC_H_

#include "lib/per_cpu_runtime.h"

namespace ghost {

template <typename Policy>
StepResult PerCpuRuntime<Policy>::Step(int cpu, Time now) {
  CpuState& c = *cpus_[cpu];
  for (;;) {
    switch (Pass(c, now)) {
      case PassResult::kCommitted:
        return StepResult::kCommitted;
      case PassResult::kYielded:
        return StepResult::kYielded;
      case PassResult::kKernelGone:
        return StepResult::kKernelGone;
      case PassResult::kUpkeep:
        Upkeep(c, now);
    }
  }
}

template <typename Policy>
typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Pass(CpuState& c, Time now) {
  Count(c.counters.passes);
  c.barrier = c.agent_word.barrier();
  if (!c.mailbox.empty()) TakeMail(c, now);
  const bool drained = Drain(c, now);
  if (!drained || !c.to_place.empty() || !c.gone.empty() || c.lost_track || c.channel.overflow() != c.overflow_seen ||
      c.attention.load(std::memory_order_acquire)) [[unlikely]] {
    return PassResult::kUpkeep;
  }
  return Decide(c, now);
}

template <typename Policy>
void PerCpuRuntime<Policy>::TakeMail(CpuState& c, Time now) {
  TaskList mail = c.mailbox.TakeAll();
  while (TaskBase* base = mail.PopFront()) {
    Task* task = static_cast<Task*>(base);
    task->in_mailbox_ = false;
    c.incoming.fetch_sub(1, std::memory_order_relaxed);
    c.at_home.Add(task);
    // Messages may have overtaken the mail.
    if (task->state_ == TaskState::kGone) c.gone.PushBack(task);
    if (task->state_ != TaskState::kRunnable) continue;
    c.runnable.store(c.runnable.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    MakeRunnable(c, task, EnqueueReason::kNew, now);
  }
}

// False: a new task, which upkeep has to take in before anything that follows.
template <typename Policy>
bool PerCpuRuntime<Policy>::Drain(CpuState& c, Time now) {
  uint32_t count = 0;
  bool empty = true;
  // A ring that is filled while it is drained is left for the next pass: the barrier will have moved.
  for (MessageView view; count <= c.channel.num_elements(); ++count) {
    const Channel::Result result = c.channel.Peek(&view);
    if (result == Channel::Result::kEmpty) [[likely]]
      break;
    if (result == Channel::Result::kCorrupt) [[unlikely]] {
      c.lost_track = true;
      Count(c.counters.corrupt_messages);
    } else if (view.type() == MSG_TASK_NEW) [[unlikely]] {
      empty = false;
      break;
    } else {
      HandleMessage(c, view, now);
    }
    c.channel.Consume();
  }
  if (count != 0) {
    Count(c.counters.messages, count);
    c.stale = 0;
  }
  return empty;
}

template <typename Policy>
void PerCpuRuntime<Policy>::HandleMessage(CpuState& c, const MessageView& view, Time now) {
  Message message;
  if (view.Decode(c.channel.abi(), &message) != DecodeError::kOk) [[unlikely]] {
    Count(c.counters.corrupt_messages);
    return;
  }
  const int64_t gtid = GtidOf(message);
  if (gtid == 0) return;  // messages about CPUs only wake the agent, which looks at everything then
  Task* task = static_cast<Task*>(index_.Find(gtid));
  if (task == nullptr || task->home_ != c.cpu) [[unlikely]] {
    Count(c.counters.unknown_tasks);
    return;
  }
  // What a look at the status word has told already is no news.
  if (static_cast<int32_t>(message.seqnum - task->seqnum_) <= 0) [[unlikely]]
    return;
  // Before the policy may let anyone see the task.
  task->seqnum_ = message.seqnum;
  HandleTaskMessage(c, task, message, now);
}

template <typename Policy>
void PerCpuRuntime<Policy>::HandleTaskMessage(CpuState& c, Task* task, const Message& message, Time now) {
  switch (message.type) {
    case MSG_TASK_BLOCKED: {
      const auto& blocked = *std::get_if<TaskBlocked>(&message.payload);
      task->runtime_ns_ = blocked.runtime_ns;
      Count(c.counters.blocked);
      if (blocked.from_switchto) NoteChainEnd(c, blocked.cpu);
      return Block(c, task, now);
    }
    case MSG_TASK_WAKEUP: {
      Count(c.counters.woken);
      const bool deferrable = std::get_if<TaskWakeup>(&message.payload)->deferrable;
      if (task->state_ != TaskState::kBlocked) return Count(c.counters.illegal_changes);
      return MakeRunnable(c, task, deferrable ? EnqueueReason::kWokenDeferrable : EnqueueReason::kWoken, now);
    }
    case MSG_TASK_PREEMPT: {
      const auto& preempt = *std::get_if<TaskPreempt>(&message.payload);
      task->runtime_ns_ = preempt.runtime_ns;
      Count(c.counters.preempted);
      if (preempt.from_switchto) NoteChainEnd(c, preempt.cpu);
      const bool expired = task == c.current && now >= c.slice_end;
      return MakeRunnable(c, task, expired ? EnqueueReason::kSliceExpired : EnqueueReason::kPreempted, now);
    }
    case MSG_TASK_YIELD: {
      const auto& yield = *std::get_if<TaskYield>(&message.payload);
      task->runtime_ns_ = yield.runtime_ns;
      Count(c.counters.yielded);
      if (yield.from_switchto) NoteChainEnd(c, yield.cpu);
      return MakeRunnable(c, task, EnqueueReason::kYielded, now);
    }
    case MSG_TASK_SWITCHTO: {
      // It gave its CPU to another task directly; that one's message tells when the CPU is free again.
      task->runtime_ns_ = std::get_if<TaskSwitchto>(&message.payload)->runtime_ns;
      return Block(c, task, now);
    }
    case MSG_TASK_DEPARTED: {
      const auto& departed = *std::get_if<TaskDeparted>(&message.payload);
      if (departed.from_switchto) NoteChainEnd(c, departed.cpu);
      return Leave(c, task);
    }
    case MSG_TASK_DEAD:
      return Leave(c, task);
    case MSG_TASK_AFFINITY_CHANGED:
      task->needs_place_ = true;
      if (task->state_ == TaskState::kQueued) {
        TakeOff(c, task);
        MakeRunnable(c, task, EnqueueReason::kNew, now);
      }
      return;
    case MSG_TASK_PRIORITY_CHANGED:
      task->nice_ = std::get_if<TaskPriorityChanged>(&message.payload)->nice;
      if constexpr (requires { policy_.OnNiceChanged(0, task); }) policy_.OnNiceChanged(c.cpu, task);
      return;
    case MSG_TASK_LATCH_FAILURE:
      return MakeRunnable(c, task, EnqueueReason::kCommitFailed, now);
    default:
      return;  // TASK_ON_CPU: the commit said so
  }
}

template <typename Policy>
void PerCpuRuntime<Policy>::SetState(CpuState& c, Task* task, TaskState state) {
  if (!IsLegal(task->state_, state)) [[unlikely]]
    Count(c.counters.illegal_changes);
  // A task on its way is not among the runnable ones of its new home yet.
  if (!task->in_mailbox_) {
    const int change = int{CountsAsRunnable(state)} - int{CountsAsRunnable(task->state_)};
    if (change != 0) c.runnable.store(c.runnable.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
  }
  task->state_ = state;
}

// A chain of tasks that gave each other the CPU (switchto) has ended there: its agent, who only knows the first of
// them, is to look.
template <typename Policy>
void PerCpuRuntime<Policy>::NoteChainEnd(CpuState& c, int cpu) {
  if (cpu == c.cpu || !cpus().Contains(cpu)) return;
  c.to_ping.Add(cpu);
  c.attention.store(true, std::memory_order_relaxed);
}

// Out of the run queue, off the CPU: kRunnable then, if it was in one of them.
template <typename Policy>
void PerCpuRuntime<Policy>::TakeOff(CpuState& c, Task* task) {
  if (task->state_ == TaskState::kQueued) {
    policy_.Dequeue(c.cpu, task);
    SetState(c, task, TaskState::kRunnable);
  }
  if (c.current == task) {
    c.current = nullptr;
    c.slice_end = Time::Infinite();
  }
}

template <typename Policy>
void PerCpuRuntime<Policy>::Block(CpuState& c, Task* task, Time now) {
  TakeOff(c, task);
  SetState(c, task, TaskState::kBlocked);
  if constexpr (requires { policy_.OnBlocked(0, task, now); }) policy_.OnBlocked(c.cpu, task, now);
}

// From asleep, from a CPU, or from nowhere, into the run queue; or to be placed first.
template <typename Policy>
void PerCpuRuntime<Policy>::MakeRunnable(CpuState& c, Task* task, EnqueueReason reason, Time now) {
  if (task->state_ == TaskState::kQueued) [[unlikely]]
    return Count(c.counters.illegal_changes);
  if (c.current == task) {
    c.current = nullptr;
    c.slice_end = Time::Infinite();
  }
  if (task->needs_place_ || task->in_mailbox_) [[unlikely]] {
    if (task->state_ != TaskState::kRunnable) SetState(c, task, TaskState::kRunnable);
    // It stands in one line only; whoever finds it there goes on with it.
    if (task->in_mailbox_ || std::exchange(task->waits_for_place_, true)) return;
    c.to_place.PushBack(task);
    return;
  }
  SetState(c, task, TaskState::kQueued);
  policy_.Enqueue(c.cpu, task, reason, now);
}

template <typename Policy>
void PerCpuRuntime<Policy>::Leave(CpuState& c, Task* task) {
  TakeOff(c, task);
  SetState(c, task, TaskState::kGone);
  // Whoever finds it in the mailbox or in the list of tasks to place buries it.
  if (!task->in_mailbox_ && !task->waits_for_place_) c.gone.PushBack(task);
}

template <typename Policy>
typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Decide(CpuState& c, Time now) {
  if (c.agent_word.boosted_priority()) [[unlikely]] {
    // Another class wants this CPU. A task that was latched now would be preempted before it ran.
    return Yield(c, c.runnable.load(std::memory_order_relaxed) > 0 ? RTLA_ON_IDLE : 0);
  }
  // Where agents do not share their CPU with tasks, a task may run on while its agent drains.
  if (c.current != nullptr) return Yield(c, 0);
  const Pick<Task> pick = policy_.PickNext(c.cpu, now);
  if (pick.task == nullptr) return Yield(c, 0);
  return Run(c, pick.task, pick.slice_end, now);
}

template <typename Policy>
typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Run(CpuState& c, Task* task, Time slice_end,
                                                                      Time now) {
  c.request->Open({.gtid = task->gtid_,
                   .task_barrier = task->seqnum_,
                   .agent_barrier = c.barrier,
                   .commit_flags = COMMIT_AT_TXN_COMMIT});
  const Outcome outcome = c.request->Commit();
  if (outcome != Outcome::kRunning) [[unlikely]]
    return RunFailed(c, task, outcome, now);
  Count(c.counters.commits);
  SetState(c, task, TaskState::kOnCpu);
  c.current = task;
  c.slice_end = slice_end;
  c.stale = 0;
  return PassResult::kCommitted;
}

// The kernel knows more of a task than we do: its message should be in the queue. If none comes, one has been lost.
template <typename Policy>
void PerCpuRuntime<Policy>::NoteStale(CpuState& c) {
  constexpr int kEnough = 3;
  if (++c.stale >= kEnough) c.lost_track = true;
}

template <typename Policy>
typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::RunFailed(CpuState& c, Task* task, Outcome outcome,
                                                                            Time now) {
  Count(c.counters.commits_failed);
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
typename PerCpuRuntime<Policy>::PassResult PerCpuRuntime<Policy>::Yield(CpuState& c, int run_flags) {
  Count(c.counters.yields);
  const int result = c.request->LocalYield(c.barrier, run_flags);
  if (result == 0 || result == -ESTALE || result == -EINTR) [[likely]]
    return PassResult::kYielded;
  ReportKernelGone(c.cpu, "the agent cannot yield", -result);
  return PassResult::kKernelGone;
}

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_PASS_INC_H_
