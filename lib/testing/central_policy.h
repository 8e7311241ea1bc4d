// CentralPolicy: the plainest centralized policy, for tests of what stands below policies. Tasks queue in the order of
// their coming, or as a test says; a test sees what the runtime told. CentralPolicyAsync is the same, asynchronous.
//
// Threads: as lib/centralized_policy.h says; what is static is a test's own business.
#ifndef GHOST_LIB_TESTING_CENTRAL_POLICY_H_
#define GHOST_LIB_TESTING_CENTRAL_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "boost/intrusive/list.hpp"
#include "lib/centralized_policy.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/work_hints.h"

namespace ghost {

class CentralPolicy {
 public:
  struct Task : TaskBase {
    boost::intrusive::list_member_hook<> link;
    EnqueueReason last_reason = EnqueueReason::kNew;
    int hints = 0;
  };

  explicit CentralPolicy(const PolicyConfig&) {}

  // What it does in its next passes, besides giving idle CPUs away: replaces the tasks of these CPUs (by the first in
  // the queue; if there is none, by none).
  static inline CpuSet replace;
  // Idle CPUs are left so.
  static inline bool hold = false;
  static inline Time look_again = Time::Infinite();
  // What the runtime told of which tasks: "run 1 100" (cpu, thread id), "stop 1 100", "block 100", "new 100" and other
  // reasons. Null: it is not written down.
  static inline std::vector<std::string>* log = nullptr;

  void Enqueue(Task* task, EnqueueReason reason, Time) {
    Log(absl::StrCat(EnqueueReasonName(reason), " ", Tid(*task)));
    task->last_reason = reason;
    queue_.insert(reason == EnqueueReason::kCommitFailed ? queue_.begin() : queue_.end(), *task);
  }
  void Dequeue(Task* task) { queue_.erase(queue_.iterator_to(*task)); }
  void Schedule(Plan<Task>& plan) {
    plan.LookAgain(look_again);
    for (int cpu = plan.FirstBusy(); cpu >= 0;) {
      const int next = plan.NextBusy(cpu);
      if (replace.Contains(cpu)) {
        Task* task = PopFor(cpu);
        if (task == nullptr) {
          plan.Unschedule(cpu);
        } else {
          plan.Assign(cpu, task);
        }
      }
      cpu = next;
    }
    if (hold) return;
    for (int cpu : plan.idle()) {
      if (Task* task = PopFor(cpu); task != nullptr) plan.Assign(cpu, task);
    }
  }
  void OnRunning(int cpu, Task* task, Time) { Log(absl::StrCat("run ", cpu, " ", Tid(*task))); }
  void OnStopped(int cpu, Task* task, Time) { Log(absl::StrCat("stop ", cpu, " ", Tid(*task))); }
  void OnBlocked(Task* task, Time) { Log(absl::StrCat("block ", Tid(*task))); }
  void OnGone(Task* task) { Log(absl::StrCat("gone ", Tid(*task))); }
  void OnNiceChanged(Task* task) { Log(absl::StrCat("nice ", Tid(*task), " ", task->nice())); }
  void OnAffinityChanged(Task* task) { Log(absl::StrCat("cpus ", Tid(*task), " ", ToCpuList(task->allowed()))); }
  void OnHint(Task* task, const WorkHint& hint, Time) {
    ++task->hints;
    Log(absl::StrCat("hint ", Tid(*task), " ", hint.qos));
  }

  size_t Length() const { return queue_.size(); }
  // The first task in the queue, or null.
  const Task* Front() const { return queue_.empty() ? nullptr : &queue_.front(); }

 private:
  static int64_t Tid(const Task& task) { return task.gtid() >> 41; }
  static void Log(std::string line) {
    if (log != nullptr) log->push_back(std::move(line));
  }
  Task* PopFor(int cpu) {
    for (Task& task : queue_) {
      if (!task.allowed().Contains(cpu)) continue;
      queue_.erase(queue_.iterator_to(task));
      return &task;
    }
    return nullptr;
  }

  boost::intrusive::list<Task, boost::intrusive::member_hook<Task, boost::intrusive::list_member_hook<>, &Task::link>>
      queue_;
};

class CentralPolicyAsync : public CentralPolicy {
 public:
  static constexpr bool kAsynchronous = true;
  using CentralPolicy::CentralPolicy;
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_CENTRAL_POLICY_H_
