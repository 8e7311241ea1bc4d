// AffinityGroups: which waiting tasks may run on which CPU, without looking at each of them.
//
// Tasks that may run on the same CPUs are a group, and a centralized policy keeps one run queue per group. What may run
// on a CPU next is then one of few heads of queues, however many tasks wait for other CPUs:
//
//     task->group = groups.Find(task->allowed());                 // Enqueue
//     queues[task->group].push_back(*task);
//     groups.SetWaiting(task->group, true);
//     …
//     groups.OfferEach(plan.idle(), [&](int cpu) {                // Schedule: no CPU is looked at in vain
//       Task* task = groups.FirstAt(cpu, [&](int group) -> Task& { return queues[group].front(); }, IsBefore);  …
//     });
//
// Group 0 has those that may run on every CPU: most. Each CPU has a group for those that may run nowhere else. Other
// sets share kShared - 1 groups; if tasks of that many sets wait at once, a task with one more set waits in the group
// of one CPU of its set. (It runs where it may, but is not seen by its other CPUs.)
//
// Threads: one. No allocation after the constructor. What is not told otherwise is O(1).
#ifndef GHOST_LIB_AFFINITY_GROUPS_H_
#define GHOST_LIB_AFFINITY_GROUPS_H_

#include <array>
#include <cstdint>
#include <iterator>
#include <type_traits>
#include <vector>

#include "lib/base/bits.h"
#include "lib/base/cpu_set.h"
#include "lib/base/logging.h"

namespace ghost {

// The one behind `task` in an intrusive queue, or null.
template <typename Queue, typename Task>
Task* NextIn(Queue& queue, Task* task) {
  const auto next = std::next(queue.iterator_to(*task));
  return next == queue.end() ? nullptr : &*next;
}

class AffinityGroups {
 public:
  static constexpr int kShared = 63;

  // `cpus`: all of the enclave's.
  explicit AffinityGroups(const CpuSet& cpus) : at_(cpus.Last() + 1, 1) { sets_[0] = cpus; }

  // Groups have numbers below this.
  int count() const { return kShared + static_cast<int>(at_.size()); }

  // The group of tasks that may run on `allowed`, which is not empty. It stays theirs while some of them wait.
  // O(groups); O(CPUs) if none of this set has waited for some time.
  int Find(const CpuSet& allowed) {
    if (allowed == sets_[0]) return 0;
    const int first = allowed.First();
    GHOST_DCHECK(first >= 0 && first < static_cast<int>(at_.size()));
    if (allowed.Next(first) < 0) return kShared + first;
    for (int group = 1; group < used_; ++group) {
      if (sets_[group] == allowed) return group;
    }
    const int group = TakeUnused();
    if (group < 0) return kShared + first;
    SetCpus(group, allowed);
    return group;
  }

  // Whether tasks wait in a group's queue.
  void SetWaiting(int group, bool waiting) {
    if (group >= kShared) {
      const int cpu = group - kShared;
      waiting ? pinned_.Add(cpu) : pinned_.Remove(cpu);
      group = kPinned;
      waiting = !pinned_.empty();
    }
    const uint64_t bit = uint64_t{1} << group;
    waiting_ = waiting ? waiting_ | bit : waiting_ & ~bit;
    if (group != 0) narrow_is_known_ = false;
  }
  bool SomebodyWaits() const { return waiting_ != 0; }
  // Whether some of them may not run on every CPU.
  bool SomebodyHasLessChoice() const { return (waiting_ & ~uint64_t{1}) != 0; }

  // Calls visit(group) for the groups in which tasks wait that may run on `cpu`.
  template <typename Visit>
  void ForEachAt(int cpu, Visit visit) const {
    for (uint64_t groups = waiting_ & at_[cpu]; groups != 0; groups &= groups - 1) visit(LowestBit(groups));
    if ((waiting_ >> kPinned) != 0 && pinned_.Contains(cpu)) [[unlikely]]
      visit(kShared + cpu);
  }

