// TaskBase: what every policy's task has in common, and the one table of legal state changes.
//
// A policy derives its own Task and adds what it needs (a hook for its run queue, a deadline, …). The fields here are
// written by runtimes only; policies read them. A task belongs to one CPU at a time, its home: the CPU to whose queue
// its messages go; only that CPU's agent touches it (lib/per_cpu_runtime.h says how it changes home).
//
//     new --> blocked --> runnable <--> queued --> on cpu        any --> gone
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

// The table.
constexpr bool IsLegal(TaskState from, TaskState to) {
  constexpr uint8_t kNext[kNumTaskStates] = {
      /* new      */ 0b110110,
      /* blocked  */ 0b111110,  // on cpu, and blocked again: another task gave it its CPU (switchto)
      /* runnable */ 0b101000,
      /* queued   */ 0b010100,
      /* on cpu   */ 0b101110,
      /* gone     */ 0b000000,
  };
  return ((kNext[static_cast<int>(from)] >> static_cast<int>(to)) & 1) != 0;
}

class TaskBase {
 public:
  TaskBase() = default;
  TaskBase(const TaskBase&) = delete;
  TaskBase& operator=(const TaskBase&) = delete;

  int64_t gtid() const { return gtid_; }
  int64_t parent_gtid() const { return parent_gtid_; }  // 0: unknown
  int nice() const { return nice_; }
  TaskState state() const { return state_; }
  // The CPU that it last was placed on.
  int home() const { return home_; }
  // Where it may run: its own affinity within the enclave's CPUs (all of them, if the two do not meet).
  const CpuSet& allowed() const { return allowed_; }
  const StatusWord& status_word() const { return status_word_; }
  // The barrier of the last message seen: what a transaction for it must name.
  uint32_t seqnum() const { return seqnum_; }
  // ns on CPU as of the last message that said so.
  uint64_t runtime_ns() const { return runtime_ns_; }

 private:
  template <typename Policy>
  friend class PerCpuRuntime;
  template <typename Task>
  friend class TaskPool;
  friend class TaskIndex;
  friend class TaskList;
  friend class TaskMailbox;
  friend class TasksAtHome;
  friend class TaskTestPeer;

  int64_t gtid_ = 0;
  uint32_t seqnum_ = 0;
  TaskState state_ = TaskState::kNew;
  bool in_mailbox_ = false;       // handed to its home, which has not taken it yet
  bool needs_place_ = true;       // its affinity is not known, or has changed: ask where it goes when it can run
  bool waits_for_place_ = false;  // in its CPU's list of tasks to place
  int home_ = -1;
  int nice_ = 0;
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
