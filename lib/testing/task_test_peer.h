// TaskTestPeer: sets what only runtimes may set of a task, for unit tests of policies with plain structs.
//
// Threads: one.
#ifndef GHOST_LIB_TESTING_TASK_TEST_PEER_H_
#define GHOST_LIB_TESTING_TASK_TEST_PEER_H_

#include <cstdint>

#include "lib/base/cpu_set.h"
#include "lib/task.h"

namespace ghost {

class TaskTestPeer {
 public:
  static void SetGtid(TaskBase* task, int64_t gtid) { task->SetGtid(gtid); }
  static void SetState(TaskBase* task, TaskState state) { task->state_ = state; }
  static void SetHome(TaskBase* task, int cpu) { task->home_ = cpu; }
  static void SetNice(TaskBase* task, int nice) { task->nice_ = nice; }
  static void SetRuntimeNs(TaskBase* task, uint64_t ns) { task->runtime_ns_ = ns; }
  static void SetAllowed(TaskBase* task, const CpuSet& cpus) { task->allowed_ = cpus; }
  static void SetStatusWord(TaskBase* task, const StatusWord& word) { task->status_word_ = word; }
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_TASK_TEST_PEER_H_
