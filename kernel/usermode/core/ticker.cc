#include "kernel/usermode/core/ticker.h"

#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {
namespace {

constexpr uint64_t kTickTimer = 1;

// An agents' timer is known by its process and descriptor; settime on the same one replaces it.
uint64_t TimerId(Tid tgid, int fd) {
  return uint64_t{1} << 63 | uint64_t{static_cast<uint32_t>(tgid)} << 32 | static_cast<uint32_t>(fd);
}

int64_t ToNs(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

Ticker::Ticker(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

bool Ticker::Wanted() {
  for (const auto& enclave : state_.enclaves) {
    const Tunables& tunables = enclave->tunables;
    if (tunables.deliver_ticks || tunables.commit_at_tick || tunables.runnable_timeout_ms != 0) return true;
  }
  if (kernel_.programs.any_polls()) return true;
  if (!deferred_) return false;  // all CPUs are looked at only then: there may be hundreds
  for (const Cpu& cpu : state_.cpus) {
    if (cpu.latched != nullptr && cpu.AgentRuns()) return true;
  }
  deferred_ = false;
  return false;
}

void Ticker::Arm() {
  if (!needed_) return;
  needed_ = false;
  if (armed_ || !Wanted()) return;
  armed_ = true;
  state_.driver->ArmTimer(kTickTimer, state_.driver->NowNs() + kTickNs);
}

void Ticker::OnTimer(uint64_t id) {
  if (id == kTickTimer) {
    armed_ = false;
    return Tick();
  }
  auto found = timers_.find(id);
  if (found == timers_.end()) return;
  Timer& timer = found->second;
  const Timer expired = timer;
  if (timer.interval_ns > 0 && OwnerLives(timer)) {
    const int64_t late = std::max<int64_t>(state_.driver->NowNs() - timer.when_ns, 0);
    timer.when_ns += (late / timer.interval_ns + 1) * timer.interval_ns;
    state_.driver->ArmTimer(id, timer.when_ns);
  } else {
    timers_.erase(found);
  }
  TimerfdExpired(expired.cpu, expired.type, expired.cookie);
}

bool Ticker::OwnerLives(const Timer& timer) const {
  const Agent* agent = state_.cpus[static_cast<size_t>(timer.cpu)].agent;
  return (agent != nullptr && agent->tgid == timer.tgid) || state_.driver->RuntimeNsOfTid(timer.tgid).has_value();
}

void Ticker::Tick() {
  const int64_t now = state_.driver->NowNs();
  bool again = false;
  for (Cpu& cpu : state_.cpus) {
    if (cpu.enclave != nullptr) again |= TickCpu(cpu);
  }
  for (auto& enclave : state_.enclaves) again |= TickEnclave(*enclave, now);
  again |= kernel_.programs.any_polls();
  kernel_.programs.RepollAll();
  if (again) Need();
}

bool Ticker::TickCpu(Cpu& cpu) {
  const Tunables& tunables = cpu.enclave->tunables;
  const bool agent_is_current = cpu.AgentRuns() && cpu.current == nullptr;
  const bool ghost_is_current = cpu.agent != nullptr && (agent_is_current || cpu.current != nullptr);
  if (tunables.deliver_ticks && ghost_is_current) kernel_.messenger.Tick(cpu, agent_is_current);
  if (agent_is_current && cpu.latched != nullptr) kernel_.scheduler.PreemptLatched(cpu);
  if (tunables.commit_at_tick && kernel_.committer.HasGreedy(cpu)) kernel_.scheduler.Resched(cpu);
  return ghost_is_current;
}

bool Ticker::TickEnclave(Enclave& enclave, int64_t now) {
  const auto timeout_ms = static_cast<uint64_t>(enclave.tunables.runnable_timeout_ms);
  const bool commits = enclave.tunables.commit_at_tick && enclave.num_agents > 0;
  if (timeout_ms == 0 || enclave.waiting.empty()) return commits;
  const Task& task = enclave.waiting.front();  // the one that has waited longest
  if (static_cast<uint64_t>(now - task.waiting_since_ns) / 1'000'000 <= timeout_ms) return true;
  state_.driver->Log("enclave violation: " + enclave.name() + " failed to run pid " + std::to_string(task.tid) +
                     " for over " + std::to_string(timeout_ms) + "ms");
  kernel_.enclaves.RequestDestroy(enclave);
  return commits;
}

int Ticker::TimerfdSettime(Caller& caller, const ghost_ioc_timerfd_settime& settime) {
  itimerspec value;
  if (!caller.ReadMemory(settime.in_tmr, std::as_writable_bytes(std::span(&value, 1)))) return -EFAULT;
  const struct timerfd_ghost& ghost = settime.timerfd_ghost;
  if ((ghost.flags & ~TIMERFD_GHOST_ENABLED) != 0) return -EINVAL;
  const bool enabled = (ghost.flags & TIMERFD_GHOST_ENABLED) != 0;
  if (enabled) {
    if (!state_.OnlineCpu(ghost.cpu)) return -EINVAL;
    const Agent* agent = state_.cpus[static_cast<size_t>(ghost.cpu)].agent;
    if (agent == nullptr || agent->tgid != caller.tgid()) return -EINVAL;
  }
  itimerspec old_value = {};
  if (int error = caller.TimerfdSettime(settime.timerfd, settime.flags, value, &old_value); error != 0) return error;

  const uint64_t id = TimerId(caller.tgid(), settime.timerfd);
  if (timers_.erase(id) > 0) state_.driver->ArmTimer(id, -1);
  if (enabled && ToNs(value.it_value) != 0) {
    const bool absolute = (settime.flags & TFD_TIMER_ABSTIME) != 0;
    Timer timer{.tgid = caller.tgid(),
                .cpu = ghost.cpu,
                .type = ghost.type,
                .cookie = ghost.cookie,
                .when_ns = ToNs(value.it_value) + (absolute ? 0 : state_.driver->NowNs()),
                .interval_ns = ToNs(value.it_interval)};
    timers_[id] = timer;
    state_.driver->ArmTimer(id, timer.when_ns);
  }
  if (settime.out_tmr != 0 && !caller.WriteMemory(settime.out_tmr, std::as_bytes(std::span(&old_value, 1)))) {
    return -EFAULT;
  }
  return 0;
}

void Ticker::TimerfdExpired(int id, uint64_t type, uint64_t cookie) {
  if (!state_.ValidCpu(id)) return;
  kernel_.messenger.TimerExpired(state_.cpus[static_cast<size_t>(id)], type, cookie);
}

}  // namespace ghost::usermode
