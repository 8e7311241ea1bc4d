// LinuxDriver where the gate sees only the scheduling calls of its own threads: what other programs change about a task
// (taskset, renice, chrt, ghostctl move --out) is found by looking.
//
// A call that leaves everything as it was cannot be found so. There is one that matters: sched_setscheduler to
// SCHED_OTHER is how a task is moved out of ghost, and SCHED_OTHER is what nearly all tasks have. So a task is
// SCHED_BATCH as long as it is one (the same weight and nice; it preempts nobody when it wakes), and the move shows.
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <utility>

#include "kernel/usermode/linux/linux_driver.h"

namespace ghost::usermode {
namespace {

// So many tasks are looked at so often: with 1000 tasks, a change is seen after 160 ms at most.
constexpr size_t kTasksAtOnce = 64;
constexpr int64_t kSweepNs = 10'000'000;

constexpr uint64_t kOnlyTimer = 0;

}  // namespace

void LinuxDriver::MarkPolicy(Task& task) {
  if (sweep_ == nullptr) return;
  sweep_->Arm(kOnlyTimer, NowNs() + kSweepNs);
  task.policy = sched_getscheduler(task.tid);
  if ((task.policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER) return;
  const int mark = SCHED_BATCH | (task.policy & SCHED_RESET_ON_FORK);
  const sched_param none = {};
  if (sched_setscheduler(task.tid, mark, &none) != 0) return;
  task.policy = mark;
  task.marked = true;
}

void LinuxDriver::UnmarkPolicy(Task& task) {
  if (!std::exchange(task.marked, false) || sched_getscheduler(task.tid) != task.policy) return;
  const sched_param none = {};
  sched_setscheduler(task.tid, SCHED_OTHER | (task.policy & SCHED_RESET_ON_FORK), &none);
}

void LinuxDriver::InheritPolicy(Task& child, const Task& parent) {
  child.policy = parent.policy;
  child.marked = parent.marked;
  child.nice = parent.nice;
}

void LinuxDriver::LookForChanges(Task& task) {
  const int policy = sched_getscheduler(task.tid);
  if (policy < 0) return;  // it is gone, and its end is on the way
  if (policy != task.policy) {
    OnSchedulingCall(task, SYS_sched_setscheduler, static_cast<uint64_t>(policy));
    return;
  }
  if (getpriority(PRIO_PROCESS, static_cast<id_t>(task.tid)) != task.nice) {
    OnSchedulingCall(task, SYS_setpriority, 0);
  }
  const CpuSet expected = task.pinned_cpu >= 0 ? CpuSet{task.pinned_cpu} : task.affinity;
  if (GetAffinity(task.tid) != expected) OnSchedulingCall(task, SYS_sched_setaffinity, 0);
}

void LinuxDriver::Sweep() {
  if (by_gtid_.empty()) return;  // the next task to come arms it again
  sweep_->Arm(kOnlyTimer, NowNs() + kSweepNs);
  // A task's own call is told of at its exit: looking now would tell of it twice.
  if (gate_->scheduling_call_under_way()) return;
  const size_t count = std::min(kTasksAtOnce, slots_used_);
  for (size_t i = 0; i < count; ++i) {
    if (sweep_slot_ >= slots_used_) sweep_slot_ = 0;
    Task* task = by_slot_[sweep_slot_++].get();
    if (task != nullptr && task->gtid != 0 && task->phase != Phase::kExited) LookForChanges(*task);
  }
}

}  // namespace ghost::usermode
