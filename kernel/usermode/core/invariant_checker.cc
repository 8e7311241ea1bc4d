#include "kernel/usermode/core/invariant_checker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/invariants.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

InvariantChecker::InvariantChecker(Driver* driver, Options options) : driver_(*driver), options_(std::move(options)) {}

void InvariantChecker::Violated(const std::string& what) {
  ++violations_;
  if (options_.on_violation) options_.on_violation(absl::StrCat(what, " (entry ", entries_, ")"));
}

// ---- The book ----

InvariantChecker::CpuBook& InvariantChecker::CpuOf(int cpu) {
  const auto index = static_cast<size_t>(cpu);
  if (index >= cpus_.size()) cpus_.resize(index + 1);
  return cpus_[index];
}

void InvariantChecker::TouchCpu(int cpu) {
  if (!std::exchange(CpuOf(cpu).touched, true)) touched_cpus_.push_back(cpu);
}

InvariantChecker::Book* InvariantChecker::Find(int64_t gtid, const char* what) {
  auto found = tasks_.find(gtid);
  if (found == tasks_.end()) {
    Violated(absl::StrCat(what, " of gtid ", gtid, ", which is nobody's task"));
    return nullptr;
  }
  if (!std::exchange(found->second.touched, true)) touched_.push_back(gtid);
  return &found->second;
}

void InvariantChecker::LeftCpu(int64_t gtid, Book& book) {
  if (book.life != Life::kRunning) return;
  CpuBook& cpu = CpuOf(book.cpu);
  cpu.gtid = 0;
  const auto ran_ns = static_cast<uint64_t>(std::max<int64_t>(driver_.NowNs() - book.since_ns, 0));
  cpu.busy_ns += ran_ns;
  TouchCpu(book.cpu);
  book.preempt_asked = false;
  if (!options_.exact_time) return;
  const uint64_t runtime_ns = driver_.RuntimeNs(gtid);
  if (runtime_ns - book.runtime_ns > ran_ns) {
    Violated(absl::StrCat("gtid ", gtid, " got ", runtime_ns - book.runtime_ns, " ns of CPU time in ", ran_ns, " ns"));
  }
  book.runtime_ns = runtime_ns;
  book.runtime_known = true;
}

void InvariantChecker::Forget(int64_t gtid, Book& book) {
  if (book.life == Life::kRunning) {
    CpuBook& cpu = CpuOf(book.cpu);
    cpu.gtid = 0;
    cpu.busy_ns += static_cast<uint64_t>(std::max<int64_t>(driver_.NowNs() - book.since_ns, 0));
    TouchCpu(book.cpu);
  }
  tasks_.erase(gtid);
}

// ---- What the core asks of the driver ----

AttachResult InvariantChecker::Attach(Tid tid, int64_t gtid) {
  AttachResult result = driver_.Attach(tid, gtid);
  if (result.error != 0) return result;
  Book book;
  if (result.state == AttachResult::State::kBlocked) book.life = Life::kAsleep;
  if (result.state == AttachResult::State::kGated) book.life = Life::kHeld;
  if (!tasks_.emplace(gtid, book).second) Violated(absl::StrCat("gtid ", gtid, " is attached twice"));
  Find(gtid, "attach");
  return result;
}

void InvariantChecker::Detach(int64_t gtid) {
  if (Book* book = Find(gtid, "detach"); book != nullptr) Forget(gtid, *book);
  driver_.Detach(gtid);
}

void InvariantChecker::Run(int64_t gtid, int cpu) {
  if (Book* book = Find(gtid, "run"); book != nullptr) {
    if (book->life != Life::kHeld) Violated(absl::StrCat("run of gtid ", gtid, ", which is not held"));
    if (CpuOf(cpu).gtid != 0) {
      Violated(absl::StrCat("run of gtid ", gtid, " on cpu ", cpu, ", which has gtid ", CpuOf(cpu).gtid));
    }
    if (options_.exact_time) {
      const uint64_t runtime_ns = driver_.RuntimeNs(gtid);
      if (book->runtime_known && runtime_ns != book->runtime_ns) {
        Violated(absl::StrCat("gtid ", gtid, " got ", runtime_ns - book->runtime_ns, " ns of CPU time while held"));
      }
      book->runtime_ns = runtime_ns;
    }
    book->life = Life::kRunning;
    book->cpu = cpu;
    book->since_ns = driver_.NowNs();
    book->preempt_asked = false;
    CpuOf(cpu).gtid = gtid;
    TouchCpu(cpu);
  }
  driver_.Run(gtid, cpu);
}

