// What a centralized policy is: a pure class that keeps all tasks in its own order and says, pass by pass, which CPU
// runs which.
//
// Pure: no I/O, no clock, no locks, no logging, no allocation. The runtime (lib/centralized_runtime.h) has one agent,
// the global agent, that spins on a CPU of its own; it reads all messages, keeps tasks' states, lets the policy fill a
// Plan, and commits it as one group. The same policy runs over a ghost kernel, over ghostd, in the simulation and in a
// unit test (Plan needs no kernel).
//
//     class CentralizedFifoPolicy {
//      public:
//       struct Task : TaskBase { … };                              // what it keeps per task
//       explicit CentralizedFifoPolicy(const PolicyConfig& config);
//       void Enqueue(Task* task, EnqueueReason reason, Time now);   // it wants a CPU
//       void Dequeue(Task* task);                                   // out of the middle: blocked, departed, dead
//       void Schedule(Plan<Task>& plan) {
//         while (!queue_.empty() && !plan.idle().empty()) plan.Assign(plan.idle().First(), PopFront());
//       }
//     };
//
// Optional members, called if they exist:
//       static constexpr bool kAsynchronous = true;          // the runtime does not wait for what comes of commits
//       void OnRunning(int cpu, Task* task, Time now);       // a commit of its succeeded
//       void OnStopped(int cpu, Task* task, Time now);       // it is off that CPU; Enqueue or OnBlocked follows, or
//                                                            // nothing more (gone)
//       void OnBlocked(Task* task, Time now);                // it went to sleep (runtime_ns is fresh)
//       void OnGone(Task* task);                             // it is dead or has left: its last call
//       void OnHint(Task* task, const WorkHint& hint, Time now);   // from its application (lib/work_hints.h)
//       void OnNiceChanged(Task* task);
//       void OnAffinityChanged(Task* task);                  // allowed() is the new one; it may be queued
//       std::vector<Tunable*> Tunables();                    // what may be set while it runs (lib/tunable.h)
//       void Describe(const Task& task, std::string* line);  // dumps; not in the pass
// A policy with options has `struct Options` and the constructor P(const PolicyConfig&, const Options&).
//
// A task is *queued* from Enqueue until the policy gives it to Plan::Assign or the runtime calls Dequeue. Where the
// policy keeps it meanwhile is its business. Every Assign ends in OnRunning, or in Enqueue(kCommitFailed), or (blocked,
// dead) in neither.
//
// Order: tasks that come back after one pass (deferred, or their commits failed) come in the reverse of the order in
// which they were assigned, so that a policy that puts each of them in front of its queue has them as they were.
//
// Threads: one, the global agent's, whichever CPU that is on.
#ifndef GHOST_LIB_CENTRALIZED_POLICY_H_
#define GHOST_LIB_CENTRALIZED_POLICY_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "boost/container/options.hpp"
#include "boost/container/static_vector.hpp"
#include "lib/base/cpu_set.h"
#include "lib/base/logging.h"
#include "lib/base/time.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/topology.h"

namespace ghost {

// Of something for each CPU at most. There is room for all, so that adding one is a store.
template <typename T>
using PerCpuList = boost::container::static_vector<
    T, CpuSet::kMaxCpus, boost::container::static_vector_options_t<boost::container::throw_on_overflow<false>>>;

// What Schedule sees of the CPUs, and what it decides. The CPU of the global agent, and those that another class has or
// that have no agent, are neither idle nor busy: they don't occur.
//
// The runtime (or a test) owns it, says what is so with Set… and reads what was planned; policies use the rest. All is
// O(1), but iterating. Cost of an unused CPU: none.
template <typename Task>
class Plan {
 public:
  explicit Plan(int num_cpus) : slots_(static_cast<size_t>(num_cpus)) {}

  // -- For policies --
  Time now() const { return now_; }
  // CPUs that can be given a task at once: none of ours runs there or is planned to.
  const CpuSet& idle() const { return idle_; }
  // The first of them on which the task may run; -1: none.
  int FirstIdleFor(const Task& task) const { return idle_.FirstIn(task.allowed()); }
  // The busy CPUs, in the order in which they got their tasks: the first has had it for the longest time. CPUs that
  // were planned for in this pass are not among them. -1: no more. NextBusy must be asked before its CPU is planned
  // for.
  int FirstBusy() const { return busy_.next; }
  int NextBusy(int cpu) const { return slots_[cpu].next; }
  // Whether it is among them.
  bool IsBusy(int cpu) const { return slots_[cpu].linked; }
  // The task of a busy CPU, and when it got it.
  Task* current(int cpu) const { return slots_[cpu].task; }
  Time since(int cpu) const { return slots_[cpu].since; }

  // `task`, which must be queued and may run there, is to run on `cpu`, idle or busy. A busy CPU's task is put back: it
  // comes by Enqueue(kSliceExpired) once the kernel has taken it off.
  // False: the kernel knows more of it than has been read so far, or it has not left its old CPU yet; nothing is
  // planned, `cpu` is as free as it was, and the task comes back by Enqueue(kCommitFailed) after this pass. In either
  // case it is out of the policy's hands: it must not be in a queue of its.
  bool Assign(int cpu, Task* task) {
    GHOST_DCHECK(task->allowed().empty() || task->allowed().Contains(cpu)) << task->gtid() << " on cpu " << cpu;
    if (!IsReady(*task)) {
      deferred_.push_back(task);
      return false;
    }
    Slot& slot = Take(cpu);
    slot.planned = task;
    return true;
  }
  // The task of a busy CPU is to leave it, and comes by Enqueue(kSliceExpired).
  void Unschedule(int cpu) { Take(cpu); }
  // The application of `task` is to be told that it has work again (HintSource::SetHasWork), once the pass is over.
  void SetHasWork(Task* task) { have_work_.push_back(task); }
  // A pass is wanted at `when` at the latest, even if nothing happens until then. (The global agent passes all the
  // time; a simulation does not.)
  void LookAgain(Time when) {
    if (when < look_again_) look_again_ = when;
  }

