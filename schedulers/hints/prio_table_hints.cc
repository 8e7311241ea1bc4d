#include "schedulers/hints/prio_table_hints.h"

#include <time.h>

#include <algorithm>
#include <utility>

namespace ghost {

struct PrioTableHints::Process {
  using Tasks = boost::intrusive::list<ClientTask, boost::intrusive::member_hook<ClientTask, Link, &ClientTask::link>,
                                       boost::intrusive::constant_time_size<false>>;

  ProcessId id;
  Tasks tasks;  // the newest first: it lives, if any does
  ClientTable* table = nullptr;
  int looks_left = kLooks;
  ShmemSearch search = {.max_links = kLinksPerLook};
  absl::Duration pause = kMinPause;
  Time last_look;
  Time next_look;
};

struct PrioTableHints::Task : ClientTask {
  Process* process = nullptr;
};

PrioTableHints::PrioTableHints(std::string procfs) : procfs_(std::move(procfs)) { ReadWallClock(Time::Now()); }

PrioTableHints::~PrioTableHints() = default;

void PrioTableHints::ReadWallClock(Time now) {
  timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  wall_clock_ahead_ns_ = int64_t{wall.tv_sec} * 1'000'000'000 + wall.tv_nsec - now.ns();
}

void PrioTableHints::OnTaskNew(int64_t gtid) {
  if (tasks_.contains(gtid)) return;
  // One that is gone already can have no hints; it needs no record.
  const absl::StatusOr<ClientThread> thread = FindClientThread(gtid, procfs_);
  if (!thread.ok()) return;
  std::unique_ptr<Process>& process = processes_[thread->process];
  if (process == nullptr) {
    process = std::make_unique<Process>();
    process->id = thread->process;
    looking_.push_back(process.get());
  }
  auto task = std::make_unique<Task>();
  task->gtid = gtid;
  task->tid = thread->tid;
  task->own_tid = thread->own_tid;
  task->process = process.get();
  process->tasks.push_front(*task);
  if (process->table != nullptr) process->table->Add(task.get());
  tasks_.emplace(gtid, std::move(task));
  if (process->table != nullptr) return;
  const Time now = Time::Now();
  if (process->looks_left == 0 && now >= process->last_look + kMinPause) {
    process->looks_left = 1;
    process->next_look = now;
    looking_.push_back(process.get());
  }
  if (process->looks_left > 0 && now >= process->next_look) Look(*process, now);
}

void PrioTableHints::OnTaskGone(int64_t gtid) {
  const auto found = tasks_.find(gtid);
  if (found == tasks_.end()) return;
  Process& process = *found->second->process;
  if (process.table != nullptr) process.table->Remove(found->second.get());
  tasks_.erase(found);
  if (!process.tasks.empty()) return;
  Detach(process);
  std::erase(looking_, &process);
  processes_.erase(process.id);
}

// Ends a process's part in its table; the table goes with the last one's.
void PrioTableHints::Detach(Process& process) {
  ClientTable* table = std::exchange(process.table, nullptr);
  if (table == nullptr || table->num_tasks() > 0) return;
  std::erase_if(tables_, [table](const std::unique_ptr<ClientTable>& other) { return other.get() == table; });
}

void PrioTableHints::Look(Process& process, Time now) {
  ++num_looks_;
  --process.looks_left;
  process.last_look = now;
  const pid_t tid = process.tasks.front().tid;
  PrioTable table;
  const absl::Status status = table.Attach(tid, procfs_, &process.search);
  // Asked afterwards: if the thread is that process's now, it was so all the while.
  if (status.ok() && IsOf(tid, process.id, procfs_)) return Attach(process, std::move(table));
  // One that is not ready is where it was; what was not looked at is next.
  if (absl::IsUnavailable(status)) process.search.position = 0;
  if (process.search.position == 0) process.pause = std::min(2 * process.pause, kMaxPause);
  process.next_look = now + (process.search.position == 0 ? process.pause : kMinPause);
  if (process.looks_left == 0) std::erase(looking_, &process);
}

void PrioTableHints::Attach(Process& process, PrioTable table) {
  std::erase(looking_, &process);
  process.looks_left = 0;
  const auto same = std::find_if(tables_.begin(), tables_.end(),
                                 [&](const std::unique_ptr<ClientTable>& other) { return other->id() == table.id(); });
  if (same != tables_.end()) {
    process.table = same->get();
  } else {
    tables_.push_back(std::make_unique<ClientTable>(std::move(table)));
    process.table = tables_.back().get();
  }
  for (ClientTask& task : process.tasks) process.table->Add(&task);
}

bool PrioTableHints::Poll(Visitor* visitor) {
  int budget = kMaxReads;
  for (size_t n = tables_.size(); n > 0 && budget > 0; --n) {
    if (next_table_ >= tables_.size()) next_table_ = 0;
    budget -= tables_[next_table_++]->Poll(visitor, budget, wall_clock_ahead_ns_);
  }
  if (budget < kMaxReads) has_told_ = true;
  return looking_.empty() || (++polls_ % kPollsBetweenUpkeeps != 0 && !look_is_due_);
}

Time PrioTableHints::NextPoll(Time now, bool in_use) {
  Time next = Time::Infinite();
  for (const Process* process : looking_) next = std::min(next, process->next_look);
  if (now >= next) look_is_due_ = true;
  if (std::exchange(has_told_, false)) told_at_ = now;
  if (in_use && !tables_.empty()) next = std::min(next, now + std::clamp((now - told_at_) / 8, kMinRest, kMaxRest));
  return next;
}

void PrioTableHints::Upkeep() {
  look_is_due_ = false;
  if (looking_.empty()) return;
  constexpr size_t kMaxAsked = 16;
  const Time now = Time::Now();
  ReadWallClock(now);
  for (size_t n = std::min(looking_.size(), kMaxAsked); n > 0; --n) {
    if (next_look_ >= looking_.size()) next_look_ = 0;
    Process& process = *looking_[next_look_++];
    if (now >= process.next_look) return Look(process, now);
  }
}

void PrioTableHints::SetHasWork(int64_t gtid) {
  const auto found = tasks_.find(gtid);
  if (found == tasks_.end()) return;
  const Task& task = *found->second;
  if (task.process->table != nullptr) task.process->table->SetHasWork(task);
}

uint64_t PrioTableHints::num_overflows() const {
  uint64_t overflows = 0;
  for (const std::unique_ptr<ClientTable>& table : tables_) overflows += table->overflows();
  return overflows;
}

}  // namespace ghost