void InvariantChecker::Preempt(int64_t gtid) {
  if (Book* book = Find(gtid, "preempt"); book != nullptr) {
    if (book->life != Life::kRunning) Violated(absl::StrCat("preempt of gtid ", gtid, ", which does not run"));
    if (std::exchange(book->preempt_asked, true)) Violated(absl::StrCat("gtid ", gtid, " is preempted twice"));
  }
  driver_.Preempt(gtid);
}

// ---- What the driver reports ----

void InvariantChecker::OnTaskEvent(int64_t gtid, TaskEvent event) {
  auto found = tasks_.find(gtid);
  if (found == tasks_.end()) return;  // it has left meanwhile: the driver need not know yet
  Book& book = *Find(gtid, "report");
  const bool was_on = book.life == Life::kRunning || book.life == Life::kEntering;
  switch (event) {
    case TaskEvent::kGated:
      LeftCpu(gtid, book);
      book.life = Life::kHeld;
      return;
    case TaskEvent::kReady:
      if (book.life == Life::kAsleep || book.life == Life::kEntering) book.life = Life::kHeld;
      return;
    case TaskEvent::kYielded:
      if (!was_on) return;
      LeftCpu(gtid, book);
      book.life = Life::kHeld;
      return;
    case TaskEvent::kBlocked:
      if (!was_on) return;
      LeftCpu(gtid, book);
      book.life = Life::kAsleep;
      return;
    case TaskEvent::kExited:
      Forget(gtid, book);
      return;
  }
}

void InvariantChecker::OnTaskForked(int64_t gtid) {
  if (!tasks_.emplace(gtid, Book{.life = Life::kHeld}).second) Violated(absl::StrCat("gtid ", gtid, " is born twice"));
  Find(gtid, "fork");
}

// ---- Transactions ----

void InvariantChecker::OnClaim(int cpu) {
  CpuBook& book = CpuOf(cpu);
  if (std::exchange(book.claimed, true)) Violated(absl::StrCat("cpu ", cpu, ": a transaction is claimed twice"));
  ++claims_open_;
  TouchCpu(cpu);
}

void InvariantChecker::OnOutcome(int cpu, int32_t state) {
  CpuBook& book = CpuOf(cpu);
  if (!std::exchange(book.claimed, false)) {
    Violated(absl::StrCat("cpu ", cpu, ": outcome ", state, " of a transaction that was not claimed"));
  } else {
    --claims_open_;
  }
  if (state >= 0) Violated(absl::StrCat("cpu ", cpu, ": ", state, " is no outcome"));
  book.outcome = state;
}

void InvariantChecker::OnGroup(const CpuSet& cpus, bool all) {
  for (int cpu : cpus) {
    if ((CpuOf(cpu).outcome == GHOST_TXN_COMPLETE) != all) {
      Violated(absl::StrCat("cpu ", cpu, ": outcome ", CpuOf(cpu).outcome, " in a sync group that ",
                            all ? "succeeded" : "failed"));
    }
  }
}

// ---- The comparison ----

void InvariantChecker::CheckTask(const State& state, int64_t gtid) {
  auto found = tasks_.find(gtid);
  if (found == tasks_.end()) return;
  Book& book = found->second;
  book.touched = false;
  auto held = state.tasks.find(gtid);
  if (held == state.tasks.end()) return Violated(absl::StrCat("gtid ", gtid, " is lost"));
  const Task& task = *held->second;
  constexpr TaskState kSame[] = {TaskState::kEntering, TaskState::kRunnable, TaskState::kRunning,
                                 TaskState::kBlocked};  // by Life
  const TaskState expected = kSame[static_cast<int>(book.life)];
  if (task.state != expected) {
    Violated(absl::StrCat("gtid ", gtid, ": state ", static_cast<int>(task.state), " for the core, ",
                          static_cast<int>(expected), " for the driver"));
  }
  if (book.life == Life::kRunning && task.cpu != book.cpu) {
    Violated(absl::StrCat("gtid ", gtid, " runs on cpu ", book.cpu, ", the core says ", task.cpu));
  }
  const uint32_t barrier = task.word.barrier();
  if (static_cast<int32_t>(barrier - book.barrier) < 0) {
    Violated(absl::StrCat("gtid ", gtid, ": barrier ", barrier, " after ", book.barrier));
  }
  book.barrier = barrier;
}

