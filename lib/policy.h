// What a per-CPU policy is: a pure class that keeps run queues and answers "where" and "who next".
//
// Pure: no I/O, no clock, no locks, no logging, no allocation. The runtime (lib/per_cpu_runtime.h) reads messages,
// keeps tasks' states, commits transactions, and calls the policy; so the same policy runs over a ghost kernel, over
// ghostd, in the simulation and in a unit test with plain structs.
//
//     class FifoPolicy {
//      public:
//       struct Task : TaskBase { … };                                   // what it keeps per task
//       explicit FifoPolicy(const PolicyConfig& config);
//       int PlaceTask(const Task& task, const CpuLoads& loads);          // which CPU's queue it joins
//       void Enqueue(int cpu, Task* task, EnqueueReason reason, Time now);
//       void Dequeue(int cpu, Task* task);                               // out of the middle: departed, dead, moves
//       Pick<Task> PickNext(int cpu, Time now);                          // takes it out of the queue
//     };
//
// Optional members, called if they exist:
//       static constexpr bool kWantsTicks = true;     // slices are watched by the kernel's tick
//       static constexpr bool kTimelySlices = true;   // … and by a timer: they end on time, not at the tick after that
//       static constexpr bool kPlacesWakeups = true;  // PlaceTask is asked for a task that wakes, too, if its CPU has
//                                                     // something to do
//       Task* PickToGive(int cpu, int to_cpu, int64_t most);  // one of its queued tasks that may run on to_cpu, with
//                                                     // a load of at most `most`, which goes there; null: none. CPUs
//                                                     // that run out of tasks take over some of others' then
//       bool GivesToIdle() const;                     // … as long as it says so. From any thread
//       int64_t Load(int cpu) const;                  // of all its tasks. CPUs give to those with less from time to
//                                                     // time, then (needs PickToGive, and ticks)
//       void OnBlocked(int cpu, Task* task, Time now);        // it left the CPU asleep (runtime_ns is fresh)
//       void OnGone(int cpu, Task* task);       // dead or departed; if it was queued, Dequeue came before
//       void OnMigrate(int cpu, Task* task);    // it is about to leave `cpu` for another, and in no queue. Enqueue
//                                               // follows, there (or here again, if the kernel refuses)
//       void OnNiceChanged(int cpu, Task* task);
//       std::vector<Tunable*> Tunables();                     // what may be set while it runs (lib/tunable.h)
//       void Describe(const Task& task, std::string* line);   // dumps; not in the pass
//
// Threads: all calls about a CPU (its first argument) come from one thread at a time, calls about different CPUs at
// once: so keep state per CPU. PlaceTask comes from the thread of the task's home; it sees other CPUs through `loads`
// only.
#ifndef GHOST_LIB_POLICY_H_
#define GHOST_LIB_POLICY_H_

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "lib/per_cpu_board.h"
#include "lib/task.h"
#include "lib/topology.h"

namespace ghost {

// Why a task joins a queue.
enum class EnqueueReason : uint8_t {
  kNew,              // first time here: new, discovered, or moved from another CPU
  kWoken,            // and whoever it waited for may wait for it (not deferrable)
  kWokenDeferrable,  // from a sleep on a timer, futex or epoll
  kPreempted,        // it was on the CPU and would like to go on
  kYielded,          // it called sched_yield
  kSliceExpired,     // what PickNext granted is used up
  kCommitFailed,     // PickNext chose it, but it did not get on the CPU
};
const char* EnqueueReasonName(EnqueueReason reason);

struct PolicyConfig {
  CpuSet cpus;  // the enclave's
  // How the kernel's CPUs lie together; never null in a policy that a runtime has made.
  std::shared_ptr<const Topology> topology = nullptr;
};

// A policy with options of its own has `struct Options` and the constructor P(const PolicyConfig&, const Options&);
// they are given to its runtime (and to AgentMain, which has them from flags).
struct NoPolicyOptions {};
template <typename P>
struct PolicyOptionsTrait {
  using Type = NoPolicyOptions;
};
template <typename P>
requires requires { typename P::Options; }
struct PolicyOptionsTrait<P> {
  using Type = typename P::Options;
};
template <typename P>
using PolicyOptions = typename PolicyOptionsTrait<P>::Type;

template <typename P>
P MakePolicy(const PolicyConfig& config, const PolicyOptions<P>& options) {
  if constexpr (std::is_same_v<PolicyOptions<P>, NoPolicyOptions>) {
    return P(config);
  } else {
    return P(config, options);
  }
}

template <typename Task>
struct Pick {
  Task* task = nullptr;               // null: the CPU has nothing to run
  Time slice_end = Time::Infinite();  // when the runtime is to put it back, if others wait
};

template <typename P>
concept PerCpuPolicy = std::derived_from<typename P::Task, TaskBase> && std::default_initializable<typename P::Task> &&
    requires(P policy, typename P::Task* task, const CpuLoads& loads, const PolicyConfig& config) {
  MakePolicy<P>(config, {});
  { policy.PlaceTask(*task, loads) } -> std::same_as<int>;
  policy.Enqueue(0, task, EnqueueReason::kNew, Time());
  policy.Dequeue(0, task);
  { policy.PickNext(0, Time()) } -> std::same_as<Pick<typename P::Task>>;
};

}  // namespace ghost

#endif  // GHOST_LIB_POLICY_H_
