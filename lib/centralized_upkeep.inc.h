// What CentralizedRuntime does between passes: see lib/centralized_runtime.h, which includes this file; nobody else
// does.
#ifndef GHOST_LIB_CENTRALIZED_UPKEEP_INC_H_
#define GHOST_LIB_CENTRALIZED_UPKEEP_INC_H_

#include "lib/centralized_runtime.h"

namespace ghost {

template <typename Policy>
CentralizedRuntime<Policy>::CentralizedRuntime(Enclave* enclave, RuntimeOptions options,
                                               const PolicyOptions<Policy>& policy)
    : CentralizedBase(enclave, std::move(options)),
      keeper_(enclave, this->options().initial_tasks),
      plan_(enclave->cpus().Last() + 1),
      group_(enclave),
      looks_at_words_(!enclave->abi().cpu_availability),
      careful_(looks_at_words_ || this->options().pnt != nullptr),
      policy_(MakePolicy<Policy>(PolicyConfig{.cpus = enclave->cpus(), .topology = shared_topology()}, policy)) {
  acting_cpu_ = global_cpu();
  const size_t num_cpus = static_cast<size_t>(enclave->cpus().Last()) + 1;
  cpus_.resize(num_cpus);
  for (int cpu : enclave->cpus()) cpus_[cpu] = std::make_unique<CpuState>(cpu);
  for (int cpu : enclave->cpus()) Vacate(cpu);
  ReserveTasks(static_cast<size_t>(this->options().initial_tasks));
}

template <typename Policy>
std::vector<Tunable*> CentralizedRuntime<Policy>::Tunables() {
  std::vector<Tunable*> tunables = TunablesOf(policy_);
  tunables.push_back(idle_poll());
  return tunables;
}

template <typename Policy>
[[gnu::noinline]] void CentralizedRuntime<Policy>::Upkeep(CpuState& c, Time now) {
  TakeUpkeepDue();
  busy_at_ = now;
  ring_stale_ = true;
  if (acting_cpu_ != c.cpu) {
    ClaimWakeup(c);
    FollowGlobalAgent(c, now);
    acting_cpu_ = c.cpu;
  }
  c.counters.lost_messages.Add(fresh_look_.CountLost(queue()));
  ReadNewTasks(queue(), c.counters, [&](const TaskNew& news, uint32_t seqnum) { Admit(c, news, seqnum, now); });
  if (fresh_look_.TakeIfDue(queue())) LookAfresh(c, now);
  ReadAffinities();
  while (TaskBase* task = gone_.PopFront()) Bury(static_cast<Task*>(task));
  if (fresh_look_.Plan(queue())) NeedUpkeep();
  if constexpr (kHasHints) {
    if (HintSource* source = hints(); source != nullptr) source->Upkeep();
  }
  ServeDump(cpus().First());
}

template <typename Policy>
void CentralizedRuntime<Policy>::Admit(CpuState& c, const TaskNew& news, uint32_t seqnum, Time now) {
  Task* known = keeper_.Find(news.gtid);
  if (known != nullptr && TaskKeeper<Task>::IsSame(*known, news.sw_info)) {
    if (known->state_ == TaskState::kGone || !TaskKeeper<Task>::Advance(known, seqnum)) return;
    if ((known->place_ & Task::kPending) != 0) Settle(c, *cpus_[known->home_], now);
    if (news.nice.has_value() && *news.nice != known->nice_) {
      On(c, known, TaskPriorityChanged{.gtid = news.gtid, .nice = *news.nice}, now);
    }
    return Adjust(c, known, news.runnable, known->state_ == TaskState::kOnCpu, now);
  }
  Task* task = keeper_.Add(news.gtid, seqnum, enclave()->status_words().Find(news.sw_info), /*home=*/-1);
  task->parent_gtid_ = news.parent_gtid;
  task->nice_ = news.nice.value_or(0);
  task->runtime_ns_ = news.runtime_ns;
  Welcome(c, task, news.runnable, false, now);
}

// A task of which there is a record now.
template <typename Policy>
void CentralizedRuntime<Policy>::Welcome(CpuState& c, Task* task, bool runnable, bool on_cpu, Time now) {
  ReadAffinity(task);
  task->place_ = 0;
  all_.Add(task);
  tasks_.Add(1);
  ReserveTasks(static_cast<size_t>(tasks_.value()));
  if constexpr (kHasHints) {
    if (HintSource* source = hints(); source != nullptr) source->OnTaskNew(task->gtid_);
  }
  Adjust(c, task, runnable, on_cpu, now);
}

// So that a pass need not allocate.
template <typename Policy>
void CentralizedRuntime<Policy>::ReserveTasks(size_t num_tasks) {
  if (num_tasks <= num_tasks_reserved_) return;
  num_tasks_reserved_ = std::max(num_tasks, 2 * num_tasks_reserved_);
  plan_.Reserve(num_tasks_reserved_);
}

template <typename Policy>
void CentralizedRuntime<Policy>::AdoptTask(const Enclave::DiscoveredTask& found) {
  Task* task = keeper_.Add(found.gtid, found.barrier, found.status_word, /*home=*/-1);
  task->runtime_ns_ = found.runtime_ns;
  Welcome(*cpus_[global_cpu()], task, found.runnable, found.on_cpu, Time());
}

template <typename Policy>
void CentralizedRuntime<Policy>::Adjust(CpuState& c, Task* task, bool runnable, bool on_cpu, Time now) {
  const TaskState state = task->state_;
  if (on_cpu) {
    if (state == TaskState::kOnCpu) return;
    // Given to it by an older agent, or by another task. Its next message says when it leaves the CPU, whichever that
    // is.
    if (task->in_ring() && WasTaken(task, now)) return;
    if (state == TaskState::kQueued) policy_.Dequeue(task);
    SetState(c, task, TaskState::kOnCpu);
    task->home_ = -1;
  } else if (runnable) {
    if (state == TaskState::kQueued) return;
    if (state == TaskState::kNew) SetState(c, task, TaskState::kRunnable);
    MakeRunnable(c, task, state == TaskState::kOnCpu ? EnqueueReason::kPreempted : EnqueueReason::kNew, now);
  } else if (state != TaskState::kBlocked) {
    Block(c, task, now);
  }
}

template <typename Policy>
void CentralizedRuntime<Policy>::ReadAffinities() {
  while (TaskBase* base = changed_.PopFront()) {
    Task* task = static_cast<Task*>(base);
    task->place_ &= ~Task::kWaitsForPlace;
    if (task->state_ == TaskState::kGone) {
      gone_.PushBack(task);
      continue;
    }
    // Where it may run stands in its slot, too, and can have changed without a message: the global agent has moved.
    if (task->in_ring()) ring()->TakeBack(task);
    ReadAffinity(task);
    if (task->state_ == TaskState::kOnCpu && task->home_ >= 0 && !task->allowed_.Contains(task->home_)) {
      forbidden_.Add(task->home_);
      has_more_to_see_ = true;
    }
    if constexpr (requires { policy_.OnAffinityChanged(task); }) policy_.OnAffinityChanged(task);
  }
}

template <typename Policy>
void CentralizedRuntime<Policy>::ReadAffinity(Task* task) {
  keeper_.ReadAffinity(task);
  displaced_.erase(task->gtid_);
  if (task->allowed_ != CpuSet({global_cpu()})) return;
  displaced_.insert(task->gtid_);
  task->allowed_ = cpus();
}

// Who may run on its new CPU alone has to go elsewhere; who may run on its old one alone can go back.
template <typename Policy>
void CentralizedRuntime<Policy>::FollowGlobalAgent(CpuState& c, Time now) {
  const CpuSet here({c.cpu});
  for (TaskBase* base = all_.first(); base != nullptr; base = TasksAtHome::Next(base)) {
    Task* task = static_cast<Task*>(base);
    if (task->state_ == TaskState::kGone) continue;
    if (task->allowed_ == here || displaced_.contains(task->gtid_)) On(c, task, TaskAffinityChanged{}, now);
  }
}

template <typename Policy>
void CentralizedRuntime<Policy>::Bury(Task* task) {
  displaced_.erase(task->gtid_);
  if constexpr (kHasHints) {
    if (HintSource* source = hints(); source != nullptr) source->OnTaskGone(task->gtid_);
  }
  all_.Remove(task);
  tasks_.Add(-1);
  keeper_.Bury(task);
}

// Messages were lost: the status words say how things are now. What they say as of a barrier makes all older messages
// old.
template <typename Policy>
void CentralizedRuntime<Policy>::LookAfresh(CpuState& c, Time now) {
  while (!pending_.empty()) Settle(c, *cpus_[pending_.front()], now);
  for (TaskBase* base = all_.first(); base != nullptr; base = TasksAtHome::Next(base)) {
    LookAfreshAt(c, static_cast<Task*>(base), now);
  }
  keeper_.ForEachMissed(queue(), [&](int64_t gtid, const StatusWord& word, const auto& look) {
    Welcome(c, keeper_.Add(gtid, look.barrier, word, /*home=*/-1), look.runnable, look.on_cpu, now);
  });
  RefreshAvailability(now);
}

template <typename Policy>
void CentralizedRuntime<Policy>::LookAfreshAt(CpuState& c, Task* task, Time now) {
  if (task->state_ == TaskState::kGone || !task->status_word_.valid()) return;
  const auto look = TaskKeeper<Task>::LookAt(task->status_word_, task->gtid_);
  if (look.gone) return Leave(task, now);
  // A change of its affinity may be among what was lost.
  On(c, task, TaskAffinityChanged{.gtid = task->gtid_}, now);
  // What its slot says is older than that: who has taken it may be done with it.
  if (int cpu = -1; task->in_ring() && look.barrier != task->seqnum_) ring()->Resolve(task, &cpu);
  task->seqnum_ = look.barrier;
  // One that was given a CPU which has not switched to it yet looks like one that is off it again; but of that there
  // would have been a message, read or not. (If there was one of another kind, it is taken for off: a commit for it
  // fails then, or its next message puts that right.)
  const bool may_be_latched = task->state_ == TaskState::kOnCpu && task->home_ >= 0 && look.runnable &&
                              look.barrier == cpus_[task->home_]->task_seqnum;
  if (!may_be_latched) Adjust(c, task, look.runnable, look.on_cpu, now);
}

template <typename Policy>
void CentralizedRuntime<Policy>::DescribeCpu(int, std::string* text) {
  absl::StrAppend(text, "global agent: cpu ", global_cpu(), ", ", runnable_.value(), " runnable of ", tasks_.value(),
                  " tasks\n");
  for (int cpu : cpus()) {
    const Task* task = plan_.IsBusy(cpu) ? plan_.current(cpu) : nullptr;
    absl::StrAppend(text, "cpu ", cpu, ": ");
    if (task != nullptr) {
      absl::StrAppend(text, "runs ", task->gtid_, "\n");
    } else {
      absl::StrAppend(text, cpu == global_cpu()          ? "global agent\n"
                            : plan_.idle().Contains(cpu) ? "idle\n"
                            : cpus_[cpu]->pending        ? "about to be given a task\n"
                            : cpus_[cpu]->chain          ? "runs tasks that switch to each other\n"
                            : unavailable_.Contains(cpu) ? "another class has it\n"
                                                         : "nothing is known to run\n");
    }
  }
  for (const TaskBase* base = all_.first(); base != nullptr; base = TasksAtHome::Next(base)) {
    const Task* task = static_cast<const Task*>(base);
    TaskKeeper<Task>::Describe(*task, text);
    if (task->state_ == TaskState::kOnCpu && task->home_ >= 0) absl::StrAppend(text, " on cpu ", task->home_);
    if (task->in_ring()) absl::StrAppend(text, " in a ring");
    if constexpr (requires { policy_.Describe(*task, text); }) policy_.Describe(*task, text);
    text->push_back('\n');
  }
}

}  // namespace ghost

#endif  // GHOST_LIB_CENTRALIZED_UPKEEP_INC_H_