void InvariantChecker::CheckCpu(const State& state, int id) {
  CpuBook& book = CpuOf(id);
  book.touched = false;
  const Cpu& cpu = state.cpus[static_cast<size_t>(id)];
  const int64_t current = cpu.current == nullptr ? 0 : cpu.current->gtid;
  if (current != book.gtid) Violated(absl::StrCat("cpu ", id, " runs gtid ", book.gtid, ", the core says ", current));
  if (options_.exact_time && cpu.status.busy_ns != book.busy_ns) {
    Violated(absl::StrCat("cpu ", id, " was busy for ", book.busy_ns, " ns, the core says ", cpu.status.busy_ns));
  }
  const int64_t agent = cpu.agent == nullptr ? 0 : cpu.agent->gtid;
  if (agent == book.agent_gtid && agent != 0 && static_cast<int32_t>(cpu.agent_barrier - book.agent_barrier) < 0) {
    Violated(absl::StrCat("cpu ", id, ": agent barrier ", cpu.agent_barrier, " after ", book.agent_barrier));
  }
  book.agent_gtid = agent;
  book.agent_barrier = cpu.agent_barrier;
}

// Every CPU could run a task, and nothing is under way on it.
bool InvariantChecker::AllIdle(const State& state, const Enclave& enclave) const {
  if (enclave.cpus.empty() || enclave.dying) return false;
  for (int id : enclave.cpus) {
    const Cpu& cpu = state.cpus[static_cast<size_t>(id)];
    if (cpu.agent == nullptr || !cpu.online || !cpu.IsIdle() || cpu.latched != nullptr) return false;
  }
  return true;
}

void InvariantChecker::CheckWaiting(const State& state) {
  const int64_t now_ns = driver_.NowNs();
  for (const auto& enclave : state.enclaves) {
    if (enclave->waiting.empty()) continue;
    const Task& first = enclave->waiting.front();
    const int64_t waited_ns = now_ns - first.waiting_since_ns;
    if (options_.max_wait_ns > 0 && waited_ns > options_.max_wait_ns) {
      Violated(absl::StrCat("gtid ", first.gtid, " could run and has waited for ", waited_ns, " ns"));
    } else if (options_.max_idle_ns > 0 && waited_ns > options_.max_idle_ns && AllIdle(state, *enclave)) {
      Violated(absl::StrCat("all CPUs of ", enclave->name(), " idle while gtid ", first.gtid, " has waited for ",
                            waited_ns, " ns"));
    }
  }
}

void InvariantChecker::CheckAll(const State& state) {
  for (size_t cpu = 0; cpu < state.cpus.size(); ++cpu) CheckCpu(state, static_cast<int>(cpu));
  for (const auto& [gtid, book] : tasks_) CheckTask(state, gtid);
  if (std::string what = FindInconsistency(state); !what.empty()) Violated(what);
}

void InvariantChecker::AfterEntry(const State& state) {
  ++entries_;
  if (claims_open_ != 0) {
    Violated(absl::StrCat(claims_open_, " claimed transactions without an outcome"));
    for (CpuBook& cpu : cpus_) cpu.claimed = false;
    claims_open_ = 0;
  }
  if (state.tasks.size() != tasks_.size()) {
    Violated(absl::StrCat(tasks_.size(), " tasks are held, the core has ", state.tasks.size()));
  }
  for (int64_t gtid : touched_) CheckTask(state, gtid);
  touched_.clear();
  for (int cpu : touched_cpus_) CheckCpu(state, cpu);
  touched_cpus_.clear();
  if (options_.max_idle_ns > 0 || options_.max_wait_ns > 0) CheckWaiting(state);
  if (options_.full_check > 0 && entries_ % static_cast<uint64_t>(options_.full_check) == 0) CheckAll(state);
}

}  // namespace ghost::usermode
