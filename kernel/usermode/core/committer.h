// Transactions: claiming them, judging them, and latching what they ask for.
//
// A transaction lies in memory that agents write: it is claimed with one compare-and-swap, copied once, judged from the
// copy, and answered with one release store of its state. A hostile agent can only harm its own scheduling. What it is
// not: it starts nothing (scheduler.h does, in Settle). One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_COMMITTER_H_
#define GHOST_KERNEL_USERMODE_CORE_COMMITTER_H_

#include <cstdint>

#include "kernel/usermode/core/state.h"
#include "lib/base/cpu_set.h"

namespace ghost::usermode {

class Kernel;

class Committer {
 public:
  // Who calls COMMIT_TXN or SYNC_GROUP_TXN.
  struct Committing {
    Agent* agent = nullptr;  // the caller, if it is one
    Tid tgid = 0;
    int cpu = 0;  // where it runs
  };

  explicit Committer(Kernel& kernel);

  // COMMIT_TXN over the CPUs of `mask`, the caller's own last. True: the caller's agent has to leave its CPU.
  bool Commit(const CpuSet& mask, const Committing& by);
  // SYNC_GROUP_TXN: all or none. *all says which; the result as above.
  bool CommitGroup(const CpuSet& mask, const Committing& by, bool* all);
  // A commit by the CPU itself: of a transaction without a commit point ("greedy") or, if at_schedule, with
  // COMMIT_AT_SCHEDULE. One a CPU and Settle, so that an agent that keeps its transaction ready can't hold us.
  void CommitAsync(Cpu& cpu, bool at_schedule);
  // A ready transaction of a CPU whose agent changes fails with NO_AGENT.
  void KillReady(Cpu& cpu);
  // A CPU that joins an enclave starts with an unused transaction.
  void Reset(Cpu& cpu);

  // True if the CPU's transaction is ready and greedy.
  bool HasGreedy(const Cpu& cpu) const;

 private:
  // One claimed transaction: the copy, what it asks for, what came out.
  struct Attempt {
    Cpu* cpu = nullptr;
    ghost_txn txn = {};
    int claimer = 0;                 // the CPU in the state word
    const Committing* by = nullptr;  // null: asynchronous
    bool local_run = false;          // the caller's agent gives up its own CPU with this
    Task* task = nullptr;            // target, if gtid > 0
    bool flags_read = false;         // commit_flags may ask for a barrier bump on failure
    bool resched = false;
  };

  bool Claim(Cpu& cpu, int claimer, Attempt* attempt);
  // The verdict, COMPLETE if it has been carried out. Does not publish it.
  int32_t Run(Attempt& attempt);
  int32_t Judge(Attempt& attempt);
  int32_t JudgeFlags(const ghost_txn& txn) const;
  int32_t JudgeTarget(Attempt& attempt);
  int32_t JudgeTask(Attempt& attempt);
  int32_t JudgeCpu(Attempt& attempt);
  void Apply(Attempt& attempt);
  void Publish(Cpu& cpu, int32_t state);
  // Takes back what a member of a failed group has latched.
  void Poison(Cpu& cpu, int64_t gtid);

  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_COMMITTER_H_
