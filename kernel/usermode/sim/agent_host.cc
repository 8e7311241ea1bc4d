#include "kernel/usermode/sim/agent_host.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/logging.h"

namespace ghost::sim {
namespace {

// How soon an agent whose CPU is offline looks whether it is back.
constexpr int64_t kOfflineRetryNs = 10'000;

}  // namespace

AgentHost::AgentHost(Machine* machine, Process* process) : machine_(*machine), process_(*process) {
  Watch(machine_.driver().cpus().changes());
}

AgentHost::~AgentHost() { CancelAll(); }

SimCaller& AgentHost::caller() { return current_ != nullptr ? *current_->caller : machine_.CallerOf(process_.tgid); }

AgentHost::Thread& AgentHost::Reserve(int cpu) {
  for (auto& thread : threads_) {
    if (thread->cpu == cpu && thread->fiber == nullptr) return *thread;
  }
  threads_.push_back(std::make_unique<Thread>());
  Thread& thread = *threads_.back();
  thread.index = static_cast<uint32_t>(threads_.size() - 1);
  thread.cpu = cpu;
  thread.caller = cpu < 0 ? &machine_.CallerOf(process_.tgid) : &machine_.StartAgentThread(process_);
  if (cpu >= 0) machine_.PinAgentThread(*thread.caller, cpu);
  by_tid_[thread.caller->tid()] = &thread;
  return thread;
}

SimCaller& AgentHost::ReserveThread(int cpu) { return *Reserve(cpu).caller; }

void AgentHost::StartThread(int cpu, std::function<void()> body) {
  Thread& thread = Reserve(cpu);
  thread.fiber = std::make_unique<Fiber>(std::move(body));
  ResumeAt(thread, machine_.now_ns());
}

void AgentHost::CancelAll() {
  dead_ = true;
  for (auto& thread : threads_) {
    ++thread->generation;
    if (thread->fiber == nullptr) continue;
    GHOST_CHECK(thread->fiber.get() != Fiber::Current()) << "a fiber cannot cancel itself";
    thread->fiber->Cancel();
  }
  num_waiting_ = 0;
}

void AgentHost::ResumeAt(Thread& thread, int64_t when_ns) {
  machine_.events().Schedule(when_ns, &resume_, thread.index, ++thread.generation);
}

void AgentHost::OnResume(uint32_t index, uint32_t generation) {
  Thread& thread = *threads_[index];
  if (thread.generation != generation || thread.fiber == nullptr || thread.fiber->finished()) return;
  if (thread.cpu >= 0 && !machine_.driver().cpus().online(thread.cpu)) {
    return ResumeAt(thread, machine_.now_ns() + kOfflineRetryNs);
  }
  if (std::exchange(thread.waits_for_world, false)) --num_waiting_;
  current_ = &thread;
  thread.fiber->Resume();
  current_ = nullptr;
}

int64_t AgentHost::SiblingsBusyNs(int cpu) const {
  int64_t busy_ns = 0;
  for (const int other : machine_.topology()->cpu(cpu).siblings()) {
    if (other != cpu) busy_ns += machine_.driver().cpus().BusyNs(other);
  }
  return busy_ns;
}

void AgentHost::Charge(int64_t ns) {
  if (current_ == nullptr || dead_) return;
  Thread& self = *current_;
  ++self.calls;
  const int64_t slower = machine_.costs().smt_percent;
  const bool shares_core = self.cpu >= 0 && slower > 0 && machine_.topology()->cpu(self.cpu).siblings().size() > 1;
  while (ns > 0) {
    const int64_t busy_ns = shares_core ? SiblingsBusyNs(self.cpu) : 0;
    ResumeAt(self, machine_.now_ns() + ns);
    Fiber::Suspend();
    if (!shares_core || dead_) return;
    // What the core did for somebody else meanwhile has yet to be done.
    ns = std::min((SiblingsBusyNs(self.cpu) - busy_ns) * slower / (100 + slower), ns - 1);
  }
}

int AgentHost::Ioctl(int fd, unsigned long command, void* argument) {
  if (dead_) return -ENODEV;
  Thread* self = current_;
  const Machine::IoctlResult result = machine_.Ioctl(caller(), fd, command, argument);
  if (!result.pending) return result.result;
  GHOST_CHECK(self != nullptr) << "a thread without a fiber sleeps in a call";
  Fiber::Suspend();
  return dead_ ? -ENODEV : self->answer;
}

void AgentHost::OnAnswer(Tid tid, int result) {
  const auto found = by_tid_.find(tid);
  if (dead_ || found == by_tid_.end()) return;
  found->second->answer = result;
  const CostModel& costs = machine_.costs();
  const int64_t switch_ns = costs.wakeup_ns + costs.context_switch_ns;
  const int cpu = found->second->cpu;
  ResumeAt(*found->second,
           machine_.now_ns() + (cpu < 0 ? switch_ns : machine_.driver().cpus().KernelNs(cpu, switch_ns)));
}

uint64_t AgentHost::World() const {
  uint64_t world = 0;
  for (const uint32_t* word : watched_) world += *word;
  return world;
}

void AgentHost::WaitForWorld(uint64_t world, int64_t until_ns) {
  if (current_ == nullptr || dead_ || world != World()) return;
  current_->waits_for_world = true;
  current_->world = world;
  ++num_waiting_;
  ++current_->generation;
  if (until_ns != EventQueue::kNever) ResumeAt(*current_, std::max(until_ns, machine_.now_ns()));
  Fiber::Suspend();
}

void AgentHost::WakeWaiting() {
  const uint64_t world = World();
  for (auto& thread : threads_) {
    if (!thread->waits_for_world || thread->world == world) continue;
    thread->world = world;
    ResumeAt(*thread, machine_.now_ns() + machine_.costs().poll_ns);
  }
}

}  // namespace ghost::sim
