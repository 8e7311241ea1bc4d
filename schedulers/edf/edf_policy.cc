#include "schedulers/edf/edf_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace ghost {
namespace {

constexpr int64_t kNever = INT64_MAX;

// Whether who joins for this reason was interrupted, or about to run, or may be waited for.
bool Boosts(EnqueueReason reason) {
  return reason == EnqueueReason::kPreempted || reason == EnqueueReason::kWoken ||
         reason == EnqueueReason::kSliceExpired || reason == EnqueueReason::kCommitFailed;
}

// ns of a piece of work; 0: unknown.
int64_t MeanOf(const WorkStatistics* statistics) {
  return statistics == nullptr || statistics->pieces == 0 ? 0 : statistics->exec_ns / statistics->pieces;
}

}  // namespace

EdfPolicy::EdfPolicy(const PolicyConfig& config, const Options& options)
    : preempt_earlier_deadline_("preempt_earlier_deadline", "whether an earlier deadline takes the CPU of a later one",
                                Tunable::Unit::kBool, options.preempt_earlier_deadline ? 1 : 0, 0, 1),
      groups_(config.cpus),
      queues_(groups_.count()) {}

// -- The order --

EdfPolicy::Key EdfPolicy::KeyOf(const Task& task) const {
  const int64_t deadline = task.hint.deadline.ns();
  const int64_t rest = std::max<int64_t>(task.estimate_ns - task.elapsed_ns, 0);
  const int64_t start_by = deadline == kNever ? kNever : std::max<int64_t>(deadline, 0) - rest;
  const int64_t start_first = task.boosted ? INT64_MIN : start_by;
  Key key = {.service = ~uint64_t{task.hint.qos}, .when_ns = start_first, .order = task.key.order};
  if (by_deadline()) {
    key.when_ns = deadline;
    key.then_ns = start_first;
  }
  return key;
}

bool EdfPolicy::GoesBefore(const Task& waiting, const Task& running) const {
  if (waiting.hint.qos != running.hint.qos) return waiting.hint.qos > running.hint.qos;
  return by_deadline() && waiting.hint.deadline < running.hint.deadline;
}

[[gnu::always_inline]] inline void EdfPolicy::Queue::Insert(Task* task) {
  if (!task->is_last()) {
    hinted.insert(hinted.end(), *task);  // mostly it is: later work has later deadlines
  } else {
    last.insert(task->boosted ? last.begin() : last.end(), *task);
  }
}

[[gnu::always_inline]] inline void EdfPolicy::Queue::Erase(Task* task) {
  if (task->is_last()) {
    last.erase(last.iterator_to(*task));
  } else {
    hinted.erase(hinted.iterator_to(*task));
  }
}

EdfPolicy::Task* EdfPolicy::Queue::After(Task* task) {
  if (task->is_last()) return NextIn(last, task);
  if (Task* next = NextIn(hinted, task)) return next;
  return last.empty() ? nullptr : &last.front();
}

// -- Who waits --

void EdfPolicy::Enqueue(Task* task, EnqueueReason reason, Time) {
  ComesNow(task, Boosts(reason));
  task->hint.has_work ? Join(task) : Pause(task);
}

void EdfPolicy::ComesNow(Task* task, bool boosted) {
  task->boosted = boosted;
  task->key.order = boosted ? --first_order_ : ++last_order_;
  task->key = KeyOf(*task);
}

void EdfPolicy::Dequeue(Task* task) {
  if (task->place == Place::kWaiting) Leave(task);
  if (task->place == Place::kDone) done_.erase(done_.iterator_to(*task));
  task->place = Place::kNowhere;
}

void EdfPolicy::Join(Task* task) {
  task->place = Place::kWaiting;
  task->group = groups_.Find(task->allowed());
  Queue& queue = queues_[task->group];
  if (queue.empty()) groups_.SetWaiting(task->group, true);
  queue.Insert(task);
  changed_ = true;
}

[[gnu::always_inline]] inline void EdfPolicy::Leave(Task* task) {
  Queue& queue = queues_[task->group];
  queue.Erase(task);
  if (queue.empty()) groups_.SetWaiting(task->group, false);
  task->place = Place::kNowhere;
}

void EdfPolicy::Pause(Task* task) {
  task->place = task->hint.repeating ? Place::kDone : Place::kPaused;
  if (task->hint.repeating) done_.push_back(*task);
}

// -- Who runs --

void EdfPolicy::OnRunning(int cpu, Task* task, Time now) {
  // It was the first of all that may run there: nobody is to take the CPU from it, until something changes.
  task->cpu = cpu;
  StartRunning(task, now);
}

void EdfPolicy::StartRunning(Task* task, Time now) {
  task->since = now;
  if (task->hint.has_work) {
    task->place = Place::kRunning;
    running_.Insert(task);
  } else {
    task->place = Place::kLeaving;
    leaving_.push_back(*task);
  }
}

void EdfPolicy::OnStopped(int, Task* task, Time now) { StopRunning(task, now); }

