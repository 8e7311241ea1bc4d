// Completely fair scheduling, per CPU: who has had least of the CPU for his weight runs next.
//
//   vruntime   Each task's time on CPU, in ns, divided by its weight (1024 for nice 0, 1.25 times that for each step of
//              nice less). A run queue is ordered by it. Its min_vruntime, where its tasks stand, never goes back.
//   slice      A task that is picked goes on for its share, by weight, of `latency`, the period in which everybody runs
//              once; at least for min_granularity. With more tasks than latency / min_granularity the period stretches.
//              It gets shorter when others come. A timer ends it (Linux's HRTICK); ticks before that change nothing.
//   lag        So vruntimes lie within one latency, weighted by all: what a task would have had of a CPU that all share
//              at once, less what it has had, is within one of its slices to either side.
//   wake-up    One that wakes goes on from its own vruntime, but no further back than half a `latency` behind the
//              queue: who has slept long gets the CPU soon, not for long. It takes the CPU before the slice ends, if it
//              is behind the task that has it by more than wakeup_granularity.
//   new        It starts one slice to the right of the queue, but no further than whoever is last: who forks much does
//              not gain by it, and those who come together start together.
//   yield      To the right of all that wait, by up to one `latency`.
//   nice       Time run so far counts by the old weight, what follows by the new one.
//   placement  A task that wakes goes where it was, if nothing runs there; else to the nearest idle CPU (a whole idle
//              core before a half idle one, the same L3 cache before the same node before all); else it stays, unless
//              one of a few others that are looked at has clearly less to do.
//   balancing  CPUs that run out of tasks take over some of others'; and each gives to the one with the least weight
//              from time to time (both: lib/per_cpu_runtime.h).
//   migration  vruntimes of two CPUs do not compare: what goes along is the distance from min_vruntime, if the task is
//              ahead. One that is behind starts where the new queue stands: with credit from elsewhere, tasks that come
//              and go would starve those that stay.
//
// Pure: see lib/policy.h, which also says who calls it. Costs O(log n) in the tasks of a queue.
#ifndef GHOST_SCHEDULERS_CFS_CFS_POLICY_H_
#define GHOST_SCHEDULERS_CFS_CFS_POLICY_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "boost/intrusive/set.hpp"
#include "lib/base/time.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/tunable.h"
#include "schedulers/cfs/nice_weight.h"

namespace ghost {

class CfsPolicy {
 public:
  static constexpr bool kWantsTicks = true;
  static constexpr bool kTimelySlices = true;
  static constexpr bool kPlacesWakeups = true;

  struct Options {
    absl::Duration min_granularity = absl::Milliseconds(1);
    absl::Duration latency = absl::Milliseconds(10);
    absl::Duration wakeup_granularity = absl::Milliseconds(1);
    bool idle_load_balancing = true;
  };
  // What they may be, in ns.
  static constexpr int64_t kLeastPeriodNs = 10'000;
  static constexpr int64_t kGreatestGranularityNs = 100'000'000;
  static constexpr int64_t kGreatestLatencyNs = 10'000'000'000;

  struct Task : TaskBase {
    boost::intrusive::set_member_hook<> link;
    int64_t vruntime = 0;
    int64_t weight = kNice0Weight;
    uint64_t charged_ns = 0;  // runtime_ns(), as far as it is in vruntime
    enum class Origin : uint8_t {
      kNew,     // of vruntime: there is none yet
      kMoving,  // the min_vruntime of whatever queue it joins
      kQueue,   // that of its home's
    } origin = Origin::kNew;
  };

  CfsPolicy(const PolicyConfig& config, const Options& options);

  int PlaceTask(const Task& task, const CpuLoads& loads);
  void Enqueue(int cpu, Task* task, EnqueueReason reason, Time now);
  void Dequeue(int cpu, Task* task) { Erase(queues_[cpu], task); }
  Pick<Task> PickNext(int cpu, Time now);

