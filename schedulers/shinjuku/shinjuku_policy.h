// Shinjuku: requests share CPUs in slices of µs, so that short ones do not wait behind long ones (the policy of the
// ghOSt paper's §4.2, after "Shinjuku: Preemptive Scheduling for µsecond-scale Tail Latency", NSDI 2019).
//
//   * Tasks have a quality of service, from their application (lib/work_hints.h): higher goes first, always. 0 to 63
//   are
//     classes of their own, higher ones count as 63.
//   * Within a class they queue. A task's turn is one slice of CPU time. Who has had his turn, or yields, or starts a
//     new piece of work, goes to the back; who has some of it left (he slept, or somebody took the CPU from him) goes
//     in front. So nobody waits longer than one turn of each of the others, however often they wake each other.
//   * A free CPU takes the first task of the highest class. If none is free, a task takes the CPU of one of a lower
//     class; or, once the slice is used, of its own: of the one that has run for the longest time. Repeating tasks keep
//     their CPU among equals.
//   * A task without work ("has_work" is false) gets no CPU although the kernel would let it run: its application
//     polls. Its CPU is taken away. If its work is repeating, it has work again when its period has passed since it
//     last ran, and its application is told so.
//   * A new piece of work of a running task starts its slice anew, after those who wait in its class.
//
// A task without hints has quality of service 0 and always has work: ordinary programs share CPUs in turns.
//
// What the public implementation does otherwise: it sends whom a higher class displaces to the back, and whoever wakes
// in front of all who woke before, slice or not (so that two that wake each other keep a CPU for ever).
//
// Pure: see lib/centralized_policy.h, which also says who calls it. Cost of a pass: O(decisions), and O(CPUs) after a
// change while tasks wait that may not run everywhere.
#ifndef GHOST_SCHEDULERS_SHINJUKU_SHINJUKU_POLICY_H_
#define GHOST_SCHEDULERS_SHINJUKU_SHINJUKU_POLICY_H_

#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "boost/intrusive/set.hpp"
#include "lib/affinity_groups.h"
#include "lib/base/bits.h"
#include "lib/base/time.h"
#include "lib/centralized_policy.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/tunable.h"
#include "lib/work_hints.h"

namespace ghost {

class ShinjukuPolicy {
 public:
  static constexpr int kClasses = 64;
  // Shorter ones would be over before the kernel has switched.
  static constexpr int64_t kMinSliceNs = 1'000;

  struct Options {
    int64_t slice_ns = 50'000;  // INT64_MAX: none
  };

  enum class Place : uint8_t {
    kNowhere,  // not the policy's: asleep, or planned for a CPU
    kWaiting,  // for a CPU
    kPaused,   // it has no work
    kParked,   // it has no work until its period has passed
    kRunning,  // and has work
    kLeaving,  // it runs without work
  };

  using Link = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  using DueLink = boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  struct Task : TaskBase {
    WorkHint hint;
    Place place = Place::kNowhere;
    bool in_front = false;   // kWaiting: it has some of its turn left
    bool gives_way = false;  // kRunning: an equal may have the CPU, slice or not
    int cpu = -1;            // kRunning, kLeaving
    int group = 0;           // kWaiting: in whose queue (AffinityGroups)
    int64_t order = 0;       // kWaiting: among its class, across groups
    int64_t used_ns = 0;     // of its turn, when it last left a CPU
    Time since;              // kRunning, kLeaving: when it got the CPU, or new work
    Time last_run;           // when it last left a CPU
    Time due;                // kParked: when it has work again
    Link link;               // kWaiting, kRunning, kLeaving
    DueLink due_link;        // kParked
    int qos_class() const { return hint.qos < kClasses ? static_cast<int>(hint.qos) : kClasses - 1; }
    // kWaiting: the lowest goes first.
    auto rank() const { return std::make_tuple(-qos_class(), !in_front, order); }
  };

  ShinjukuPolicy(const PolicyConfig& config, const Options& options);

