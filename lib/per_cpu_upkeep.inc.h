// What PerCpuRuntime does between passes: see lib/per_cpu_runtime.h, which includes this file; nobody else does.
#ifndef GHOST_LIB_PER_CPU_UPKEEP_INC_H_
#define GHOST_LIB_PER_CPU_UPKEEP_INC_H_

#include "lib/per_cpu_runtime.h"

namespace ghost {

template <typename Policy>
PerCpuRuntime<Policy>::PerCpuRuntime(Enclave* enclave, RuntimeOptions options, const PolicyOptions<Policy>& policy)
    : PerCpuBase(enclave, std::move(options)),
      keeper_(enclave, this->options().initial_tasks),
      board_(enclave->cpus(), TopologyFor(enclave->cpus(), this->options())),
      has_choice_(enclave->cpus().size() > 1),
      policy_(MakePolicy<Policy>(PolicyConfig{.cpus = enclave->cpus(), .topology = board_.topology()}, policy)) {
  cpus_.resize(static_cast<size_t>(enclave->cpus().Last()) + 1);
  for (int cpu : enclave->cpus()) {
    cpus_[cpu] = std::make_unique<CpuState>(cpu, &board_.row(cpu));
    if constexpr (kShares) cpus_[cpu]->asked.resize(cpus_.size());
  }
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::Upkeep(CpuState& c, Time now) {
  c.upkeep_due.exchange(false, std::memory_order_acquire);
  c.counters.lost_messages.Add(c.fresh_look.CountLost(c.channel));
  ReadNewTasks(c.channel, c.counters, [&](const TaskNew& news, uint32_t seqnum) { Admit(c, news, seqnum, now); });
  if (c.fresh_look.TakeIfDue(c.channel)) LookAfresh(c, now);
  PlaceTasks(c, now);
  while (TaskBase* task = c.gone.PopFront()) Bury(c, static_cast<Task*>(task));
  if (c.fresh_look.Plan(c.channel)) NeedUpkeep(c);
  if constexpr (kShares) ShareWork(c, now);
  for (int cpu : c.to_ping) {
    if (cpus_[cpu]->request->Ping() == 0) c.to_ping.Remove(cpu);
  }
  ServeDump(c.cpu);
}

template <typename Policy>
void PerCpuRuntime<Policy>::Admit(CpuState& c, const TaskNew& news, uint32_t seqnum, Time now) {
  Task* known = keeper_.Find(news.gtid);
  if (known != nullptr && TaskKeeper<Task>::IsSame(*known, news.sw_info)) {
    // Another CPU's task is that CPU's business.
    if (known->home_ != c.cpu || (known->place_ & Task::kInMailbox) != 0) return c.counters.unknown_tasks.Add(1);
    if (!TaskKeeper<Task>::Advance(known, seqnum)) return;
    if (news.nice.has_value() && *news.nice != known->nice_) {
      On(c, known, TaskPriorityChanged{.gtid = news.gtid, .nice = *news.nice}, now);
    }
    return Adjust(c, known, news.runnable, known->state_ == TaskState::kOnCpu, now);
  }
  Task* task = AddTask(c, news.gtid, seqnum, enclave()->status_words().Find(news.sw_info));
  task->parent_gtid_ = news.parent_gtid;
  task->nice_ = news.nice.value_or(0);
  task->runtime_ns_ = news.runtime_ns;
  Adjust(c, task, news.runnable, false, now);
}

template <typename Policy>
typename PerCpuRuntime<Policy>::Task* PerCpuRuntime<Policy>::AddTask(CpuState& c, int64_t gtid, uint32_t seqnum,
                                                                     StatusWord word) {
  Task* task = keeper_.Add(gtid, seqnum, word, c.cpu);
  c.at_home.Add(task);
  c.row.tasks.fetch_add(1, std::memory_order_relaxed);
  return task;
}

template <typename Policy>
void PerCpuRuntime<Policy>::AdoptTask(const Enclave::DiscoveredTask& found) {
  CpuState& c = *cpus_[cpus().First()];
  Task* task = AddTask(c, found.gtid, found.barrier, found.status_word);
  task->runtime_ns_ = found.runtime_ns;
  Adjust(c, task, found.runnable, found.on_cpu, Time());
}

template <typename Policy>
void PerCpuRuntime<Policy>::Adjust(CpuState& c, Task* task, bool runnable, bool on_cpu, Time now) {
  const TaskState state = task->state_;
  if (on_cpu) {
    // Its next message says when it leaves the CPU, whichever that is.
    if (state == TaskState::kQueued || state == TaskState::kBlocked || state == TaskState::kNew) {
      TakeOff(c, task);
      SetState(c, task, TaskState::kOnCpu);
    }
  } else if (runnable) {
    if (state == TaskState::kQueued) return;
    MakeRunnable(c, task, state == TaskState::kOnCpu ? EnqueueReason::kPreempted : EnqueueReason::kNew, now);
  } else if (state != TaskState::kBlocked) {
    Block(c, task, now);
  }
}

// Where it may run, from the kernel; within the enclave.
template <typename Policy>
void PerCpuRuntime<Policy>::UpdateAffinity(Task* task) {
  keeper_.ReadAffinity(task);
  task->place_ &= ~Task::kNeedsPlace;
}

template <typename Policy>
void PerCpuRuntime<Policy>::PlaceTasks(CpuState& c, Time now) {
  if (c.to_place.empty()) return;
  TaskList list;
  list.Take(&c.to_place);
  TaskList ready;
  int waiting = 0;
  while (TaskBase* base = list.PopFront()) {
    Task* task = static_cast<Task*>(base);
    task->place_ &= ~Task::kWaitsForPlace;
    if (task->state_ == TaskState::kRunnable) {
      ready.PushBack(task);
      ++waiting;
      continue;
    }
    task->wanted_cpu_ = -1;
    task->join_reason_ = 0;
    if (task->state_ == TaskState::kGone) c.gone.PushBack(task);
  }
  for (; waiting > 0; --waiting) Place(c, static_cast<Task*>(ready.PopFront()), waiting, now);
}

template <typename Policy>
void PerCpuRuntime<Policy>::Place(CpuState& c, Task* task, int waiting, Time now) {
  const int wanted = std::exchange(task->wanted_cpu_, -1);
  const auto reason = static_cast<EnqueueReason>(task->join_reason_);
  const bool known = wanted >= 0 && (task->place_ & Task::kNeedsPlace) == 0;
  const int cpu = known ? wanted : FindPlace(c, task, waiting);
  c.counters.placed.Add(1);
  const int result = cpu == c.cpu ? 0 : MoveTo(c, *cpus_[cpu], task);
  if (cpu != c.cpu && result >= 0) return PingOrRetry(c, cpu);
  task->join_reason_ = 0;
  if (result == -ENOENT) return;  // it is dying: it waits, in no queue, for the message that says so
  if (result == -ESTALE) {        // a message of its that we have not seen: drain, and place it then
    task->place_ |= Task::kNeedsPlace;
    NoteStale(c);
  }
  c.joined = true;
  MakeRunnable(c, task, reason, now);
}

template <typename Policy>
int PerCpuRuntime<Policy>::FindPlace(CpuState& c, Task* task, int waiting) {
  UpdateAffinity(task);
  // The task, and those that get a place after it, stand in this CPU's figures until then.
  const int cpu = policy_.PlaceTask(*task, CpuLoads(task->allowed_, board_, c.cpu, waiting));
  return task->allowed_.Contains(cpu) ? cpu : task->allowed_.First();
}

// An offline CPU's agent can't be pinged, and nothing else wakes it once its CPU is back.
template <typename Policy>
void PerCpuRuntime<Policy>::PingOrRetry(CpuState& c, int cpu) {
  if (cpus_[cpu]->request->Ping() != 0) c.to_ping.Add(cpu);
}

// Why this is safe stands in the head of lib/per_cpu_runtime.h. Negative: -errno, and not moved. The target's agent is
// still to be pinged.
template <typename Policy>
int PerCpuRuntime<Policy>::MoveTo(CpuState& c, CpuState& target, Task* task) {
  if constexpr (requires { policy_.OnMigrate(0, task); }) policy_.OnMigrate(c.cpu, task);
  c.at_home.Remove(task);
  task->home_ = target.cpu;
  task->place_ |= Task::kInMailbox;
  const int result = target.channel.Associate(task->gtid_, task->seqnum_);
  if (result < 0) {
    task->place_ &= ~Task::kInMailbox;
    task->home_ = c.cpu;
    c.at_home.Add(task);
    return result;
  }
  c.row.runnable.Add(-1);
  c.row.tasks.fetch_sub(1, std::memory_order_relaxed);
  target.row.tasks.fetch_add(1, std::memory_order_relaxed);
  target.row.incoming.fetch_add(1, std::memory_order_relaxed);
  c.counters.moved.Add(1);
  board_.idle().Remove(target.cpu);
  target.mailbox.Push(task);
  return result;
}

template <typename Policy>
void PerCpuRuntime<Policy>::Bury(CpuState& c, Task* task) {
  c.at_home.Remove(task);
  c.row.tasks.fetch_sub(1, std::memory_order_relaxed);
  keeper_.Bury(task);
}

// Messages were lost: the status words say how things are now. What they say as of a barrier makes all older messages
// old.
template <typename Policy>
void PerCpuRuntime<Policy>::LookAfresh(CpuState& c, Time now) {
  for (TaskBase* base = c.at_home.first(); base != nullptr;) {
    TaskBase* next = TasksAtHome::Next(base);
    LookAfreshAt(c, static_cast<Task*>(base), now);
    base = next;
  }
  if (c.cpu != cpus().First()) return;
  // This CPU's queue is the default one: a TASK_NEW that found no room was its.
  keeper_.ForEachMissed(c.channel, [&](int64_t gtid, const StatusWord& word, const auto& look) {
    Adjust(c, AddTask(c, gtid, look.barrier, word), look.runnable, look.on_cpu, now);
  });
}

template <typename Policy>
void PerCpuRuntime<Policy>::LookAfreshAt(CpuState& c, Task* task, Time now) {
  if (task->state_ == TaskState::kGone || !task->status_word_.valid()) return;
  const auto look = TaskKeeper<Task>::LookAt(task->status_word_, task->gtid_);
  if (look.gone) return Leave(c, task);
  task->seqnum_ = look.barrier;
  // A change of its affinity may be among what was lost.
  On(c, task, TaskAffinityChanged{.gtid = task->gtid_}, now);
  Adjust(c, task, look.runnable, look.on_cpu, now);
}

template <typename Policy>
void PerCpuRuntime<Policy>::DescribeCpu(int cpu, std::string* text) {
  const CpuState& c = *cpus_[cpu];
  absl::StrAppend(text, "cpu ", cpu, ": runs ", c.current == nullptr ? "nothing" : absl::StrCat(c.current->gtid_), ", ",
                  c.row.runnable.value(), " runnable of ", c.row.tasks.load(std::memory_order_relaxed), " tasks\n");
  for (const TaskBase* base = c.at_home.first(); base != nullptr; base = TasksAtHome::Next(base)) {
    const Task* task = static_cast<const Task*>(base);
    TaskKeeper<Task>::Describe(*task, text);
    if constexpr (requires { policy_.Describe(*task, text); }) policy_.Describe(*task, text);
    text->push_back('\n');
  }
}

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_UPKEEP_INC_H_