  // The first of those that wait, but for the one whose slice is not over.
  Task* PickToGive(int cpu, int to_cpu, int64_t most);
  bool GivesToIdle() const { return idle_load_balancing_.Get() != 0; }
  int64_t Load(int cpu) const {
    const RunQueue& queue = queues_[cpu];
    return queue.weight + (queue.running == nullptr ? 0 : queue.running->weight);
  }

  void OnBlocked(int cpu, Task* task, Time now);
  void OnGone(int cpu, Task* task) { Stop(queues_[cpu], task); }
  void OnMigrate(int cpu, Task* task);
  void OnNiceChanged(int cpu, Task* task);

  std::vector<Tunable*> Tunables();
  void Describe(const Task& task, std::string* line) const;

  int64_t min_vruntime(int cpu) const { return queues_[cpu].min_vruntime; }

 private:
  struct ByVruntime {
    bool operator()(const Task& a, const Task& b) const { return a.vruntime < b.vruntime; }
  };
  using Tree =
      boost::intrusive::multiset<Task,
                                 boost::intrusive::member_hook<Task, boost::intrusive::set_member_hook<>, &Task::link>,
                                 boost::intrusive::compare<ByVruntime>>;
  static constexpr int64_t kNobody = std::numeric_limits<int64_t>::max();

  struct alignas(64) RunQueue {
    Tree tasks;          // those that wait; the leftmost is at hand
    int64_t weight = 0;  // theirs
    int64_t min_vruntime = 0;
    // The task that was picked last, while its slice lasts: on the CPU, or back in the tree, which it has not lost its
    // claim by. Null: nobody has one.
    Task* current = nullptr;
    int64_t turn_ns = 0;            // how long it has run since it was picked
    const Task* running = nullptr;  // the one that has been picked and has not come back …
    Time running_since;             // … since then
    // Who has it loses it if its vruntime is greater: the least of those who came since, and wakeup_granularity.
    int64_t challenge = kNobody;
    int look_from = -1;  // PlaceTask's
  };
  // How many CPUs PlaceTask looks at, besides where the task is; how many tasks PickToGive does.
  static constexpr int kCpusToTry = 2;
  static constexpr int kTasksToTry = 32;

  // ns on CPU as vruntime, for a task of this weight.
  static int64_t Weighted(int64_t ns, int64_t weight) { return ns * kNice0Weight / weight; }
  void Insert(RunQueue& queue, Task* task);
  void Erase(RunQueue& queue, Task* task);
  // Counts what it has run since the last time, and takes its nice value as its weight from now on.
  void Charge(RunQueue& queue, Task* task);
  static void EndSlice(RunQueue& queue, const Task* task) {
    if (queue.current == task) queue.current = nullptr;
  }
  // It is off the CPU, and wants it no more.
  static void Stop(RunQueue& queue, const Task* task) {
    if (queue.running == task) queue.running = nullptr;
    EndSlice(queue, task);
  }
  // All that want the CPU stand at `vruntime` or to the right of it.
  static void Advance(RunQueue& queue, int64_t vruntime) {
    queue.min_vruntime = std::max(queue.min_vruntime, vruntime);
  }
  // ns that a task of this weight gets at a time, as one of `count`, which weigh `total`.
  int64_t Slice(int64_t weight, int64_t total, size_t count) const;
  // Of its slice's, as things are now; none: its turn is over, or somebody else is due.
  int64_t LeftOfTurn(const RunQueue& queue) const;
  // Where in the queue it belongs.
  void SetVruntime(const RunQueue& queue, Task* task, EnqueueReason reason, Time now) const;
  int64_t StartOf(const RunQueue& queue, int64_t weight, Time now) const;

  std::vector<RunQueue> queues_;  // by cpu
  Tunable min_granularity_;
  Tunable latency_;
  Tunable wakeup_granularity_;
  Tunable idle_load_balancing_;
};

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_CFS_CFS_POLICY_H_