  void Enqueue(Task* task, EnqueueReason reason, Time now);
  void Dequeue(Task* task);
  void Schedule(Plan<Task>& plan) {
    if (!parked_.empty()) WakeParked(plan);
    if (!leaving_.empty()) TakeFromThoseWithoutWork(plan);
    if (!groups_.SomebodyWaits()) return;
    groups_.OfferEach(plan.idle(), [&](int cpu) { Give(plan, cpu, 0); });
    if (changed_ || plan.now() >= look_again_ || slice_ns_ != slice_.Get()) Preempt(plan);
    plan.LookAgain(look_again_);
    // Who gets a CPU now has used its slice then.
    if (!plan.planned_cpus().empty()) plan.LookAgain(plan.now().PlusNanoseconds(slice_ns_));
  }
  void OnRunning(int cpu, Task* task, Time now);
  void OnStopped(int cpu, Task* task, Time now);
  void OnHint(Task* task, const WorkHint& hint, Time now);
  void OnAffinityChanged(Task* task);
  template <typename Visit>
  void ForEachWaiting(Visit visit) {
    groups_.VisitInOrder([&](int group) { return &queues_[group].First(); },
                         [&](int group, Task* task) { return queues_[group].After(task); },
                         [](const Task& a, const Task& b) { return a.rank() < b.rank(); }, visit);
  }
  std::vector<Tunable*> Tunables() { return {&slice_}; }
  void Describe(const Task& task, std::string* line) const;

 private:
  using List = boost::intrusive::list<Task, boost::intrusive::member_hook<Task, Link, &Task::link>,
                                      boost::intrusive::constant_time_size<false>>;
  struct ByDue {
    bool operator()(const Task& a, const Task& b) const { return a.due < b.due; }
  };
  using DueSet =
      boost::intrusive::multiset<Task, boost::intrusive::member_hook<Task, DueLink, &Task::due_link>,
                                 boost::intrusive::compare<ByDue>, boost::intrusive::constant_time_size<false>>;

  // The waiting tasks of one affinity group.
  struct Queue {
    uint64_t classes = 0;  // those of which some wait
    // By class: who has some of his turn left, then the others.
    std::array<List, kClasses> front, back;

    Task& First() {
      const int highest = HighestBit(classes);
      return front[highest].empty() ? back[highest].front() : front[highest].front();
    }
    Task* After(Task* task);  // null: it is the last
  };

  // Where among those who wait: the back; behind the others that have some of their turn left; before all.
  enum class Where : uint8_t { kBack, kFront, kFirst };
  void Join(Task* task, Where where);
  void Leave(Task* task);
  void StartTurn(Task* task) {
    task->used_ns = 0;
    Join(task, Where::kBack);
  }
  void Pause(Task* task);
  void StartRunning(Task* task, Time now);

  // The parts of a pass.
  void WakeParked(Plan<Task>& plan);
  void TakeFromThoseWithoutWork(Plan<Task>& plan);
  void Preempt(Plan<Task>& plan);
  void PreemptLowerClasses(Plan<Task>& plan);
  void PreemptUsedSlices(Plan<Task>& plan, int qos_class);

  // The first task in order that may run on `cpu`, or null.
  Task* FirstAt(int cpu);
  // Gives `cpu` to the first that may run there, if it is of this class or higher. False: nobody.
  bool Give(Plan<Task>& plan, int cpu, int lowest_class);
  // Whether its CPU can be taken away: not if the runtime is at it already.
  static bool CanBeStopped(const Plan<Task>& plan, const Task& task) {
    return plan.IsBusy(task.cpu) && plan.current(task.cpu) == &task;
  }
  int HighestWaiting() const { return waiting_classes_ == 0 ? -1 : HighestBit(waiting_classes_); }

  Tunable slice_;
  int64_t slice_ns_;  // as of the last pass
  AffinityGroups groups_;
  std::vector<Queue> queues_;               // by group
  std::array<int, kClasses> waiting_ = {};  // how many, by class
  uint64_t waiting_classes_ = 0;
  int64_t first_order_ = 0, last_order_ = 0;
  std::array<List, kClasses> running_;  // by class, in the order of `since`; who gives way comes first
  uint64_t running_classes_ = 0;
  List leaving_;
  DueSet parked_;
  // Preempt need not look at running tasks again before this time, unless something has changed.
  Time look_again_ = Time::Infinite();
  bool changed_ = false;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_SHINJUKU_SHINJUKU_POLICY_H_
