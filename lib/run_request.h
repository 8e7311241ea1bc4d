// RunRequest: the one transaction of a CPU, as userspace uses it.
//
// What it is: a typed hand on the ghost_txn in the CPU's cpu_data page: open (fill in and store READY), submit or
// commit (the ioctl), ask for the outcome. What it is not: it decides nothing and knows no tasks; OutcomeOf() is the
// one table of what each final state means to a runtime.
//
//     request.Open({.gtid = task->gtid(), .task_barrier = task->seqnum(), .agent_barrier = barrier,
//                   .commit_flags = COMMIT_AT_TXN_COMMIT});
//     switch (request.Commit()) { case Outcome::kRunning: … }
//
// Threads: one at a time per RunRequest (the agent of its CPU, or the global agent). No allocation, no lock; the only
// system calls are in Submit, Commit, LocalYield and Ping.
#ifndef GHOST_LIB_RUN_REQUEST_H_
#define GHOST_LIB_RUN_REQUEST_H_

#include <cstdint>

#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/base/shared_word.h"
#include "lib/kernel.h"

namespace ghost {

// What a transaction's final state means to whoever opened it.
enum class Outcome : uint8_t {
  kRunning,         // COMPLETE: the task is latched, or (NULL gtid) the CPU's task is on its way off
  kRetry,           // nothing wrong with the task: messages came meanwhile. Drain, decide again
  kTaskChanged,     // the task's state moved on; its message is on the way. Put it back, drain
  kTaskBusy,        // the task is still leaving another CPU. Put it back, try again
  kTaskGone,        // no such task: its DEAD or DEPARTED is on the way. Do not try again
  kCpuUnavailable,  // another class has the CPU, or it is offline or in no enclave
  kNoAgent,         // no agent on that CPU: the enclave is being torn down
  kKernelGone,      // the ioctl itself failed: enclave destroyed, or ghostd gone
  kInvalid,         // our bug: bad flags, bad target, …
};

// The table. `state` must be final (negative).
Outcome OutcomeOf(ghost_txn_state state);
const char* OutcomeName(Outcome outcome);
const char* TxnStateName(int32_t state);

class RunRequest {
 public:
  struct Options {
    int64_t gtid = GHOST_NULL_GTID;
    uint32_t task_barrier = 0;
    uint32_t agent_barrier = 0;
    uint8_t commit_flags = 0;  // 0: the target CPU commits when it next can
    uint16_t run_flags = 0;
    int sync_group_owner = GHOST_TXN_NO_OWNER;
  };

  RunRequest() = default;
  RunRequest(int cpu, ghost_txn* txn, KernelEnclave* enclave) : txn_(txn), enclave_(enclave), cpu_(cpu) {
    mask_.Add(cpu);
  }

  int cpu() const { return cpu_; }

  // Fills the transaction and opens it. The last one must be finished.
  [[gnu::always_inline]] void Open(const Options& options) {
    PutShared(txn_->version, decltype(txn_->version){GHOST_TXN_VERSION});
    PutShared(txn_->cpu, decltype(txn_->cpu){cpu_});
    PutShared(txn_->agent_barrier, decltype(txn_->agent_barrier){options.agent_barrier});
    PutShared(txn_->task_barrier, decltype(txn_->task_barrier){options.task_barrier});
    PutShared(txn_->run_flags, decltype(txn_->run_flags){options.run_flags});
    PutShared(txn_->commit_flags, decltype(txn_->commit_flags){options.commit_flags});
    PutShared(txn_->gtid, decltype(txn_->gtid){options.gtid});
    StoreShared<Order::kRelaxed>(txn_->sync_group_owner, options.sync_group_owner);
    StoreShared<Order::kRelease>(txn_->state, int32_t{GHOST_TXN_READY});
  }
  // A transaction that takes the CPU's current task off. Not for the caller's own CPU.
  void OpenUnschedule(uint32_t agent_barrier = 0) {
    Open({.agent_barrier = agent_barrier, .commit_flags = COMMIT_AT_TXN_COMMIT});
  }
  // Takes the transaction for the sync group of `owner` (the caller's CPU). False: another group holds it.
  bool TakeOwnership(int owner);
  void ReleaseOwnership() { StoreShared<Order::kRelease>(txn_->sync_group_owner, int32_t{GHOST_TXN_NO_OWNER}); }

  // The commit ioctl, without waiting for the outcome. 0 or -errno.
  int Submit() {
    ghost_ioc_commit_txn argument = {
        .mask_ptr = reinterpret_cast<uint64_t>(&mask_.words()), .mask_len = sizeof(mask_.words()), .flags = 0};
    return enclave_->Ioctl(GHOST_IOC_COMMIT_TXN, &argument);
  }
  // Submit, and the outcome. For the caller's own CPU: returns when the agent runs again.
  Outcome Commit() {
    if (int result = Submit(); result < 0) return Outcome::kKernelGone;
    return Finish();
  }
  // Waits (bounded, spinning) for a submitted transaction to finish; one that nobody takes is aborted.
  Outcome Finish() {
    int32_t now = state();
    return now == GHOST_TXN_COMPLETE ? Outcome::kRunning : FinishSlow(now);
  }
  // READY -> ABORTED. False: the kernel was faster.
  bool Abort();

  // Blocks the calling agent on its own CPU until a message, a ping, or the CPU's availability wakes it. Returns at
  // once with -ESTALE if `agent_barrier` has moved. `run_flags`: 0 or RTLA_ON_IDLE. 0 or -errno.
  int LocalYield(uint32_t agent_barrier, int run_flags = 0) {
    ghost_ioc_run argument = {.gtid = GHOST_NULL_GTID,
                              .agent_barrier = agent_barrier,
                              .task_barrier = 0,
                              .run_cpu = cpu_,
                              .run_flags = run_flags};
    return enclave_->Ioctl(GHOST_IOC_RUN, &argument);
  }
  // Wakes this CPU's agent (which must be in this process). 0 or -errno.
  int Ping();

  int32_t state() const { return LoadShared<Order::kAcquire>(txn_->state); }
  bool open() const { return state() == GHOST_TXN_READY; }
  bool claimed() const { return state() >= 0 && !open(); }
  bool committed() const { return state() < 0; }
  bool succeeded() const { return state() == GHOST_TXN_COMPLETE; }
  bool failed() const { return committed() && !succeeded(); }
  int64_t gtid() const { return txn_->gtid; }
  int64_t commit_time_ns() const { return txn_->commit_time; }
  uint64_t cpu_seqnum() const { return txn_->cpu_seqnum; }
  int sync_group_owner() const { return LoadShared<Order::kAcquire>(txn_->sync_group_owner); }

 private:
  Outcome FinishSlow(int32_t state);

  ghost_txn* txn_ = nullptr;
  KernelEnclave* enclave_ = nullptr;
  int cpu_ = -1;
  CpuSet mask_;
};

}  // namespace ghost

#endif  // GHOST_LIB_RUN_REQUEST_H_
