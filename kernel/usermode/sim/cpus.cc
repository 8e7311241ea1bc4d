#include "kernel/usermode/sim/cpus.h"

#include <algorithm>
#include <tuple>

#include "kernel/usermode/sim/threads.h"
#include "lib/base/logging.h"

namespace ghost::sim {

Cpus::Cpus(int count, EventQueue* events, Threads* threads, const CostModel* costs)
    : events_(*events), threads_(*threads), costs_(*costs), cpus_(static_cast<size_t>(count)) {}

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

void Cpus::Enqueue(Thread& thread) {
  thread.state = Thread::State::kRunnable;
  thread.runnable_since_ns = events_.now_ns();
  thread.cpu = ChooseCpu(thread);
  Cpu& c = at(thread.cpu);
  c.ordinary.push_back(&thread);
  if (c.ordinary.size() == 2) events_.Schedule(events_.now_ns() + kOrdinarySliceNs, &slice_, thread.cpu, ++c.slice);
  Update(thread.cpu);
  TellLater(thread.cpu);
}

void Cpus::Dequeue(Thread& thread) {
  Cpu& c = at(thread.cpu);
  auto found = std::find(c.ordinary.begin(), c.ordinary.end(), &thread);
  if (found == c.ordinary.end()) return;
  if (thread.OnCpu()) threads_.Pause(thread);
  c.ordinary.erase(found);
  Update(thread.cpu);
  TellLater(thread.cpu);
}

void Cpus::Update(int cpu) {
  Account(cpu);
  Cpu& c = at(cpu);
  if (c.ordinary.empty()) return;
  Thread& first = *c.ordinary.front();
  const bool can_run = c.online && c.ghost == nullptr && !c.agent_running && c.busy == 0;
  if (can_run && !first.OnCpu()) {
    threads_.Resume(first, cpu, costs_.context_switch_ns);
  } else if (!can_run && first.OnCpu()) {
    threads_.Pause(first);
    first.state = Thread::State::kRunnable;
    first.runnable_since_ns = events_.now_ns();
    threads_.ReportOff(first, OffReason::kPreempted);
  }
}

void Cpus::Rotate(int cpu) {
  Cpu& c = at(cpu);
  if (c.ordinary.size() < 2) return;
  Thread& first = *c.ordinary.front();
  if (first.OnCpu()) {
    threads_.Pause(first);
    first.state = Thread::State::kRunnable;
    first.runnable_since_ns = events_.now_ns();
    threads_.ReportOff(first, OffReason::kPreempted);
  }
  c.ordinary.pop_front();
  c.ordinary.push_back(&first);
  events_.Schedule(events_.now_ns() + kOrdinarySliceNs, &slice_, static_cast<uint32_t>(cpu), ++c.slice);
  Update(cpu);
}

void Cpus::Yield(Thread& thread) {
  if (at(thread.cpu).ordinary.size() > 1) {
    Rotate(thread.cpu);
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
  std::deque<Thread*> refugees;
  if (!online) refugees.swap(c.ordinary);
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
  core_->OnOtherClass(static_cast<int>(cpu), wanted, c.ordinary.empty() ? 0 : c.ordinary.front()->tid);
}

void Cpus::OnSlice(uint32_t cpu, uint32_t generation) {
  if (cpus_[cpu].slice == generation) Rotate(static_cast<int>(cpu));
}

}  // namespace ghost::sim
