// What CentralizedRuntime does with CPUs: transactions and what comes of them, and which CPUs can be had. Hot, see
// lib/centralized_runtime.h, which includes this file; nobody else does.
#ifndef GHOST_LIB_CENTRALIZED_COMMIT_INC_H_
#define GHOST_LIB_CENTRALIZED_COMMIT_INC_H_

#include "lib/centralized_runtime.h"

namespace ghost {

// One call for the whole plan. False: the kernel is gone.
template <typename Policy>
[[gnu::always_inline]] inline bool CentralizedRuntime<Policy>::Commit(CpuState& c, Time now) {
  group_.Clear();
  failures_.clear();
  for (int cpu : plan_.planned_cpus()) {
    if (!careful_) [[likely]] {
      Open(*cpus_[cpu], now, 0);
    } else if (!OpenCarefully(*cpus_[cpu], now)) {
      if constexpr (kAsynchronous) failures_.push_back({cpu, cpus_[cpu]->refused});
      continue;
    }
    group_.Add(cpu);
  }
  if (const int result = group_.empty() ? 0 : group_.Submit(); result < 0) [[unlikely]] {
    ReportKernelGone(c.cpu, "a commit failed", -result);
    return false;
  }
  if constexpr (!kAsynchronous) {
    for (int cpu : plan_.planned_cpus()) {
      const bool opened = !careful_ || group_.Contains(cpu);
      Conclude(c, cpu, opened ? cpus_[cpu]->request->Finish() : cpus_[cpu]->refused, now);
    }
  }
  return failures_.empty() || ConcludeFailures(c, now);
}

template <typename Policy>
[[gnu::always_inline]] inline void CentralizedRuntime<Policy>::Open(CpuState& on, Time now, uint16_t run_flags) {
  Task* task = plan_.planned(on.cpu);
  constexpr uint8_t kCommitFlags = kAsynchronous ? 0 : COMMIT_AT_TXN_COMMIT;
  if (task == nullptr) {
    on.request->Open({.commit_flags = kCommitFlags});
  } else {
    // The agent's barrier counts for an agent's own CPU only: Plan::Assign has seen that no message of the task is
    // unread, and the kernel sees whether one has come since.
    on.request->Open(
        {.gtid = task->gtid_, .task_barrier = task->seqnum_, .commit_flags = kCommitFlags, .run_flags = run_flags});
    static_assert(IsLegal(TaskState::kQueued, TaskState::kOnCpu));
    task->state_ = TaskState::kOnCpu;
    task->home_ = on.cpu;
  }
  if constexpr (kAsynchronous) {
    if (task != nullptr) {
      task->place_ |= Task::kPending;
      on.next_seqnum = task->seqnum_;
    }
    on.pending = true;
    on.opened_at = now;
    pending_.push_back(on.cpu);
  }
}

// What came of a transaction. Those that came to nothing wait until all others are concluded.
template <typename Policy>
[[gnu::always_inline]] inline void CentralizedRuntime<Policy>::Conclude(CpuState& c, int cpu, Outcome outcome,
                                                                        Time now) {
  if (outcome != Outcome::kRunning) [[unlikely]]
    return failures_.push_back({cpu, outcome});
  c.counters.commits.Add(1);
  // What was there is on its way off; its message is to come. If it may not run there, that is why.
  if (Task* before = plan_.current(cpu); before != nullptr && before->allowed_.Contains(cpu)) {
    before->place_ |= Task::kPutBack;
    if (ring() != nullptr) ring()->NoteGiven(cpu);
  }
  Task* task = plan_.planned(cpu);
  if (task == nullptr) return Vacate(cpu);
  if constexpr (kAsynchronous) task->place_ &= ~Task::kPending;
  cpus_[cpu]->task_seqnum = kAsynchronous ? cpus_[cpu]->next_seqnum : task->seqnum_;
  plan_.SetBusy(cpu, task, now);
  if constexpr (requires { policy_.OnRunning(0, task, now); }) policy_.OnRunning(cpu, task, now);
}

// In reverse: see lib/centralized_policy.h. False: the kernel is gone.
template <typename Policy>
[[gnu::noinline]] bool CentralizedRuntime<Policy>::ConcludeFailures(CpuState& c, Time now) {
  bool good = true;
  for (size_t i = failures_.size(); i-- > 0;) good &= Failed(c, failures_[i], now);
  return good;
}

template <typename Policy>
bool CentralizedRuntime<Policy>::Failed(CpuState& c, Failure failure, Time now) {
  // How soon a CPU that could not be had is tried again, if its agent's status word says that it could.
  constexpr absl::Duration kRetry = absl::Microseconds(100);
  constexpr absl::Duration kRetryWithoutAgent = absl::Milliseconds(10);
  constexpr uint32_t kRetries = 8;
  const auto [cpu, outcome] = failure;
  c.counters.commits_failed.Add(1);
  if (outcome == Outcome::kCpuUnavailable) SetUnavailable(cpu, now + kRetry);
  if (outcome == Outcome::kNoAgent) SetUnavailable(cpu, now + kRetryWithoutAgent);
  // Somebody runs there of whom no more is known: he has taken the CPU from a task that had taken it by itself.
  if (outcome == Outcome::kRetry && ring() != nullptr && ++cpus_[cpu]->retries % kRetries == 0) {
    SetUnavailable(cpu, now + kRetry);
  }
  // A task that was to be replaced runs on.
  if (plan_.current(cpu) != nullptr) {
    plan_.PutBackBusy(cpu);
  } else {
    Vacate(cpu);
  }
  if (Task* task = plan_.planned(cpu); task != nullptr) {
    task->place_ &= ~Task::kPending;
    SetState(c, task, TaskState::kRunnable);
    // The last message of one that is gone buries it.
    if (outcome != Outcome::kTaskGone) MakeRunnable(c, task, EnqueueReason::kCommitFailed, now);
  }
  if (outcome == Outcome::kTaskChanged || outcome == Outcome::kTaskBusy) NoteStale(now);
  if (outcome != Outcome::kKernelGone && outcome != Outcome::kInvalid) return true;
  ReportKernelGone(cpu, OutcomeName(outcome), ENODEV);
  return false;
}

template <typename Policy>
void CentralizedRuntime<Policy>::Reap(CpuState& c, Time now) {
  // A CPU that has not taken its transaction by then has left the enclave.
  constexpr int64_t kTimeoutNs = 100'000'000;
  failures_.clear();
  size_t kept = 0;
  for (int cpu : pending_) {
    CpuState& on = *cpus_[cpu];
    const bool over =
        on.request->committed() || (Time::NanosecondsBetween(on.opened_at, now) > kTimeoutNs && on.request->Abort());
    if (!over) {
      pending_[kept++] = cpu;
      continue;
    }
    on.pending = false;
    const bool timed_out = on.request->state() == GHOST_TXN_ABORTED;
    Conclude(c, cpu, timed_out ? Outcome::kCpuUnavailable : on.request->Finish(), now);
  }
  pending_.resize(kept);
  if (!failures_.empty()) [[unlikely]]
    ConcludeFailures(c, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::Settle(CpuState& c, CpuState& on, Time now) {
  pending_.erase(std::find(pending_.begin(), pending_.end(), on.cpu));
  on.pending = false;
  on.request->Abort();
  failures_.clear();
  Conclude(c, on.cpu, on.request->Finish(), now);
  ConcludeFailures(c, now);
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::ReturnDeferred(CpuState& c, Time now) {
  const std::vector<Task*>& deferred = plan_.deferred();
  for (size_t i = deferred.size(); i-- > 0;) policy_.Enqueue(deferred[i], EnqueueReason::kCommitFailed, now);
  c.counters.deferred.Add(static_cast<int64_t>(deferred.size()));
  NoteStale(now);
}

template <typename Policy>
void CentralizedRuntime<Policy>::NoteStale(Time now) {
  // A message stands in the queue microseconds after its barrier.
  constexpr int64_t kLostNs = 10'000'000;
  constexpr absl::Duration kSoon = absl::Microseconds(10);
  look_again_ = std::min(look_again_, now + kSoon);
  busy_at_ = now;
  if (stale_since_ == Time::Infinite()) {
    stale_since_ = now;
  } else if (Time::NanosecondsBetween(stale_since_, now) > kLostNs) {
    stale_since_ = Time::Infinite();
    LoseTrack();
  }
}

template <typename Policy>
inline bool CentralizedRuntime<Policy>::CanHave(int cpu) const {
  return available_.Contains(cpu) && cpu != global_cpu() && cpu != heir() && !cpus_[cpu]->chain;
}

template <typename Policy>
inline void CentralizedRuntime<Policy>::Vacate(int cpu) {
  if (CanHave(cpu)) [[likely]] {
    plan_.SetIdle(cpu);
  } else {
    plan_.SetUnavailable(cpu);
  }
}

template <typename Policy>
void CentralizedRuntime<Policy>::SetAvailable(int cpu) {
  available_.Add(cpu);
  unavailable_.Remove(cpu);
  if (!plan_.IsBusy(cpu) && !cpus_[cpu]->pending) Vacate(cpu);
}

template <typename Policy>
void CentralizedRuntime<Policy>::SetUnavailable(int cpu, Time retry_at) {
  available_.Remove(cpu);
  unavailable_.Add(cpu);
  cpus_[cpu]->retry_at = retry_at;
  next_look_ = std::min(next_look_, retry_at);
  // A task that is known to run there, or may, says itself when it is off.
  if (plan_.idle().Contains(cpu)) plan_.SetUnavailable(cpu);
}

// Looks at one of the CPUs that could not be had.
template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::PollUnavailable(Time now) {
  // Where messages tell, they are to be trusted, mostly: one may have been lost, and none comes when another class
  // wanted the global agent's CPU, but never got it.
  const absl::Duration pause = looks_at_words_ ? absl::Microseconds(1) : absl::Microseconds(100);
  int cpu = unavailable_.Next(last_looked_at_);
  if (cpu < 0) cpu = unavailable_.First();
  last_looked_at_ = cpu;
  if (cpu >= 0 && cpus_[cpu]->retry_at <= now && cpus_[cpu]->agent_word.cpu_available()) SetAvailable(cpu);
  next_look_ = unavailable_.empty() ? Time::Infinite() : now + pause;
}

template <typename Policy>
void CentralizedRuntime<Policy>::RefreshAvailability(Time now) {
  for (int cpu : cpus()) {
    cpus_[cpu]->chain = false;
    if (cpus_[cpu]->agent_word.cpu_available()) {
      SetAvailable(cpu);
    } else {
      SetUnavailable(cpu, now);
    }
  }
}

template <typename Policy>
inline void CentralizedRuntime<Policy>::EndChain(int cpu, bool from_switchto) {
  if (!from_switchto || !cpus().Contains(cpu) || !cpus_[cpu]->chain) [[likely]]
    return;
  cpus_[cpu]->chain = false;
  if (!plan_.IsBusy(cpu) && !cpus_[cpu]->pending) Vacate(cpu);
}

}  // namespace ghost

#endif  // GHOST_LIB_CENTRALIZED_COMMIT_INC_H_