void EdfPolicy::StopRunning(Task* task, Time now) {
  if (task->place == Place::kRunning) {
    running_.Erase(task);
    task->elapsed_ns += Time::NanosecondsBetween(task->since, now);
    while (task->estimate_ns != 0 && task->estimate_ns < task->elapsed_ns) {
      task->estimate_ns = SaturatedSum(task->estimate_ns, task->estimate_ns);
    }
  } else if (task->place == Place::kLeaving) {
    leaving_.erase(leaving_.iterator_to(*task));
  }
  task->place = Place::kNowhere;
}

// -- What applications say --

void EdfPolicy::OnHint(Task* task, const WorkHint& hint, Time now) {
  const Place place = task->place;
  const bool on_cpu = place == Place::kRunning || place == Place::kLeaving;
  on_cpu ? StopRunning(task, now) : Dequeue(task);
  if (task->hinted && task->hint.has_work) FinishPiece(task, now);
  task->hint = hint;
  changed_ = true;
  task->hinted = true;
  if (hint.has_work) StartPiece(task);
  ComesNow(task, /*boosted=*/false);
  if (on_cpu) {
    StartRunning(task, now);
  } else if (place != Place::kNowhere) {
    hint.has_work ? Join(task) : Pause(task);
  }
}

void EdfPolicy::StartPiece(Task* task) {
  task->elapsed_ns = 0;
  task->estimate_ns = task->hint.exec_ns != 0 ? task->hint.exec_ns : MeanOf(task->hint.statistics);
}

void EdfPolicy::FinishPiece(Task* task, Time now) {
  WorkStatistics* of_class = task->hint.statistics;
  if (of_class == nullptr) return;
  ++of_class->pieces;
  of_class->late += now > task->hint.deadline ? 1 : 0;
  of_class->exec_ns += task->elapsed_ns;
}

void EdfPolicy::OnAffinityChanged(Task* task) {
  if (task->place != Place::kWaiting) return;
  Leave(task);
  ComesNow(task, task->boosted);
  Join(task);
}

// -- The pass --

void EdfPolicy::StartRepeating(Plan<Task>& plan) {
  while (!done_.empty()) {
    Task* task = &done_.front();
    done_.pop_front();
    task->hint.has_work = true;
    task->hint.deadline = plan.now().PlusNanoseconds(task->hint.period_ns);
    StartPiece(task);
    ComesNow(task, /*boosted=*/false);
    plan.SetHasWork(task);
    Join(task);
  }
}

void EdfPolicy::TakeFromThoseWithoutWork(Plan<Task>& plan) {
  for (const Task& task : leaving_) {
    if (CanBeStopped(plan, task) && !Give(plan, task.cpu, nullptr)) plan.Unschedule(task.cpu);
  }
}

// The weakest lose first.
void EdfPolicy::Preempt(Plan<Task>& plan) {
  changed_ = false;
  for (const Task& task : running_.last) {
    if (!PreemptTask(plan, task)) return;
  }
  for (auto task = running_.hinted.rbegin(); task != running_.hinted.rend(); ++task) {
    if (!PreemptTask(plan, *task)) return;
  }
}

[[gnu::always_inline]] inline bool EdfPolicy::PreemptTask(Plan<Task>& plan, const Task& task) {
  if (CanBeStopped(plan, task) && !Give(plan, task.cpu, &task)) return groups_.SomebodyHasLessChoice();
  return groups_.SomebodyWaits();
}

[[gnu::always_inline]] inline EdfPolicy::Task* EdfPolicy::FirstAt(int cpu) {
  return groups_.FirstAt(
      cpu, [&](int group) -> Task& { return queues_[group].First(); },
      [](const Task& a, const Task& b) { return a.key < b.key; });
}

bool EdfPolicy::Give(Plan<Task>& plan, int cpu, const Task* running) {
  while (Task* task = FirstAt(cpu)) {
    if (running != nullptr && !GoesBefore(*task, *running)) return false;
    Leave(task);
    if (plan.Assign(cpu, task)) return true;
  }
  return false;
}

void EdfPolicy::Describe(const Task& task, std::string* line) const {
  constexpr const char* kPlaces[] = {"", "", ", no work", ", no work until the next pass", "", ", no work"};
  const auto text = [](int64_t ns) { return absl::FormatDuration(absl::Nanoseconds(ns)); };
  absl::StrAppend(line, " qos ", task.hint.qos, ", class ", task.hint.work_class,
                  kPlaces[static_cast<int>(task.place)]);
  if (task.hint.deadline != Time::Infinite()) absl::StrAppend(line, ", deadline ", task.hint.deadline.ns());
  absl::StrAppend(line, ", ran ", text(task.elapsed_ns));
  if (task.estimate_ns != 0) absl::StrAppend(line, " of ", text(task.estimate_ns));
  if (const WorkStatistics* of_class = task.hint.statistics; of_class != nullptr && of_class->pieces != 0) {
    absl::StrAppend(line, "; of its class ", of_class->pieces, " done, ", of_class->late, " late, mean ",
                    text(MeanOf(of_class)));
  }
}

}  // namespace ghost
