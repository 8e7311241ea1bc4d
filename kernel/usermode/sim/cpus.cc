#include "kernel/usermode/sim/cpus.h"

#include <algorithm>
#include <tuple>

#include "kernel/usermode/sim/threads.h"
#include "lib/base/logging.h"

namespace ghost::sim {

Cpus::Cpus(const Topology* topology, EventQueue* events, Threads* threads, const CostModel* costs)
    : topology_(*topology),
      events_(*events),
      threads_(*threads),
      costs_(*costs),
      cpus_(static_cast<size_t>(topology->num_cpus())) {}

int64_t Cpus::KernelNs(int cpu, int64_t ns) const {
  if (costs_.smt_percent == 0) return ns;
  for (const int other : topology_.cpu(cpu).siblings()) {
    if (other != cpu && cpus_[static_cast<size_t>(other)].counted_busy) return ns * (100 + costs_.smt_percent) / 100;
  }
  return ns;
}

int64_t Cpus::BusyNs(int cpu) const {
  const Cpu& c = cpus_[static_cast<size_t>(cpu)];
  return c.busy_ns + (c.counted_busy ? events_.now_ns() - c.busy_since_ns : 0);
}

void Cpus::Account(int cpu) {
  Cpu& c = at(cpu);
  const bool busy = c.online && (c.ghost != nullptr || c.agent_running || c.busy > 0 || !c.ordinary.empty());
  if (busy == c.counted_busy) return;
  if (!busy) c.busy_ns = BusyNs(cpu);
  c.counted_busy = busy;
  c.busy_since_ns = events_.now_ns();
}

void Cpus::SetGhost(int cpu, Thread* thread) {
  at(cpu).ghost = thread;
  Update(cpu);
}

void Cpus::SetAgentRunning(int cpu, bool running) {
  at(cpu).agent_running = running;
  Update(cpu);
}

int Cpus::ChooseCpu(const Thread& thread) const {
  const auto rank = [&](int cpu) {
    const Cpu& c = cpus_[static_cast<size_t>(cpu)];
    const bool idle = c.ordinary.empty() && c.ghost == nullptr && !c.agent_running && c.busy == 0;
    return std::make_tuple(!idle, c.ordinary.size(), cpu != thread.cpu, cpu);
  };
  int best = -1;
  for (int cpu = 0; cpu < count(); ++cpu) {
    if (!online(cpu) || !thread.affinity->Contains(cpu)) continue;
    if (best < 0 || rank(cpu) < rank(best)) best = cpu;
  }
  // As Linux does when none of its CPUs is left: any.
  for (int cpu = 0; best < 0 && cpu < count(); ++cpu) {
    if (online(cpu)) best = cpu;
  }
  return std::max(best, 0);
}

void Cpus::AccountOrdinary(Cpu& c) {
  if (!c.ordinary.empty()) c.ordinary.Account(threads_.RuntimeNs(c.ordinary.first()));
}

void Cpus::Stop(Thread& thread) {
  threads_.Pause(thread);
  thread.state = Thread::State::kRunnable;
  thread.runnable_since_ns = events_.now_ns();
  threads_.ReportOff(thread, OffReason::kPreempted);
}

void Cpus::Enqueue(Thread& thread, int waker_cpu) {
  int64_t lag_ns = 0;
  if (thread.queue_cpu >= 0) {
    AccountOrdinary(at(thread.queue_cpu));
    lag_ns = at(thread.queue_cpu).ordinary.Lag(thread);
  }
  thread.state = Thread::State::kRunnable;
  thread.runnable_since_ns = events_.now_ns();
  thread.cpu = thread.queue_cpu = ChooseCpu(thread);
  Cpu& c = at(thread.cpu);
  AccountOrdinary(c);
  Thread* const running = c.ordinary.empty() || !c.ordinary.first().OnCpu() ? nullptr : &c.ordinary.first();
  int64_t delay_ns = costs_.wakeup_ns;
  if (c.ordinary.Add(thread, lag_ns, threads_.RuntimeNs(thread)) && running != nullptr) {
    Stop(*running);
    delay_ns = waker_cpu == thread.cpu ? 0 : costs_.ipi_travel_ns + KernelNs(thread.cpu, costs_.ipi_receive_ns);
  }
  if (c.ordinary.size() == 2) {
    events_.Schedule(events_.now_ns() + FairQueue::kSliceNs, &slice_, static_cast<uint32_t>(thread.cpu), ++c.slice);
  }
  Update(thread.cpu, delay_ns);
  TellLater(thread.cpu);
}

void Cpus::Dequeue(Thread& thread) {
  Cpu& c = at(thread.cpu);
  AccountOrdinary(c);
  if (!c.ordinary.Remove(thread)) return;
  if (thread.OnCpu()) threads_.Pause(thread);
  Update(thread.cpu);
  TellLater(thread.cpu);
}

void Cpus::Update(int cpu, int64_t delay_ns) {
  Account(cpu);
  Cpu& c = at(cpu);
  if (c.ordinary.empty()) return;
  Thread& first = c.ordinary.first();
  const bool can_run = c.online && c.ghost == nullptr && !c.agent_running && c.busy == 0;
  if (can_run && !first.OnCpu()) {
    threads_.Resume(first, cpu, delay_ns + KernelNs(cpu, costs_.cfs_switch_ns));
  } else if (!can_run && first.OnCpu()) {
    Stop(first);
  }
}

void Cpus::Turn(int cpu, bool yields) {
  Cpu& c = at(cpu);
  if (c.ordinary.size() < 2) return;
  Thread& before = c.ordinary.first();
  AccountOrdinary(c);
  c.ordinary.Turn(yields);
  if (&c.ordinary.first() != &before && before.OnCpu()) Stop(before);
  events_.Schedule(events_.now_ns() + FairQueue::kSliceNs, &slice_, static_cast<uint32_t>(cpu), ++c.slice);
  Update(cpu);
}

void Cpus::Yield(Thread& thread) {
  if (at(thread.cpu).ordinary.size() > 1) {
    Turn(thread.cpu, /*yields=*/true);
  } else {  // it goes on, but not within this call
    threads_.Pause(thread);
    threads_.Resume(thread, thread.cpu, costs_.syscall_ns);
  }
}

void Cpus::SetOnline(int cpu, bool online) {
  Cpu& c = at(cpu);
  if (c.online == online) return;
  c.online = online;
  ++changes_;
  Update(cpu);
  const std::vector<Thread*> refugees = online ? std::vector<Thread*>() : c.ordinary.threads();
  for (Thread* thread : refugees) c.ordinary.Remove(*thread);
  for (Thread* thread : refugees) Enqueue(*thread);
  TellLater(cpu);
  for (Observer* observer : threads_.observers()) observer->OnOnline(cpu, online, events_.now_ns());
  core_->OnCpuOnline(cpu, online);
}

void Cpus::SetBusy(int cpu, bool busy) {
  at(cpu).busy += busy ? 1 : -1;
  GHOST_CHECK(at(cpu).busy >= 0) << "cpu " << cpu;
  Update(cpu);
  TellLater(cpu);
}

void Cpus::TellLater(int cpu) {
  Cpu& c = at(cpu);
  if (c.telling) return;
  c.telling = true;
  events_.Schedule(events_.now_ns(), &tell_, static_cast<uint32_t>(cpu));
}

void Cpus::OnTell(uint32_t cpu, uint32_t) {
  Cpu& c = cpus_[cpu];
  c.telling = false;
  const bool wanted = c.busy > 0 || !c.ordinary.empty();
  if (wanted == c.told_wanted) return;
  c.told_wanted = wanted;
  ++changes_;
  for (Observer* observer : threads_.observers()) {
    observer->OnBusy(static_cast<int>(cpu), wanted, events_.now_ns());
  }
  core_->OnOtherClass(static_cast<int>(cpu), wanted, c.ordinary.empty() ? 0 : c.ordinary.first().tid);
}

void Cpus::OnSlice(uint32_t cpu, uint32_t generation) {
  if (cpus_[cpu].slice == generation) Turn(static_cast<int>(cpu), /*yields=*/false);
}

}  // namespace ghost::sim
