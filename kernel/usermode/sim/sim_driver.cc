#include "kernel/usermode/sim/sim_driver.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "lib/base/logging.h"

namespace ghost::sim {
namespace {

// How many further transactions of a commit cost its targets time. The paper's largest group has ten; nobody knows
// how it goes on.
constexpr int kMostNext = 9;

}  // namespace

SimDriver::SimDriver(const Topology* topology, EventQueue* events, const CostModel* costs)
    : topology_(*topology), events_(*events), costs_(*costs), threads_(topology, events, costs) {
  programs_until_ns_.resize(static_cast<size_t>(topology->num_cpus()));
}

int64_t SimDriver::IpiTravel(int cpu) const {
  if (origin_ < 0 || origin_ == cpu) return 0;
  return costs_.ipi_travel_ns * RemotePercent(cpu) / 100;
}

int64_t SimDriver::IpiReceive(int cpu, int64_t receive_ns) const {
  if (origin_ < 0 || origin_ == cpu) return 0;
  receive_ns += std::min(group_ - 1, kMostNext) * costs_.receive_next_ns;
  return threads_.cpus().KernelNs(cpu, receive_ns) * RemotePercent(cpu) / 100;
}

int64_t SimDriver::RemotePercent(int cpu) const {
  return topology_.cpu(origin_).numa_node() == topology_.cpu(cpu).numa_node() ? 100 : 100 + costs_.remote_percent;
}

void SimDriver::set_core(usermode::Core* core) {
  core_ = core;
  threads_.set_core(core);
}

void SimDriver::AddObserver(Observer* observer) {
  observers_.push_back(observer);
  threads_.AddObserver(observer);
}

void SimDriver::RemoveObserver(Observer* observer) {
  std::erase(observers_, observer);
  threads_.RemoveObserver(observer);
}

// ---- Memory ----

std::optional<usermode::Region> SimDriver::AllocateRegion(const std::string&, size_t size) {
  if (regions_.size() >= max_regions) return std::nullopt;
  // Pages come when they are touched: a region of status words is 2 MiB, and mostly empty.
  void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return std::nullopt;
  std::shared_ptr<std::byte> data(static_cast<std::byte*>(address), [size](std::byte* p) { munmap(p, size); });
  regions_[++last_region_] = {.data = std::move(data), .size = size};
  return usermode::Region{.id = last_region_, .address = address, .size = size};
}

void SimDriver::FreeRegion(uint64_t id) { GHOST_CHECK(regions_.erase(id) == 1) << "region " << id; }

SimDriver::Memory SimDriver::MemoryOf(uint64_t region) const {
  const auto found = regions_.find(region);
  return found == regions_.end() ? Memory{} : found->second;
}

// ---- Tasks ----

usermode::AttachResult SimDriver::Attach(Tid tid, int64_t gtid) {
  Thread* thread = threads_.Find(tid);
  if (thread == nullptr || thread->state == Thread::State::kDead) return {.error = ESRCH};
  return threads_.Attach(*thread, gtid);
}

void SimDriver::Detach(int64_t gtid) {
  Thread* thread = threads_.FindGtid(gtid);
  GHOST_CHECK(thread != nullptr) << "gtid " << gtid;
  threads_.Detach(*thread);
}

void SimDriver::Run(int64_t gtid, int cpu) {
  Thread* thread = threads_.FindGtid(gtid);
  GHOST_CHECK(thread != nullptr) << "gtid " << gtid;
  threads_.Run(*thread, cpu, IpiTravel(cpu) + IpiReceive(cpu, costs_.idle_receive_ns) + ProgramsNs(cpu));
}

void SimDriver::ProgramRan(int cpu) {
  int64_t& until_ns = programs_until_ns_[static_cast<size_t>(cpu)];
  until_ns = std::max(until_ns, events_.now_ns()) + threads_.cpus().KernelNs(cpu, costs_.program_ns);
}

int64_t SimDriver::ProgramsNs(int cpu) const {
  return std::max<int64_t>(programs_until_ns_[static_cast<size_t>(cpu)] - events_.now_ns(), 0);
}

void SimDriver::Preempt(int64_t gtid) {
  Thread* thread = threads_.FindGtid(gtid);
  GHOST_CHECK(thread != nullptr && thread->OnCpu()) << "gtid " << gtid;
  const int cpu = thread->cpu;
  const int64_t stop_ns = threads_.cpus().KernelNs(cpu, costs_.preempt_ns);
  threads_.Preempt(*thread, IpiTravel(cpu), IpiReceive(cpu, costs_.ipi_receive_ns) + stop_ns);
}

uint64_t SimDriver::RuntimeNs(int64_t gtid) {
  const Thread* thread = threads_.FindGtid(gtid);
  return thread == nullptr ? 0 : threads_.RuntimeNs(*thread);
}

std::optional<uint64_t> SimDriver::RuntimeNsOfTid(Tid tid) {
  const Thread* thread = threads_.Find(tid);
  if (thread == nullptr || thread->state == Thread::State::kDead) return std::nullopt;
  return threads_.RuntimeNs(*thread);
}

std::optional<CpuSet> SimDriver::Affinity(int64_t gtid) {
  const Thread* thread = threads_.FindGtid(gtid);
  if (thread == nullptr) return std::nullopt;
  return *thread->affinity;
}

int SimDriver::MayAttach(Tid tid, const usermode::Caller& caller) {
  const Thread* thread = threads_.Find(tid);
  if (thread == nullptr || thread->state == Thread::State::kDead) return ESRCH;
  if (thread->scheduling_class == Thread::Class::kAgent) return EPERM;
  if (caller.uid() != 0 && caller.uid() != thread->uid) return EPERM;
  return 0;
}

// ---- Agents ----

int SimDriver::AttachAgent(Tid tid, int cpu) {
  Thread* thread = threads_.Find(tid);
  if (thread == nullptr || thread->scheduling_class != Thread::Class::kAgent) return EPERM;
  thread->cpu = cpu;
  agent_cpus_[tid] = cpu;
  SetAgentRunning(tid, cpu, true);
  return 0;
}

void SimDriver::KillAgent(Tid tid) {
  if (on_kill_agent) on_kill_agent(tid);
}

int SimDriver::AgentCpu(Tid tid) const {
  const auto found = agent_cpus_.find(tid);
  return found == agent_cpus_.end() ? -1 : found->second;
}

void SimDriver::SetAgentRunning(Tid tid, int cpu, bool running) {
  cpus().SetAgentRunning(cpu, running);
  for (Observer* observer : observers_) observer->OnAgent(cpu, tid, running, events_.now_ns());
}

void SimDriver::RequestPending(uint64_t request, Tid tid) {
  GHOST_CHECK(pending_.emplace(request, tid).second) << "request " << request;
  if (const int cpu = AgentCpu(tid); cpu >= 0) SetAgentRunning(tid, cpu, false);
}

std::vector<uint64_t> SimDriver::PendingRequests() const {
  std::vector<uint64_t> requests;
  for (const auto& [request, tid] : pending_) requests.push_back(request);
  std::sort(requests.begin(), requests.end());
  return requests;
}

void SimDriver::CompleteRequest(uint64_t request, int result) {
  const auto found = pending_.find(request);
  GHOST_CHECK(found != pending_.end()) << "request " << request << " is not pending";
  const Tid tid = found->second;
  pending_.erase(found);
  if (const int cpu = AgentCpu(tid); cpu >= 0) SetAgentRunning(tid, cpu, true);
  if (on_answer) on_answer(request, tid, result);
}

void SimDriver::AgentExited(Tid tid) {
  Thread* thread = threads_.Find(tid);
  if (thread == nullptr || thread->state == Thread::State::kDead) return;
  thread->state = Thread::State::kDead;
  const int cpu = AgentCpu(tid);
  if (cpu < 0) return;
  core_->OnAgentExited(tid);  // answers what is pending
  agent_cpus_.erase(tid);
  SetAgentRunning(tid, cpu, false);
}

void SimDriver::AgentSleeps(Tid tid, bool sleeps) {
  const int cpu = AgentCpu(tid);
  if (cpu < 0) return;
  if (sleeps) {
    core_->OnAgentBlocked(tid);
  } else {
    core_->OnAgentWoken(tid);
  }
  SetAgentRunning(tid, cpu, !sleeps);
}

// ---- Time, tree, log ----

void SimDriver::ArmTimer(uint64_t id, int64_t when_ns) {
  const auto [entry, is_new] = timer_index_.emplace(id, timers_.size());
  if (is_new) timers_.push_back({.id = id});
  CoreTimer& timer = timers_[entry->second];
  ++timer.generation;
  if (when_ns >= 0) events_.Schedule(when_ns, &core_timer_, entry->second, timer.generation);
}

void SimDriver::OnCoreTimer(uint32_t index, uint32_t generation) {
  if (timers_[index].generation == generation) core_->OnTimer(timers_[index].id);
}

void SimDriver::NotifyNode(uint64_t node) {
  if (on_notify) on_notify(node);
}

void SimDriver::Log(const std::string& line) {
  for (Observer* observer : observers_) observer->OnLog(line, events_.now_ns());
}

}  // namespace ghost::sim