  // Of the tasks that head(group) returns for those groups, references, the one that goes before(a, b) all others;
  // null: there are none.
  template <typename Head, typename Before>
  [[gnu::always_inline]] auto* FirstAt(int cpu, Head head, Before before) const {
    std::remove_reference_t<decltype(head(0))>* first = nullptr;
    ForEachAt(cpu, [&](int group) {
      auto& task = head(group);
      if (first == nullptr || before(task, *first)) first = &task;
    });
    return first;
  }

  // Visits those who wait in the order of before(a, b), until visit(task) says false. first(group) and next(group,
  // task) give pointers to the tasks of a group's queue, in order; null at its end. O(groups) for each task.
  template <typename First, typename Next, typename Before, typename Visit>
  void VisitInOrder(First first, Next next, Before before, Visit visit) const {
    struct Head {
      int group;
      decltype(first(0)) task;
    };
    std::array<Head, kShared + CpuSet::kMaxCpus> heads;
    int count = 0;
    for (uint64_t groups = waiting_ & ~(uint64_t{1} << kPinned); groups != 0; groups &= groups - 1) {
      const int group = LowestBit(groups);
      heads[count++] = {group, first(group)};
    }
    for (int cpu : pinned_) heads[count++] = {kShared + cpu, first(kShared + cpu)};
    while (count > 0) {
      int least = 0;
      for (int i = 1; i < count; ++i) {
        if (before(*heads[i].task, *heads[least].task)) least = i;
      }
      Head& head = heads[least];
      if (!visit(*head.task)) return;
      head.task = next(head.group, head.task);
      if (head.task == nullptr) head = heads[--count];
    }
  }

  // Calls offer(cpu) for each CPU of `idle` that a waiting task may run on, until nobody waits. Those that only
  // group 0 can use come first: so it leaves the others to tasks that have less choice. `offer` may take CPUs out of
  // the set, and may be shown one that it has taken out. O(idle CPUs).
  template <typename Offer>
  [[gnu::always_inline]] void OfferEach(const CpuSet& idle, Offer offer) {
    SomebodyHasLessChoice() ? OfferByChoice(idle, offer) : OfferAll(idle, offer);
  }

 private:
  static constexpr int kPinned = kShared;  // in waiting_: all the groups of one CPU

  template <typename Offer>
  [[gnu::always_inline]] void OfferAll(const CpuSet& idle, Offer& offer) {
    for (int cpu : idle) {
      if (!SomebodyWaits()) return;
      offer(cpu);
    }
  }
  template <typename Offer>
  [[gnu::noinline]] void OfferByChoice(const CpuSet& idle, Offer& offer) {
    const CpuSet narrow = Narrow();
    if ((waiting_ & 1) != 0) OfferAll(idle - narrow, offer);
    OfferAll(idle & narrow, offer);
  }

  // Where waiting tasks that may not run on every CPU may run.
  const CpuSet& Narrow() {
    if (!narrow_is_known_) {
      narrow_ = pinned_;
      for (uint64_t groups = waiting_ & ~(uint64_t{1} | uint64_t{1} << kPinned); groups != 0; groups &= groups - 1) {
        narrow_ |= sets_[LowestBit(groups)];
      }
      narrow_is_known_ = true;
    }
    return narrow_;
  }

  // A group in which nobody waits, or -1. Sets that were used are kept as long as there is room.
  int TakeUnused() {
    if (used_ < kShared) return used_++;
    const uint64_t unused = ~(waiting_ | 1 | uint64_t{1} << kPinned);
    return unused == 0 ? -1 : LowestBit(unused);
  }
  void SetCpus(int group, const CpuSet& cpus) {
    const uint64_t bit = uint64_t{1} << group;
    for (int cpu : sets_[group]) at_[cpu] &= ~bit;
    for (int cpu : cpus) at_[cpu] |= bit;
    sets_[group] = cpus;
  }

  std::array<CpuSet, kShared> sets_;
  int used_ = 1;
  std::vector<uint64_t> at_;  // by cpu: the shared groups that may run there
  uint64_t waiting_ = 0;      // the shared groups in which tasks wait; and kPinned, if they do in others
  CpuSet pinned_;             // the CPUs in whose own group tasks wait
  CpuSet narrow_;
  bool narrow_is_known_ = true;
};

}  // namespace ghost

#endif  // GHOST_LIB_AFFINITY_GROUPS_H_