  // -- For runtimes and tests --
  void SetIdle(int cpu) {
    Unlink(cpu);
    slots_[cpu].task = nullptr;
    idle_.Add(cpu);
  }
  // A CPU that was neither idle nor busy, as it was planned for, has got a task.
  void SetBusy(int cpu, Task* task, Time since) {
    Slot& slot = slots_[cpu];
    GHOST_DCHECK(!slot.linked && !idle_.Contains(cpu)) << "cpu " << cpu << " is " << (slot.linked ? "busy" : "idle");
    slot.task = task;
    slot.since = since;
    LinkAfter(busy_.last, cpu);
  }
  // A busy CPU was planned for, but its task has kept it: it is where it was among the busy ones.
  void PutBackBusy(int cpu) {
    Slot& slot = slots_[cpu];
    int after = -1;  // those that were planned for are mostly those that had their tasks for the longest time
    for (int other = busy_.next; other >= 0 && slots_[other].since < slot.since; other = slots_[other].next) {
      after = other;
    }
    LinkAfter(after, cpu);
  }
  // The current task of a CPU that has been planned for has left it by itself.
  void ForgetCurrent(int cpu) { slots_[cpu].task = nullptr; }
  // Nothing can be done about it.
  void SetUnavailable(int cpu) {
    Unlink(cpu);
    idle_.Remove(cpu);
    slots_[cpu].task = nullptr;
  }
  void BeginPass(Time now) {
    now_ = now;
    look_again_ = Time::Infinite();
    planned_.clear();
    deferred_.clear();
    have_work_.clear();
  }
  // The CPUs that were planned for, in that order; each is neither idle nor busy until it is set to be. planned(cpu) is
  // the task that it gets, or null: only its current(cpu), if any, leaves it.
  const auto& planned_cpus() const { return planned_; }
  Task* planned(int cpu) const { return slots_[cpu].planned; }
  const std::vector<Task*>& deferred() const { return deferred_; }
  const std::vector<Task*>& have_work() const { return have_work_; }
  Time look_again() const { return look_again_; }
  // deferred() and have_work() hold up to this many without allocating.
  void Reserve(size_t num_tasks) {
    deferred_.reserve(num_tasks);
    have_work_.reserve(num_tasks);
  }

 private:
  struct Slot {
    Task* task = nullptr;
    Task* planned = nullptr;
    Time since;
    int next = -1;
    int previous = -1;
    bool linked = false;
  };
  struct Ends {
    int next = -1;
    int last = -1;
  };

  // Whether a transaction for it can succeed, as far as can be seen: no message of its is unread, and it is off every
  // CPU.
  static bool IsReady(const Task& task) {
    const StatusWord& word = task.status_word();
    return !word.valid() || (word.barrier() == task.seqnum() && !word.on_cpu());
  }
  [[gnu::always_inline]] Slot& Take(int cpu) {
    Slot& slot = slots_[cpu];
    GHOST_DCHECK(slot.linked || idle_.Contains(cpu)) << "cpu " << cpu << " is not to be had";
    slot.planned = nullptr;
    if (slot.linked) {
      Unlink(cpu);
    } else {
      idle_.Remove(cpu);
    }
    planned_.push_back(cpu);
    return slot;
  }
  // -1: first of all.
  void LinkAfter(int after, int cpu) {
    Slot& slot = slots_[cpu];
    slot.linked = true;
    slot.previous = after;
    int& next = after < 0 ? busy_.next : slots_[after].next;
    slot.next = next;
    (next < 0 ? busy_.last : slots_[next].previous) = cpu;
    next = cpu;
  }
  void Unlink(int cpu) {
    Slot& slot = slots_[cpu];
    if (!slot.linked) return;
    slot.linked = false;
    (slot.previous < 0 ? busy_.next : slots_[slot.previous].next) = slot.next;
    (slot.next < 0 ? busy_.last : slots_[slot.next].previous) = slot.previous;
  }

  Time now_;
  Time look_again_ = Time::Infinite();
  CpuSet idle_;
  Ends busy_;
  std::vector<Slot> slots_;  // by cpu
  PerCpuList<int> planned_;  // CPUs
  std::vector<Task*> deferred_;
  std::vector<Task*> have_work_;
};

template <typename P>
concept CentralizedPolicy = std::derived_from<typename P::Task, TaskBase> &&
    std::default_initializable<typename P::Task> &&
    requires(P policy, typename P::Task* task, Plan<typename P::Task>& plan) {
  policy.Enqueue(task, EnqueueReason::kNew, Time());
  policy.Dequeue(task);
  policy.Schedule(plan);
};

}  // namespace ghost

#endif  // GHOST_LIB_CENTRALIZED_POLICY_H_
