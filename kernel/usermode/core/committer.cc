#include "kernel/usermode/core/committer.h"

#include <array>
#include <cstring>

#include "kernel/usermode/core/kernel.h"
#include "lib/base/shared_word.h"

namespace ghost::usermode {
namespace {

constexpr uint16_t kKnownRunFlags = RTLA_ON_PREEMPT | RTLA_ON_BLOCKED | RTLA_ON_YIELD | RTLA_ON_IDLE | NEED_L1D_FLUSH |
                                    NEED_CPU_NOT_IDLE | ELIDE_PREEMPT | SEND_TASK_ON_CPU |
                                    DEFER_LATCHED_PREEMPTION_BY_AGENT | DO_NOT_PREEMPT;
constexpr uint8_t kCommitPoints = COMMIT_AT_SCHEDULE | COMMIT_AT_TXN_COMMIT;
constexpr uint8_t kKnownCommitFlags =
    kCommitPoints | ALLOW_TASK_ONCPU | ELIDE_AGENT_BARRIER_INC | INC_AGENT_BARRIER_ON_FAILURE;

constexpr int32_t kGood = 0;  // no verdict against it (yet)

uint8_t CommitFlags(const Cpu& cpu) { return LoadShared<Order::kRelaxed>(cpu.txn->commit_flags); }

bool IsReady(const Cpu& cpu) {
  return cpu.txn != nullptr && LoadShared<Order::kAcquire>(cpu.txn->state) == GHOST_TXN_READY;
}

// The CPUs of `mask` from the one after `own` on, round to `own`, which is thus the last.
template <typename Visitor>
void ForEachOwnLast(const CpuSet& mask, int own, int num_cpus, Visitor visit) {
  for (int cpu = mask.Next(own); cpu >= 0 && cpu < num_cpus; cpu = mask.Next(cpu)) visit(cpu);
  for (int cpu = mask.First(); cpu >= 0 && cpu <= own; cpu = mask.Next(cpu)) visit(cpu);
}

}  // namespace

Committer::Committer(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

bool Committer::HasGreedy(const Cpu& cpu) const { return IsReady(cpu) && (CommitFlags(cpu) & kCommitPoints) == 0; }

bool Committer::Commit(const CpuSet& mask, const Committing& by) {
  bool failed = false;
  bool leave_cpu = false;
  CpuSet greedy;
  ForEachOwnLast(mask, by.cpu, static_cast<int>(state_.cpus.size()), [&](int id) {
    Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
    if (!IsReady(cpu)) return;
    const bool own = id == by.cpu;
    if (const uint8_t flags = CommitFlags(cpu); !own && (flags & COMMIT_AT_TXN_COMMIT) == 0) {
      if ((flags & kCommitPoints) == 0) greedy.Add(id);
      return;
    }
    Attempt attempt{.by = &by};
    if (!Claim(cpu, by.cpu, &attempt)) {
      failed = true;
      return;
    }
    if (own && failed) return Publish(cpu, GHOST_TXN_POISONED);
    const int32_t verdict = Run(attempt);
    Publish(cpu, verdict);
    if (verdict != GHOST_TXN_COMPLETE) {
      failed = true;
    } else if (attempt.local_run) {
      leave_cpu = true;
    } else if (attempt.resched) {
      kernel_.scheduler.Resched(cpu);
    }
  });
  for (int cpu : greedy) kernel_.scheduler.Resched(state_.cpus[static_cast<size_t>(cpu)]);
  return leave_cpu;
}

bool Committer::CommitGroup(const CpuSet& mask, const Committing& by, bool* all) {
  CpuSet group;  // claimed, then: committed
  bool failed = false;
  bool leave_cpu = false;
  for (int id = mask.First(); id >= 0 && state_.ValidCpu(id); id = mask.Next(id)) {
    Attempt unused;
    if (Claim(state_.cpus[static_cast<size_t>(id)], by.cpu, &unused)) {
      group.Add(id);
    } else {
      failed = true;
    }
  }
  std::array<int64_t, CpuSet::kMaxCpus> gtids;  // what each committed
  const CpuSet claimed = group;
  ForEachOwnLast(claimed, by.cpu, static_cast<int>(state_.cpus.size()), [&](int id) {
    Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
    Attempt attempt{.cpu = &cpu, .claimer = by.cpu, .by = &by};
    ReadShared(&attempt.txn, cpu.txn, sizeof(attempt.txn));
    int32_t verdict = GHOST_TXN_POISONED;
    if (!failed) {
      verdict = Run(attempt);
    } else if ((attempt.txn.commit_flags & INC_AGENT_BARRIER_ON_FAILURE) != 0) {
      ++cpu.agent_barrier;
    }
    if (verdict != GHOST_TXN_COMPLETE) {
      failed = true;
      group.Remove(id);
      return Publish(cpu, verdict);
    }
    gtids[static_cast<size_t>(id)] = attempt.txn.gtid;
    if (attempt.local_run) {
      leave_cpu = true;
    } else if (attempt.resched) {
      kernel_.scheduler.Resched(cpu);
    }
  });
  for (int id : group) {
    Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
    if (failed) {
      Poison(cpu, gtids[static_cast<size_t>(id)]);
    } else {
      StoreShared<Order::kRelease>(cpu.txn->sync_group_owner, int32_t{GHOST_TXN_NO_OWNER});
    }
    Publish(cpu, failed ? GHOST_TXN_POISONED : GHOST_TXN_COMPLETE);
  }
  for (CoreObserver* observer : state_.observers) observer->OnGroup(claimed, !failed);
  *all = !failed;
  return leave_cpu;
}

void Committer::Poison(Cpu& cpu, int64_t gtid) {
  if (cpu.latched != nullptr && cpu.latched->gtid == gtid) {
    kernel_.scheduler.DropLatch(*cpu.latched);
    // What ran there has been replaced, all the same; its TASK_PREEMPT comes.
    cpu.must_resched = true;
  } else if (cpu.current != nullptr && cpu.current->gtid == gtid) {
    cpu.must_resched = true;  // ALLOW_TASK_ONCPU: it ran there already, and is forced off without a message
    cpu.ignore_prev_preemption = true;
  }
  kernel_.scheduler.Resched(cpu);
}

void Committer::CommitAsync(Cpu& cpu, bool at_schedule) {
  if (!IsReady(cpu) || cpu.last_async_commit == kernel_.scheduler.round()) return;
  const uint8_t point = CommitFlags(cpu) & kCommitPoints;
  if (point != 0 && !(at_schedule && point == COMMIT_AT_SCHEDULE)) return;
  Attempt attempt;
  if (!Claim(cpu, cpu.id, &attempt)) return;
  cpu.last_async_commit = kernel_.scheduler.round();
  Publish(cpu, Run(attempt));
  // The schedule that is under way sees the latch; a preemption that the commit caused may ask for another.
}

void Committer::KillReady(Cpu& cpu) {
  Attempt attempt;
  if (Claim(cpu, cpu.id, &attempt)) Publish(cpu, GHOST_TXN_NO_AGENT);
}

void Committer::Reset(Cpu& cpu) {
  std::memset(static_cast<void*>(cpu.txn), 0, sizeof(*cpu.txn));
  cpu.txn->version = GHOST_TXN_VERSION;
  cpu.txn->cpu = cpu.id;
  cpu.txn->sync_group_owner = GHOST_TXN_NO_OWNER;
  StoreShared<Order::kRelease>(cpu.txn->state, int32_t{GHOST_TXN_COMPLETE});
}

bool Committer::Claim(Cpu& cpu, int claimer, Attempt* attempt) {
  if (cpu.txn == nullptr) return false;
  int32_t expected = GHOST_TXN_READY;
  if (!ExchangeShared(cpu.txn->state, &expected, int32_t{claimer})) return false;
  for (CoreObserver* observer : state_.observers) observer->OnClaim(cpu.id);
  attempt->cpu = &cpu;
  attempt->claimer = claimer;
  ReadShared(&attempt->txn, cpu.txn, sizeof(attempt->txn));  // once: an agent may go on writing
  return true;
}

void Committer::Publish(Cpu& cpu, int32_t state) {
  PutShared(cpu.txn->commit_time, decltype(cpu.txn->commit_time){state_.driver->NowNs()});
  StoreShared<Order::kRelease>(cpu.txn->state, state);
  for (CoreObserver* observer : state_.observers) observer->OnOutcome(cpu.id, state);
  ++(state == GHOST_TXN_COMPLETE ? cpu.status.commits : cpu.status.failed_commits);
  ++cpu.enclave->counters.commits[static_cast<size_t>(int64_t{state} - GHOST_TXN_COMPLETE)];
}

int32_t Committer::Run(Attempt& attempt) {
  const int32_t verdict = Judge(attempt);
  if (verdict == kGood) {
    Apply(attempt);
    return GHOST_TXN_COMPLETE;
  }
  if (attempt.flags_read && (attempt.txn.commit_flags & INC_AGENT_BARRIER_ON_FAILURE) != 0) {
    ++attempt.cpu->agent_barrier;
  }
  return verdict;
}

int32_t Committer::Judge(Attempt& attempt) {
  const ghost_txn& txn = attempt.txn;
  if (txn.state != attempt.claimer) return GHOST_TXN_INVALID_CPU;
  if (txn.version != GHOST_TXN_VERSION) return GHOST_TXN_UNSUPPORTED_VERSION;
  if (txn.cpu != attempt.cpu->id) return GHOST_TXN_INVALID_CPU;
  if ((txn.run_flags & ~kKnownRunFlags) != 0 || ((txn.run_flags & RTLA_ON_IDLE) != 0 && txn.gtid < 0) ||
      ((txn.run_flags & NEED_CPU_NOT_IDLE) != 0 && txn.gtid != GHOST_IDLE_GTID) ||
      (txn.gtid == GHOST_AGENT_GTID && txn.run_flags != 0)) {
    return GHOST_TXN_INVALID_FLAGS;
  }
  attempt.flags_read = true;
  if (int32_t verdict = JudgeFlags(txn); verdict != kGood) return verdict;
  if (!attempt.cpu->online) return GHOST_TXN_CPU_OFFLINE;
  if (int32_t verdict = JudgeTarget(attempt); verdict != kGood) return verdict;
  return JudgeCpu(attempt);
}

int32_t Committer::JudgeFlags(const ghost_txn& txn) const {
  const uint8_t flags = txn.commit_flags;
  constexpr uint8_t kEither = ELIDE_AGENT_BARRIER_INC | INC_AGENT_BARRIER_ON_FAILURE;
  const bool bad =
      (flags & ~kKnownCommitFlags) != 0 || (flags & kCommitPoints) == kCommitPoints || (flags & kEither) == kEither;
  return bad ? static_cast<int32_t>(GHOST_TXN_INVALID_FLAGS) : kGood;
}

int32_t Committer::JudgeTarget(Attempt& attempt) {
  const ghost_txn& txn = attempt.txn;
  if (txn.gtid > 0) return JudgeTask(attempt);
  if (txn.gtid < GHOST_IDLE_GTID) return GHOST_TXN_INVALID_TARGET;
  if (txn.gtid == GHOST_IDLE_GTID && (txn.commit_flags & ALLOW_TASK_ONCPU) == 0 && attempt.cpu->IsIdle()) {
    return GHOST_TXN_TARGET_ONCPU;
  }
  return kGood;
}

int32_t Committer::JudgeTask(Attempt& attempt) {
  const ghost_txn& txn = attempt.txn;
  Cpu& cpu = *attempt.cpu;
  Task* task = state_.FindTask(txn.gtid);
  if (task == nullptr) {
    // One that has departed: the agent may not have read of it yet.
    if (Identity* identity = state_.identities.FindGtid(txn.gtid); identity != nullptr && identity->inhibited) {
      return GHOST_TXN_TARGET_STALE;
    }
    // An agent, or a thread that is not in ghost (any more); else nobody.
    return kernel_.tasks.ThreadExists(txn.gtid) ? GHOST_TXN_INVALID_TARGET : GHOST_TXN_TARGET_NOT_FOUND;
  }
  if (task->identity->inhibited || task->word.barrier() != txn.task_barrier) return GHOST_TXN_TARGET_STALE;
  if (task->state == TaskState::kBlocked) return GHOST_TXN_TARGET_NOT_RUNNABLE;
  if (kernel_.scheduler.IsOnCpu(*task)) {
    if ((txn.commit_flags & ALLOW_TASK_ONCPU) == 0 || task->cpu != cpu.id || task->state == TaskState::kEntering) {
      return GHOST_TXN_TARGET_ONCPU;
    }
    if (cpu.must_resched && task->preempting) return GHOST_TXN_TARGET_STALE;
  } else {
    task->cpu = cpu.id;  // it has moved and lost its latch even if a later test fails
  }
  kernel_.scheduler.DropLatch(*task);
  attempt.task = task;
  return kGood;
}

int32_t Committer::JudgeCpu(Attempt& attempt) {
  const ghost_txn& txn = attempt.txn;
  Cpu& cpu = *attempt.cpu;
  if (cpu.agent == nullptr) return GHOST_TXN_NO_AGENT;
  const bool ping = txn.gtid == GHOST_AGENT_GTID;
  const Committing* by = attempt.by;
  if (by != nullptr && by->agent == nullptr && !(ping && cpu.agent->tgid == by->tgid)) return GHOST_TXN_NOT_PERMITTED;
  const bool target_given = txn.gtid > 0 || txn.gtid == GHOST_IDLE_GTID;
  if (target_given) {
    const bool ghost_is_current = cpu.current != nullptr || cpu.AgentRuns();
    if ((txn.run_flags & DO_NOT_PREEMPT) != 0 && (ghost_is_current || cpu.HasLatch())) return GHOST_TXN_AGENT_STALE;
    if (cpu.other_class && !ghost_is_current) return GHOST_TXN_CPU_UNAVAIL;
  }
  if (by != nullptr && by->agent == cpu.agent && !ping) {
    kernel_.scheduler.RefreshBarrier(cpu);
    if (cpu.agent_barrier != txn.agent_barrier) return GHOST_TXN_AGENT_STALE;
    attempt.local_run = true;
    cpu.blocked_in_run = true;
  }
  return kGood;
}

void Committer::Apply(Attempt& attempt) {
  const ghost_txn& txn = attempt.txn;
  Cpu& cpu = *attempt.cpu;
  const bool idle = txn.gtid == GHOST_IDLE_GTID;
  const bool runs_already =
      (attempt.task != nullptr && kernel_.scheduler.IsOnCpu(*attempt.task)) || (idle && cpu.IsIdle());
  if (runs_already) {
    kernel_.scheduler.PreemptLatched(cpu);
    cpu.run_flags = txn.run_flags;
  } else {
    if ((txn.commit_flags & ELIDE_AGENT_BARRIER_INC) == 0) ++cpu.agent_barrier;
    if (txn.gtid == GHOST_AGENT_GTID) {
      ++cpu.agent_barrier;
      cpu.blocked_in_run = false;
      attempt.resched = attempt.by == nullptr || attempt.by->agent != cpu.agent;
    } else {
      kernel_.scheduler.Latch(cpu, attempt.task, idle, txn.run_flags);
      if (txn.gtid == GHOST_NULL_GTID) cpu.must_resched = true;
      attempt.resched = true;
    }
  }
  ++cpu.seqnum;
  PutShared(cpu.txn->cpu_seqnum, decltype(cpu.txn->cpu_seqnum){cpu.seqnum});
}

}  // namespace ghost::usermode
