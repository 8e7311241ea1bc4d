// EDF: the earliest deadline first, within each quality of service.
//
//   * Applications tell of each piece of their work until when it is to be done, and how long it takes
//     (lib/work_hints.h). Of those who wait, the highest quality of service goes first; of these the earliest deadline;
//     of these whoever was interrupted, or woken by one that may wait for it; then whoever has to start first
//     (deadline - rest of the estimate); then who came first.
//   * A free CPU takes the first. If none is free, the first takes the CPU of the last of those who run, if that one's
//     quality of service is lower, or its deadline later. So on one CPU every deadline is met, if any order of work
//     meets all (Liu and Layland 1973).
//   * A task without work ("has_work" is false) gets no CPU although the kernel would let it run: its application
//     polls. Its CPU is taken away. If its work is repeating, it has work again at once, to be done within its period,
//     and its application is told so.
//   * The estimate is the application's; or, where it gives none, the mean of what work of its class has taken so far,
//     whichever task did it. It doubles whenever a piece of work has used it up.
//
// A task without hints has quality of service 0, no deadline (later than every other one) and always work: such tasks
// run in the order of their coming, until they block.
//
// What the public implementation does otherwise: it takes a CPU away only for a higher quality of service, and orders
// by deadline - rest of the estimate. Without preemption that helps long work to start in time; with it, it would be
// "least laxity first", where equals take the CPU from each other at every look. preempt_earlier_deadline=false gives
// both, and whoever was interrupted first of his quality of service (there: of all, so that he is in the way of a
// higher one).
//
// Pure: see lib/centralized_policy.h, which also says who calls it. Cost of a pass: O(decisions x log tasks), where
// only tasks with hints count, and O(CPUs) after a change while tasks wait that may not run everywhere.
#ifndef GHOST_SCHEDULERS_EDF_EDF_POLICY_H_
#define GHOST_SCHEDULERS_EDF_EDF_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "boost/intrusive/list.hpp"
#include "boost/intrusive/set.hpp"
#include "lib/affinity_groups.h"
#include "lib/base/time.h"
#include "lib/centralized_policy.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/tunable.h"
#include "lib/work_hints.h"

namespace ghost {

class EdfPolicy {
 public:
  struct Options {
    bool preempt_earlier_deadline = true;
  };

  enum class Place : uint8_t {
    kNowhere,  // not the policy's: asleep, or planned for a CPU
    kWaiting,  // for a CPU
    kPaused,   // it has no work
    kDone,     // its repeating work is done: it has work again at the next pass
    kRunning,  // and has work
    kLeaving,  // it runs without work
  };

  // What decides who is first: the lower.
  struct Key {
    uint64_t service = 0;  // the higher the quality, the lower
    int64_t when_ns = 0;   // deadline
    int64_t then_ns = 0;   // among equals
    int64_t order = 0;     // of coming
    friend bool operator<(const Key& a, const Key& b) {
      if (a.service != b.service) return a.service < b.service;
      if (a.when_ns != b.when_ns) return a.when_ns < b.when_ns;
      if (a.then_ns != b.then_ns) return a.then_ns < b.then_ns;
      return a.order < b.order;
    }
  };

  using Link = boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  using ListLink = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
  struct Task : TaskBase {
    WorkHint hint = {.deadline = Time::Infinite()};
    bool hinted = false;
    Place place = Place::kNowhere;
    bool boosted = false;     // it was interrupted, or somebody may wait for it
    int cpu = -1;             // kRunning, kLeaving
    int group = 0;            // kWaiting: in whose queue (AffinityGroups)
    Key key;                  // kWaiting, kRunning
    Time since;               // kRunning, kLeaving: up to when elapsed_ns counts
    int64_t elapsed_ns = 0;   // on CPUs, of this piece of work
    int64_t estimate_ns = 0;  // of this piece of work; 0: unknown
    Link link;                // kWaiting, kRunning: with hints
    ListLink list_link;       // the same without; kDone, kLeaving
    // Neither a deadline nor a quality of service above others'.
    bool is_last() const { return key.service == ~uint64_t{0} && key.when_ns == INT64_MAX; }
  };

