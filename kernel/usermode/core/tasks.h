// Tasks from entry to exit: their states, and what each event of the driver means in messages.
//
//     tasks file ─> kEntering ──held──> kRunnable <──ready── kBlocked
//     fork ──────────────────────────>      │ latch, picked      ^
//                                       kRunning ────blocks──────┘    any state: exit, departure
//
// Events for tasks that are gone, or that do not fit the task's state, are normal (the driver's reports cross our
// requests) and ignored. What it is not: it starts and stops nothing itself (scheduler.h). One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_TASKS_H_
#define GHOST_KERNEL_USERMODE_CORE_TASKS_H_

#include <cstdint>

#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Tasks {
 public:
  explicit Tasks(Kernel& kernel);

  // A thread enters ghost, as through the `tasks` file. 0 or -errno.
  int Enter(Enclave& enclave, Tid tid, const Caller& caller);

  // The driver's events; see core.h.
  void OnGated(int64_t gtid);
  void OnYielded(int64_t gtid);
  void OnBlocked(int64_t gtid);
  void OnReady(int64_t gtid, const Core::Wakeup& wakeup);
  int64_t OnForked(int64_t parent, Tid child, uint64_t runtime_ns, int nice);
  void OnExited(int64_t gtid);
  void OnDeparted(int64_t gtid);
  void OnTidChanged(int64_t gtid, Tid tid);
  void OnAffinityChanged(int64_t gtid);
  void OnPriorityChanged(int64_t gtid, int nice);

  // TASK_NEW again for every task of the enclave.
  void Discover(Enclave& enclave);
  // Every task of a dying enclave leaves ghost.
  void Reap(Enclave& enclave);
  // The word of the stay before has been freed: messages flow again.
  void Uninhibit(Identity& identity);

  // Brings the run time of the task and its word up to date.
  void RefreshRuntime(Task& task);
  // Is this the gtid of a living thread that is no task (an agent, or an ordinary thread)?
  bool ThreadExists(int64_t gtid);

 private:
  void Tell(int64_t gtid, CoreObserver::TaskEvent event);
  Task& Add(Enclave& enclave, Identity& identity, StatusWord word, uint64_t runtime_ns, int nice);
  void Forget(Task& task);
  void Announce(Task& task);
  // An entering task is held, or asleep: its entry is complete.
  void Entered(Task& task, TaskState state);
  void Wake(Task& task, const Core::Wakeup& wakeup);
  // Takes it off its CPU, its latch, its waiting list. True if it was current.
  bool Withdraw(Task& task);
  void Depart(Task& task);

  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_TASKS_H_
