#include "schedulers/shinjuku/shinjuku_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace ghost {

ShinjukuPolicy::ShinjukuPolicy(const PolicyConfig& config, const Options& options)
    : slice_("preemption_time_slice", "how long a task may run while others of its class wait",
             Tunable::Unit::kNanoseconds, options.slice_ns, kMinSliceNs, INT64_MAX),
      slice_ns_(options.slice_ns),
      groups_(config.cpus),
      queues_(groups_.count()) {}

ShinjukuPolicy::Task* ShinjukuPolicy::Queue::After(Task* task) {
  const int qos_class = task->qos_class();
  if (Task* next = NextIn(task->in_front ? front[qos_class] : back[qos_class], task)) return next;
  if (task->in_front && !back[qos_class].empty()) return &back[qos_class].front();
  const uint64_t lower = classes & ((uint64_t{1} << qos_class) - 1);
  if (lower == 0) return nullptr;
  const int next_class = HighestBit(lower);
  return front[next_class].empty() ? &back[next_class].front() : &front[next_class].front();
}

// -- Who waits --

void ShinjukuPolicy::Enqueue(Task* task, EnqueueReason reason, Time) {
  const bool has_turn = reason != EnqueueReason::kNew && reason != EnqueueReason::kYielded && task->used_ns < slice_ns_;
  const bool woken = reason == EnqueueReason::kWoken || reason == EnqueueReason::kWokenDeferrable;
  if (!task->hint.has_work) {
    Pause(task);
  } else if (!has_turn) {
    StartTurn(task);
  } else {
    // Who was on a CPU, or nearly, goes before those who slept.
    Join(task, woken ? Where::kFront : Where::kFirst);
  }
}

void ShinjukuPolicy::Dequeue(Task* task) {
  if (task->place == Place::kWaiting) Leave(task);
  if (task->place == Place::kParked) parked_.erase(parked_.iterator_to(*task));
  task->place = Place::kNowhere;
}

void ShinjukuPolicy::Join(Task* task, Where where) {
  const int qos_class = task->qos_class();
  task->place = Place::kWaiting;
  task->in_front = where != Where::kBack;
  task->order = where == Where::kFirst ? --first_order_ : ++last_order_;
  task->group = groups_.Find(task->allowed());
  Queue& queue = queues_[task->group];
  List& list = task->in_front ? queue.front[qos_class] : queue.back[qos_class];
  list.insert(where == Where::kFirst ? list.begin() : list.end(), *task);
  if (queue.classes == 0) groups_.SetWaiting(task->group, true);
  queue.classes |= uint64_t{1} << qos_class;
  ++waiting_[qos_class];
  waiting_classes_ |= uint64_t{1} << qos_class;
  changed_ = true;
}

[[gnu::always_inline]] inline void ShinjukuPolicy::Leave(Task* task) {
  const int qos_class = task->qos_class();
  const uint64_t bit = uint64_t{1} << qos_class;
  Queue& queue = queues_[task->group];
  List& list = task->in_front ? queue.front[qos_class] : queue.back[qos_class];
  list.erase(list.iterator_to(*task));
  if (queue.front[qos_class].empty() && queue.back[qos_class].empty()) {
    queue.classes &= ~bit;
    if (queue.classes == 0) groups_.SetWaiting(task->group, false);
  }
  if (--waiting_[qos_class] == 0) waiting_classes_ &= ~bit;
  task->place = Place::kNowhere;
}

void ShinjukuPolicy::Pause(Task* task) {
  task->place = Place::kPaused;
  if (!task->hint.repeating) return;
  task->place = Place::kParked;
  task->due = task->last_run.PlusNanoseconds(task->hint.period_ns);
  parked_.insert(*task);
}

// -- Who runs --

void ShinjukuPolicy::OnRunning(int cpu, Task* task, Time now) {
  task->cpu = cpu;
  task->gives_way = false;
  StartRunning(task, now);
  // It was the first of all that may run there: nobody is to take the CPU from it before its slice is used.
  if (waiting_[task->qos_class()] != 0) look_again_ = std::min(look_again_, now.PlusNanoseconds(slice_ns_));
}

void ShinjukuPolicy::StartRunning(Task* task, Time now) {
  task->since = now;
  if (!task->hint.has_work) {
    task->place = Place::kLeaving;
    leaving_.push_back(*task);
    return;
  }
  task->place = Place::kRunning;
  List& list = running_[task->qos_class()];
  list.insert(task->gives_way ? list.begin() : list.end(), *task);
  running_classes_ |= uint64_t{1} << task->qos_class();
}

void ShinjukuPolicy::OnStopped(int, Task* task, Time now) {
  if (task->place == Place::kLeaving) {
    leaving_.erase(leaving_.iterator_to(*task));
  } else {
    List& list = running_[task->qos_class()];
    list.erase(list.iterator_to(*task));
    if (list.empty()) running_classes_ &= ~(uint64_t{1} << task->qos_class());
  }
  task->place = Place::kNowhere;
  task->used_ns += Time::NanosecondsBetween(task->since, now);
  task->last_run = now;
}

