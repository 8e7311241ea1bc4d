// TaskBase: what every policy's task has in common, and the one table of legal state changes.
//
// A policy derives its own Task and adds what it needs (a hook for its run queue, a deadline, …). The fields here are
// written by runtimes only; policies read them. In a per-CPU runtime a task belongs to one CPU at a time, its home: the
// CPU to whose queue its messages go; only that CPU's agent touches it (lib/per_cpu_runtime.h says how it changes
// home). In a centralized one all tasks are the global agent's; a task's home is the CPU that it was given last.
//
//     new --> blocked <-> runnable <--> queued --> on cpu        any --> gone
//      |        |            ^            ^  ^        | |
//      +--------|------------+            |  +--------+ |        to queued: woken, preempted, yielded
//               +-------------------------+             |
//               ^                                       |        to runnable: it needs a place first
//               +---------------------------------------+
//
// Threads: see above. No allocation.
#ifndef GHOST_LIB_TASK_H_
#define GHOST_LIB_TASK_H_

#include <cstdint>

#include "lib/base/cpu_set.h"
#include "lib/status_word.h"

namespace ghost {

enum class TaskState : uint8_t {
  kNew,       // its TASK_NEW is being handled
  kBlocked,   // asleep
  kRunnable,  // wants a CPU but is in no run queue: on its way to another CPU
  kQueued,    // in its policy's run queue
  kOnCpu,     // a transaction for it succeeded and no message has said otherwise
  kGone,      // dead or departed
};
inline constexpr int kNumTaskStates = 6;

const char* TaskStateName(TaskState state);

// The table of legal changes: row `from`, bit `to`. One word, so that asking it is a shift.
inline constexpr uint64_t kLegalChanges =
    uint64_t{0b110110} << 8 * static_cast<int>(TaskState::kNew) |
    uint64_t{0b111110} << 8 * static_cast<int>(TaskState::kBlocked) |   // on cpu, and blocked again: switchto
    uint64_t{0b101010} << 8 * static_cast<int>(TaskState::kRunnable) |  // blocked: killed while it waited (ghostd)
    uint64_t{0b010100} << 8 * static_cast<int>(TaskState::kQueued) |
    uint64_t{0b101110} << 8 * static_cast<int>(TaskState::kOnCpu) |
    uint64_t{0b000000} << 8 * static_cast<int>(TaskState::kGone);

constexpr bool IsLegal(TaskState from, TaskState to) {
  return ((kLegalChanges >> (8 * static_cast<int>(from) + static_cast<int>(to))) & 1) != 0;
}

// Whether it wants a CPU, or has one.
constexpr bool CountsAsRunnable(TaskState state) {
  constexpr uint32_t kRunnableStates = 0b011100;
  return ((kRunnableStates >> static_cast<int>(state)) & 1) != 0;
}

class TaskBase {
 public:
  TaskBase() { SetGtid(0); }
  TaskBase(const TaskBase&) = delete;
  TaskBase& operator=(const TaskBase&) = delete;

  int64_t gtid() const { return gtid_; }
  int64_t parent_gtid() const { return parent_gtid_; }  // 0: unknown
  int nice() const { return nice_; }
  TaskState state() const { return state_; }
  // The CPU that it last was placed on; -1: none yet.
  int home() const { return home_; }
  // Where it may run: its own affinity within the enclave's CPUs (all of them, if the two do not meet).
  const CpuSet& allowed() const { return allowed_; }
  const StatusWord& status_word() const { return status_word_; }
  // The barrier of the last message seen: what a transaction for it must name.
  uint32_t seqnum() const { return seqnum_; }
  // ns on CPU as of the last message that said so.
  uint64_t runtime_ns() const { return runtime_ns_; }
  // While it waits: a CPU may take it by itself (lib/pnt_ring.h).
  bool in_ring() const { return slot_ != kNoSlot; }

 private:
  template <typename Policy>
  friend class PerCpuRuntime;
  template <typename Policy>
  friend class CentralizedRuntime;
  template <typename Task>
  friend class TaskKeeper;
  template <typename Task>
  friend class TaskPool;
  friend class PntRing;
  friend class TaskIndex;
  friend class TaskList;
  friend class TaskMailbox;
  friend class TasksAtHome;
  friend class TaskTestPeer;

  // Other CPUs look at it, too, when a task of theirs has the thread id of one that is dead (TaskIndex::Find).
  void SetGtid(int64_t gtid) { __atomic_store_n(&gtid_, gtid, __ATOMIC_RELAXED); }
  int64_t gtid_;
  uint32_t seqnum_ = 0;
  // What is special about where it is. In a per-CPU runtime, why it cannot just join the run queue; 0: it can.
  enum : uint8_t {
    kNeedsPlace = 1,     // its affinity is not known, or has changed: ask where it goes when it can run
    kWaitsForPlace = 2,  // it stands in a list of tasks that upkeep has to place, or to read the affinity of
    kInMailbox = 4,      // handed to its home, which has not taken it yet
    kPutBack = 8,        // centralized: it is being taken off its CPU, as its policy wished
    kPending = 16,       // centralized: a transaction for it is open, and what came of it has not been read
  };
  TaskState state_ = TaskState::kNew;
  uint8_t place_ = kNeedsPlace;
  uint8_t join_reason_ = 0;  // the EnqueueReason that it takes along to another CPU
  int home_ = -1;
  int wanted_cpu_ = -1;  // where it goes when it is placed; -1: that is to be asked
  int nice_ = 0;
  static constexpr int kNoSlot = -1;
  int slot_ = kNoSlot;  // centralized: of the PNT rings; only while it is queued
  uint64_t runtime_ns_ = 0;
  StatusWord status_word_;
  TaskBase* next_ = nullptr;          // in a TaskList, a TaskMailbox or the pool
  TaskBase* next_of_pid_ = nullptr;   // in TaskIndex
  TaskBase* next_at_home_ = nullptr;  // in its home's list of all its tasks
  TaskBase* previous_at_home_ = nullptr;
  int64_t parent_gtid_ = 0;
  CpuSet allowed_;
};

}  // namespace ghost

#endif  // GHOST_LIB_TASK_H_