  EdfPolicy(const PolicyConfig& config, const Options& options);

  void Enqueue(Task* task, EnqueueReason reason, Time now);
  void Dequeue(Task* task);
  void Schedule(Plan<Task>& plan) {
    if (!done_.empty()) StartRepeating(plan);
    if (!leaving_.empty()) TakeFromThoseWithoutWork(plan);
    if (!groups_.SomebodyWaits()) return;
    groups_.OfferEach(plan.idle(), [&](int cpu) { Give(plan, cpu, nullptr); });
    if (changed_) Preempt(plan);
  }
  void OnRunning(int cpu, Task* task, Time now);
  void OnStopped(int cpu, Task* task, Time now);
  void OnHint(Task* task, const WorkHint& hint, Time now);
  void OnAffinityChanged(Task* task);
  template <typename Visit>
  void ForEachWaiting(Visit visit) {
    groups_.VisitInOrder([&](int group) { return &queues_[group].First(); },
                         [&](int group, Task* task) { return queues_[group].After(task); },
                         [](const Task& a, const Task& b) { return a.key < b.key; }, visit);
  }
  std::vector<Tunable*> Tunables() { return {&preempt_earlier_deadline_}; }
  void Describe(const Task& task, std::string* line) const;

 private:
  struct ByKey {
    bool operator()(const Task& a, const Task& b) const { return a.key < b.key; }
  };
  using Tree =
      boost::intrusive::multiset<Task, boost::intrusive::member_hook<Task, Link, &Task::link>,
                                 boost::intrusive::compare<ByKey>, boost::intrusive::constant_time_size<false>>;
  using List = boost::intrusive::list<Task, boost::intrusive::member_hook<Task, ListLink, &Task::list_link>,
                                      boost::intrusive::constant_time_size<false>>;

  // Waiting or running tasks in order. Those without hints are the last, in the order of their coming: no tree is
  // needed for them.
  struct Queue {
    Tree hinted;
    List last;

    bool empty() const { return hinted.empty() && last.empty(); }
    Task& First() { return hinted.empty() ? last.front() : *hinted.begin(); }
    Task* After(Task* task);  // null: it is the last
    void Insert(Task* task);
    void Erase(Task* task);
  };

  bool by_deadline() const { return preempt_earlier_deadline_.Get() != 0; }
  Key KeyOf(const Task& task) const;
  // Whether a waiting task is to have the CPU of a running one.
  bool GoesBefore(const Task& waiting, const Task& running) const;

  // Its place in the order from now on; among equals the last, or the first.
  void ComesNow(Task* task, bool boosted);
  void Join(Task* task);
  void Leave(Task* task);
  void Pause(Task* task);
  void StartRunning(Task* task, Time now);
  // Takes a running task out of the policy's books, with its time counted.
  void StopRunning(Task* task, Time now);
  void StartPiece(Task* task);
  void FinishPiece(Task* task, Time now);

  // The parts of a pass.
  void StartRepeating(Plan<Task>& plan);
  void TakeFromThoseWithoutWork(Plan<Task>& plan);
  void Preempt(Plan<Task>& plan);
  // Gives the CPU of a running task to a waiting one that goes before it. False: it is no use to look at stronger ones.
  bool PreemptTask(Plan<Task>& plan, const Task& task);

  // The first task in order that may run on `cpu`, or null.
  Task* FirstAt(int cpu);
  // Gives `cpu` to the first that may run there, if it goes before `running` (null: in any case). False: nobody.
  bool Give(Plan<Task>& plan, int cpu, const Task* running);
  // Whether its CPU can be taken away: not if the runtime is at it already.
  static bool CanBeStopped(const Plan<Task>& plan, const Task& task) {
    return plan.IsBusy(task.cpu) && plan.current(task.cpu) == &task;
  }

  Tunable preempt_earlier_deadline_;
  AffinityGroups groups_;
  std::vector<Queue> queues_;  // by group
  int64_t first_order_ = 0, last_order_ = 0;
  Queue running_;
  List leaving_;
  List done_;
  bool changed_ = false;  // since Preempt has looked
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_EDF_EDF_POLICY_H_