// -- What applications say --

void ShinjukuPolicy::OnHint(Task* task, const WorkHint& hint, Time now) {
  const Place place = task->place;
  const bool stays = place == Place::kWaiting && hint.has_work && hint.qos == task->hint.qos;
  if (place == Place::kRunning || place == Place::kLeaving) {
    OnStopped(task->cpu, task, now);
  } else if (place != Place::kNowhere && !stays) {
    Dequeue(task);
  }
  task->hint = hint;
  changed_ = true;
  if (hint.has_work) task->used_ns = 0;  // a new piece of work
  if (place == Place::kRunning || place == Place::kLeaving) {
    // Between two pieces of work it may be the turn of somebody else.
    task->gives_way = waiting_[task->qos_class()] != 0;
    StartRunning(task, now);
  } else if (place != Place::kNowhere && !stays) {
    hint.has_work ? StartTurn(task) : Pause(task);
  }
}

void ShinjukuPolicy::OnAffinityChanged(Task* task) {
  if (task->place != Place::kWaiting) return;
  const bool in_front = task->in_front;
  Leave(task);
  Join(task, in_front ? Where::kFront : Where::kBack);
}

// -- The pass --

void ShinjukuPolicy::WakeParked(Plan<Task>& plan) {
  for (auto it = parked_.begin(); it != parked_.end() && it->due <= plan.now(); it = parked_.begin()) {
    Task* task = &*it;
    parked_.erase(it);
    task->hint.has_work = true;
    plan.SetHasWork(task);
    StartTurn(task);
  }
  if (!parked_.empty()) plan.LookAgain(parked_.begin()->due);
}

void ShinjukuPolicy::TakeFromThoseWithoutWork(Plan<Task>& plan) {
  for (const Task& task : leaving_) {
    if (CanBeStopped(plan, task) && !Give(plan, task.cpu, 0)) plan.Unschedule(task.cpu);
  }
}

void ShinjukuPolicy::Preempt(Plan<Task>& plan) {
  slice_ns_ = slice_.Get();
  changed_ = false;
  look_again_ = Time::Infinite();
  PreemptLowerClasses(plan);
  for (uint64_t classes = waiting_classes_ & running_classes_; classes != 0; classes &= classes - 1) {
    PreemptUsedSlices(plan, LowestBit(classes));
  }
}

// The lowest class loses first.
[[gnu::always_inline]] inline void ShinjukuPolicy::PreemptLowerClasses(Plan<Task>& plan) {
  for (uint64_t classes = running_classes_; classes != 0; classes &= classes - 1) {
    const int qos_class = LowestBit(classes);
    for (const Task& task : running_[qos_class]) {
      if (qos_class >= HighestWaiting()) return;
      // What nobody wants who may run everywhere, nobody wants elsewhere either.
      if (CanBeStopped(plan, task) && !Give(plan, task.cpu, qos_class + 1) && !groups_.SomebodyHasLessChoice()) return;
    }
  }
}

[[gnu::always_inline]] inline void ShinjukuPolicy::PreemptUsedSlices(Plan<Task>& plan, int qos_class) {
  for (const Task& task : running_[qos_class]) {
    if ((task.hint.repeating && !task.gives_way) || !CanBeStopped(plan, task)) continue;
    if (waiting_[qos_class] == 0) return;
    if (!task.gives_way && Time::NanosecondsBetween(task.since, plan.now()) < slice_ns_) {
      look_again_ = std::min(look_again_, task.since.PlusNanoseconds(slice_ns_));
      return;
    }
    if (!Give(plan, task.cpu, qos_class) && !groups_.SomebodyHasLessChoice()) return;
  }
}

[[gnu::always_inline]] inline ShinjukuPolicy::Task* ShinjukuPolicy::FirstAt(int cpu) {
  return groups_.FirstAt(
      cpu, [&](int group) -> Task& { return queues_[group].First(); },
      [](const Task& a, const Task& b) { return a.rank() < b.rank(); });
}

bool ShinjukuPolicy::Give(Plan<Task>& plan, int cpu, int lowest_class) {
  while (Task* task = FirstAt(cpu)) {
    if (task->qos_class() < lowest_class) return false;
    Leave(task);
    if (plan.Assign(cpu, task)) return true;
  }
  return false;
}

void ShinjukuPolicy::Describe(const Task& task, std::string* line) const {
  constexpr const char* kPlaces[] = {"", "", ", no work", ", no work until due", "", ", no work"};
  absl::StrAppend(line, " qos ", task.hint.qos, kPlaces[static_cast<int>(task.place)]);
  if (task.place == Place::kWaiting) absl::StrAppend(line, task.in_front ? ", in front" : ", at the back");
  absl::StrAppend(line, ", used ", absl::FormatDuration(absl::Nanoseconds(task.used_ns)), " of its turn");
}

}  // namespace ghost
