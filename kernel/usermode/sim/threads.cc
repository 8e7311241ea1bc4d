#include "kernel/usermode/sim/threads.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kernel/usermode/core/identity.h"
#include "lib/base/logging.h"

namespace ghost::sim {

using Class = Thread::Class;
using State = Thread::State;

const char* OffReasonName(OffReason reason) {
  constexpr const char* kNames[] = {"slept", "yielded", "preempted", "exited", "departed"};
  return kNames[static_cast<int>(reason)];
}

Threads::Threads(const Topology* topology, EventQueue* events, const CostModel* costs)
    : events_(*events),
      costs_(*costs),
      cpus_(topology, events, this, costs),
      reports_(static_cast<size_t>(topology->num_cpus())),
      all_cpus_(std::make_shared<const CpuSet>(CpuSet::FirstN(topology->num_cpus()))) {}

void Threads::set_core(usermode::Core* core) {
  core_ = core;
  cpus_.set_core(core);
}

Thread& Threads::Create(const Options& options, std::unique_ptr<Program> program) {
  const Tid tid = kFirstTid + static_cast<Tid>(threads_.size());
  auto thread = std::make_unique<Thread>();
  thread->tid = tid;
  thread->tgid = options.tgid == 0 ? tid : options.tgid;
  thread->uid = options.uid;
  thread->nice = options.nice;
  thread->group = options.group;
  thread->scheduling_class = options.scheduling_class;
  thread->affinity = options.affinity != nullptr ? options.affinity : all_cpus_;
  thread->program = std::move(program);
  threads_.push_back(std::move(thread));
  return *threads_.back();
}

Thread* Threads::Find(Tid tid) {
  const int64_t index = int64_t{tid} - kFirstTid;
  return index < 0 || index >= static_cast<int64_t>(threads_.size()) ? nullptr
                                                                     : threads_[static_cast<size_t>(index)].get();
}

Thread* Threads::FindGtid(int64_t gtid) {
  Thread* thread = Find(usermode::TidBitsOf(gtid));
  return thread != nullptr && thread->gtid == gtid ? thread : nullptr;
}

// ---- What the core asks ----

usermode::AttachResult Threads::Attach(Thread& thread, int64_t gtid) {
  using Result = usermode::AttachResult;
  Result result{.runtime_ns = RuntimeNs(thread), .nice = thread.nice};
  thread.gtid = gtid;
  switch (thread.state) {
    case State::kRunning:
      thread.entering = true;
      events_.Schedule(events_.now_ns() + costs_.preempt_ns, &stop_, static_cast<uint32_t>(thread.tid), ++thread.stop);
      result.state = Result::State::kRunning;
      return result;
    case State::kSleeping:
      result.state = Result::State::kBlocked;
      break;
    case State::kRunnable:
      cpus_.Dequeue(thread);
      [[fallthrough]];
    default:
      thread.state = State::kRunnable;
      thread.runnable_since_ns = events_.now_ns();
      result.state = Result::State::kGated;
  }
  thread.scheduling_class = Class::kGhost;
  return result;
}

void Threads::Detach(Thread& thread) {
  thread.gtid = 0;
  ++thread.stop;
  if (std::exchange(thread.entering, false)) return;
  thread.scheduling_class = Class::kOrdinary;
  const bool on_cpu = thread.OnCpu();
  const int cpu = thread.cpu;
  if (on_cpu) {
    Pause(thread);
    ReportOff(thread, OffReason::kDeparted);
  }
  if (on_cpu || thread.state == State::kRunnable) {
    thread.state = State::kRunnable;
    cpus_.Enqueue(thread);  // perhaps on another CPU
  }
  if (on_cpu) cpus_.SetGhost(cpu, nullptr);
}

void Threads::Run(Thread& thread, int cpu, int64_t delay_ns) {
  GHOST_CHECK(thread.state == State::kRunnable && thread.scheduling_class == Class::kGhost) << "tid " << thread.tid;
  cpus_.SetGhost(cpu, &thread);
  Resume(thread, cpu, delay_ns + cpus_.KernelNs(cpu, costs_.context_switch_ns));
}

void Threads::Preempt(Thread& thread, int64_t delay_ns, int64_t interrupt_ns) {
  thread.interrupt_ns = interrupt_ns;
  EventHandler* const next = interrupt_ns == 0 ? static_cast<EventHandler*>(&stop_) : &interrupt_;
  events_.Schedule(events_.now_ns() + delay_ns, next, static_cast<uint32_t>(thread.tid), ++thread.stop);
}

uint64_t Threads::RuntimeNs(const Thread& thread) const { return thread.RuntimeNs(events_.now_ns()); }

// ---- On and off CPUs ----

void Threads::Resume(Thread& thread, int cpu, int64_t delay_ns) {
  thread.state = State::kRunning;
  thread.cpu = cpu;
  thread.resumed_ns = events_.now_ns() + delay_ns;
  const int64_t end_ns = thread.burst_left_ns > EventQueue::kNever - thread.resumed_ns
                             ? EventQueue::kNever
                             : thread.resumed_ns + thread.burst_left_ns;
  events_.Schedule(end_ns, &plan_, static_cast<uint32_t>(thread.tid), ++thread.plan);
  for (Observer* observer : observers_) observer->OnRun(thread, events_.now_ns());
  thread.woken = false;
}

void Threads::Pause(Thread& thread) {
  const int64_t ran_ns = std::max<int64_t>(events_.now_ns() - thread.resumed_ns, 0);
  thread.runtime_ns += static_cast<uint64_t>(ran_ns);
  if (thread.burst_left_ns != EventQueue::kNever)
    thread.burst_left_ns = std::max<int64_t>(thread.burst_left_ns - ran_ns, 0);
  thread.resumed_ns = events_.now_ns();
  ++thread.plan;
}

void Threads::ReportOff(const Thread& thread, OffReason reason) {
  for (Observer* observer : observers_) observer->OnOff(thread, reason, events_.now_ns());
}

void Threads::LeaveCpu(Thread& thread, State state, OffReason reason) {
  ++thread.stop;
  Pause(thread);
  thread.state = state;
  thread.runnable_since_ns = events_.now_ns();
  ReportOff(thread, reason);
  if (thread.scheduling_class == Class::kGhost) {
    ++reports_[static_cast<size_t>(thread.cpu)];
    cpus_.SetGhost(thread.cpu, nullptr);
  } else {
    cpus_.Dequeue(thread);
    if (std::exchange(thread.entering, false)) thread.scheduling_class = Class::kGhost;
  }
}

void Threads::OnInterrupt(uint32_t tid, uint32_t generation) {
  Thread& thread = *Find(static_cast<Tid>(tid));
  if (thread.stop != generation || !thread.OnCpu()) return;
  Pause(thread);  // nothing that it does comes to its end any more
  thread.resumed_ns = events_.now_ns() + thread.interrupt_ns;
  events_.Schedule(thread.resumed_ns, &stop_, tid, generation);
}

void Threads::OnStop(uint32_t tid, uint32_t generation) {
  Thread& thread = *Find(static_cast<Tid>(tid));
  if (thread.stop != generation || !thread.OnCpu() || thread.gtid == 0) return;
  LeaveCpu(thread, State::kRunnable, OffReason::kPreempted);
  core_->OnTaskGated(thread.gtid);
}

void Threads::OnPlan(uint32_t tid, uint32_t generation) {
  Thread& thread = *Find(static_cast<Tid>(tid));
  if (thread.plan != generation) return;
  if (thread.state == State::kSleeping) return Wake(thread, thread.cpu, /*spurious=*/true);
  if (thread.OnCpu()) Advance(thread);
}

// ---- Actions ----

void Threads::Advance(Thread& thread) {
  Pause(thread);
  thread.burst_left_ns = 0;
  const uint32_t plan = thread.plan;
  for (int i = 0;; ++i) {
    Action action = i < kMaxActionsAtOnce ? thread.program->Next(thread, events_.now_ns()) : Action::Run(kLeastRunNs);
    if (action.kind == Action::Kind::kRun) {
      if (action.ns <= 0) continue;
      thread.burst_left_ns = action.ns;
      const int64_t now = events_.now_ns();
      const int64_t end_ns = action.ns > EventQueue::kNever - now ? EventQueue::kNever : now + action.ns;
      return events_.Schedule(end_ns, &plan_, static_cast<uint32_t>(thread.tid), thread.plan);
    }
    Perform(thread, action);
    if (thread.plan != plan || !thread.OnCpu()) return;  // it goes on when it gets a CPU again
  }
}

void Threads::Perform(Thread& thread, Action& action) {
  Thread* target = action.tid == 0 ? &thread : Find(action.tid);
  switch (action.kind) {
    case Action::Kind::kRun:
      return;
    case Action::Kind::kSleep:
      return Sleep(thread, events_.now_ns() + std::max<int64_t>(action.ns, 0), /*deferrable=*/true);
    case Action::Kind::kWait:
      if (!std::exchange(thread.wake_pending, false)) Sleep(thread, EventQueue::kNever, action.deferrable);
      return;
    case Action::Kind::kYield:
      return Yield(thread);
    case Action::Kind::kFork:
      return Fork(thread, std::move(action.child));
    case Action::Kind::kExit:
      return Exit(thread);
    default:
      break;
  }
  if (target == nullptr) return;
  switch (action.kind) {
    case Action::Kind::kWake:
      return Wake(*target, thread.cpu);
    case Action::Kind::kAffinity:
      return SetAffinity(*target, action.cpus);
    case Action::Kind::kNice:
      return SetNice(*target, action.nice);
    case Action::Kind::kDepart:
      return Depart(*target);
    case Action::Kind::kEnter:
      if (enter) enter(thread, target->tid, action.enclave);
      return;
    default:
      return;
  }
}

void Threads::Sleep(Thread& thread, int64_t until_ns, bool deferrable) {
  LeaveCpu(thread, State::kSleeping, OffReason::kSlept);
  thread.waits_forever = until_ns == EventQueue::kNever;
  thread.deferrable = deferrable;
  events_.Schedule(until_ns, &plan_, static_cast<uint32_t>(thread.tid), thread.plan);
  if (thread.gtid != 0) core_->OnTaskBlocked(thread.gtid);
}

void Threads::Yield(Thread& thread) {
  if (thread.scheduling_class == Class::kOrdinary && !thread.entering) return cpus_.Yield(thread);
  LeaveCpu(thread, State::kRunnable, OffReason::kYielded);
  core_->OnTaskYielded(thread.gtid);
}

void Threads::Fork(Thread& parent, std::unique_ptr<Program> program) {
  const bool held = parent.scheduling_class == Class::kGhost;
  Thread& child = Create({.tgid = parent.tgid,
                          .uid = parent.uid,
                          .nice = parent.nice,
                          .group = parent.group,
                          .affinity = parent.affinity,
                          .scheduling_class = parent.scheduling_class},
                         std::move(program));
  child.cpu = parent.cpu;
  child.state = State::kRunnable;
  child.runnable_since_ns = events_.now_ns();
  if (held) child.gtid = core_->OnTaskForked(parent.gtid, child.tid, 0, child.nice);
  if (child.gtid != 0) return core_->OnTaskForkTaken(child.gtid);
  child.scheduling_class = Class::kOrdinary;
  cpus_.Enqueue(child);
}

// ---- Events ----

void Threads::Start(Thread& thread) {
  if (thread.state == State::kNew && thread.scheduling_class == Class::kOrdinary) cpus_.Enqueue(thread);
}

void Threads::Wake(Thread& thread, int waker_cpu, bool spurious) {
  if (thread.state == State::kDead) return;
  if (thread.state != State::kSleeping || (!spurious && !thread.waits_forever)) {
    thread.wake_pending |= !spurious;
    return;
  }
  ++thread.plan;
  thread.woken = true;
  thread.runnable_since_ns = events_.now_ns();
  for (Observer* observer : observers_) observer->OnWake(thread, waker_cpu, events_.now_ns());
  if (thread.gtid == 0) return cpus_.Enqueue(thread, waker_cpu);
  thread.state = State::kRunnable;
  if (waker_cpu >= 0) ++reports_[static_cast<size_t>(waker_cpu)];
  core_->OnTaskReady(thread.gtid, {.waker_cpu = waker_cpu, .deferrable = thread.deferrable});
}

void Threads::SetAffinity(Thread& thread, const std::shared_ptr<const CpuSet>& cpus) {
  if (thread.state == State::kDead || cpus == nullptr || !cpus->Intersects(*all_cpus_)) return;
  thread.affinity = cpus;
  if (thread.gtid != 0) return core_->OnTaskAffinityChanged(thread.gtid);
  const bool queued =
      thread.scheduling_class == Class::kOrdinary && (thread.OnCpu() || thread.state == State::kRunnable);
  if (!queued || cpus->Contains(thread.cpu)) return;
  if (thread.OnCpu()) ReportOff(thread, OffReason::kPreempted);
  cpus_.Dequeue(thread);
  cpus_.Enqueue(thread);
}

void Threads::SetNice(Thread& thread, int nice) {
  if (thread.state == State::kDead) return;
  thread.nice = std::clamp(nice, -20, 19);
  if (thread.gtid != 0) core_->OnTaskPriorityChanged(thread.gtid, thread.nice);
}

void Threads::Depart(Thread& thread) {
  if (thread.gtid != 0) core_->OnTaskDeparted(thread.gtid);
}

void Threads::Exit(Thread& thread) {
  if (thread.state == State::kDead || thread.scheduling_class == Class::kAgent) return;
  const int64_t gtid = std::exchange(thread.gtid, 0);
  if (thread.OnCpu()) {
    LeaveCpu(thread, State::kDead, OffReason::kExited);
  } else if (thread.scheduling_class == Class::kOrdinary && thread.state == State::kRunnable) {
    cpus_.Dequeue(thread);
  }
  thread.state = State::kDead;
  ++thread.plan;
  ++thread.stop;
  for (Observer* observer : observers_) observer->OnExit(thread, events_.now_ns());
  if (gtid != 0) core_->OnTaskExited(gtid);
}

void Threads::Poke(Thread& thread) {
  if (!thread.OnCpu()) {
    if (thread.burst_left_ns == EventQueue::kNever) thread.burst_left_ns = 0;
    return;
  }
  const int64_t start_ns = thread.resumed_ns;
  Pause(thread);
  thread.burst_left_ns = 0;
  events_.Schedule(start_ns, &plan_, static_cast<uint32_t>(thread.tid), thread.plan);
}

}  // namespace ghost::sim
