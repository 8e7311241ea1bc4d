// How the CPUs of a PerCpuRuntime share work: see lib/per_cpu_runtime.h, which includes this file; nobody else does.
//
// What makes it that no CPU stays idle while a task that may run there waits: a CPU where somebody begins to wait first
// says so (a new version in its row, a bit among the crowded), then looks who is idle; one that runs out of tasks first
// says that it is idle, then looks who is crowded. One of the two sees the other.
//
// What bounds the disturbance: a crowded CPU is pinged by an idle one at most once for each version, and by one at a
// time.
#ifndef GHOST_LIB_PER_CPU_SHARE_INC_H_
#define GHOST_LIB_PER_CPU_SHARE_INC_H_

#include "lib/per_cpu_runtime.h"

namespace ghost {

// Tasks that one CPU gets at a time, CPUs that get some, crowded CPUs that are compared.
inline constexpr int kMostTasksGiven = 16;
inline constexpr int kMostTakers = 8;
inline constexpr int kMostCompared = 8;
inline constexpr int kMostTasksBalanced = 4;
// Between two times that a CPU compares its load with others'.
inline constexpr int64_t kBalanceIntervalNs = 20'000'000;

template <typename Policy>
bool PerCpuRuntime<Policy>::GivesToIdle() const {
  if constexpr (requires { policy_.GivesToIdle(); }) return policy_.GivesToIdle();
  return true;
}

// How many of its tasks have to wait.
template <typename Policy>
int PerCpuRuntime<Policy>::Spare(const CpuState& c) const {
  return static_cast<int>(c.row.runnable.value()) - (c.agent_word.boosted_priority() ? 0 : 1);
}

// In the pass: somebody waits who did not before. True: upkeep has to give some away.
template <typename Policy>
[[gnu::always_inline]] inline bool PerCpuRuntime<Policy>::TellOthers(CpuState& c) {
  c.row.version.fetch_add(1);
  if (!c.crowded) [[unlikely]] {
    c.crowded = true;
    board_.crowded().Add(c.cpu);
  }
  if (board_.idle().empty()) [[likely]]
    return false;
  return c.give_due = GivesToIdle();
}

// In the pass, from time to time. True: upkeep has to compare its load with others'.
template <typename Policy>
[[gnu::noinline]] bool PerCpuRuntime<Policy>::BalanceIsDue(CpuState& c, Time now) {
  if constexpr (kBalances) c.row.load.Add(policy_.Load(c.cpu) - c.row.load.value());
  c.balance_at = Time::FromNanoseconds(now.ns() + kBalanceIntervalNs);
  return c.balance_due = Spare(c) > 0;
}

// In the pass: it has nothing to run. True: upkeep has to ask for work.
template <typename Policy>
[[gnu::noinline]] bool PerCpuRuntime<Policy>::BecomeIdle(CpuState& c) {
  if (c.row.runnable.value() > 0) return false;  // one of ours has not left another CPU yet
  if (std::exchange(c.crowded, false)) board_.crowded().Remove(c.cpu);
  if constexpr (kBalances) c.row.load.Add(-c.row.load.value());
  if (!std::exchange(c.idle, true)) board_.idle().Add(c.cpu);
  if (!std::exchange(c.may_share, false) || !GivesToIdle() || board_.crowded().empty()) return false;
  return c.ask_due = true;
}

template <typename Policy>
[[gnu::noinline]] void PerCpuRuntime<Policy>::StopBeingIdle(CpuState& c) {
  c.idle = false;
  c.may_share = true;
  board_.idle().Remove(c.cpu);
}

template <typename Policy>
void PerCpuRuntime<Policy>::ShareWork(CpuState& c, Time now) {
  if (std::exchange(c.ask_due, false)) AskForWork(c);
  if (std::exchange(c.give_due, false) || c.row.asker.load(std::memory_order_relaxed) != CpuBoard::kNobody) {
    GiveAway(c, now);
  }
  if constexpr (kBalances) {
    if (std::exchange(c.balance_due, false)) Balance(c, now);
  }
}

// To idle CPUs, half of what waits to each: they share on.
template <typename Policy>
void PerCpuRuntime<Policy>::GiveAway(CpuState& c, Time now) {
  const auto give = [&](int to) {
    return GiveTo(c, to, std::min((Spare(c) + 1) / 2, kMostTasksGiven), INT64_MAX, now);
  };
  CpuSet left = cpus();
  if (const int asker = c.row.asker.exchange(CpuBoard::kNobody); asker != CpuBoard::kNobody) {
    left.Remove(asker);
    // It may ask the next one.
    if (give(asker) == 0) PingOrRetry(c, asker);
  }
  for (int takers = 0; takers < kMostTakers && Spare(c) > 0; ++takers) {
    const int to = board_.NearestIdle(c.cpu, left);
    if (to < 0) break;
    left.Remove(to);
    give(to);
  }
}

// Up to `count` of its queued tasks, each with a load of at most `most`, to another CPU. How many it were.
template <typename Policy>
int PerCpuRuntime<Policy>::GiveTo(CpuState& c, int to, int count, int64_t most, Time now) {
  int given = 0;
  while (given < count) {
    Task* task = policy_.PickToGive(c.cpu, to, most);
    if (task == nullptr) break;
    TakeOff(c, task);
    const int result = MoveTo(c, *cpus_[to], task);
    if (result == -ENOENT) continue;  // it is dying: it waits, in no queue, for the message that says so
    if (result < 0) {
      MakeRunnable(c, task, EnqueueReason::kCommitFailed, now);
      break;
    }
    ++given;
  }
  if (given > 0) PingOrRetry(c, to);
  return given;
}

template <typename Policy>
void PerCpuRuntime<Policy>::AskForWork(CpuState& c) {
  int busiest = -1;
  board_.VisitDomains(c.cpu, [&](const CpuSet& domain) {
    int64_t most = 1;
    int compared = 0;
    for (int cpu = board_.crowded().FirstIn(0, cpus(), domain); cpu >= 0 && compared < kMostCompared;
         cpu = board_.crowded().FirstIn(cpu + 1, cpus(), domain)) {
      const CpuBoard::Row& row = board_.row(cpu);
      if (row.version.load() == c.asked[cpu]) continue;  // it had nothing for us, and has nothing new
      ++compared;
      if (row.runnable.value() <= most) continue;
      most = row.runnable.value();
      busiest = cpu;
    }
    return busiest >= 0;
  });
  if (busiest < 0) return;
  CpuState& other = *cpus_[busiest];
  c.asked[busiest] = other.row.version.load();
  int nobody = CpuBoard::kNobody;
  // One who asks already brings it to give to all that are idle.
  if (!other.row.asker.compare_exchange_strong(nobody, c.cpu)) return;
  other.upkeep_due.store(true, std::memory_order_release);
  PingOrRetry(c, busiest);
}

// With the CPU that has the least load; and, as none of these tasks may be allowed there, with some others in turn.
template <typename Policy>
void PerCpuRuntime<Policy>::Balance(CpuState& c, Time now) {
  int lightest = c.cpu;
  for (int cpu : cpus()) {
    if (board_.row(cpu).load.value() < board_.row(lightest).load.value()) lightest = cpu;
  }
  if (lightest == c.cpu || BalanceWith(c, lightest, now)) return;
  for (int takers = 0; takers < kMostTakers; ++takers) {
    c.balance_with = cpus().Next(c.balance_with);
    if (c.balance_with < 0) c.balance_with = cpus().First();
    if (c.balance_with != c.cpu && BalanceWith(c, c.balance_with, now)) return;
  }
}

// As much as makes the two more equal. False: nothing.
template <typename Policy>
bool PerCpuRuntime<Policy>::BalanceWith(CpuState& c, int to, Time now) {
  const int64_t before = policy_.Load(c.cpu);
  int given = 0;
  while (given < kMostTasksBalanced && Spare(c) > 0) {
    const int64_t load = policy_.Load(c.cpu);
    // What it has got so far is not in its row yet.
    const int64_t difference = load - board_.row(to).load.value() - (before - load);
    if (difference < 2 || GiveTo(c, to, 1, difference / 2, now) == 0) break;
    ++given;
  }
  return given > 0;
}

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_SHARE_INC_H_
