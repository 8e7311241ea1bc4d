// Runtime: what a program sees of a running scheduler, whatever its policy and model.
//
// AgentMain, RPC and tests hold one of these; PerCpuRuntime<Policy> (lib/per_cpu_runtime.h) is one.
//
// Threads: Start and Stop from the thread that owns it; the others from any thread while it runs. None of them disturbs
// a schedule pass: counters are read as they are, a dump is written by each agent itself between two passes.
#ifndef GHOST_LIB_RUNTIME_H_
#define GHOST_LIB_RUNTIME_H_

#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/cpu_set.h"
#include "lib/topology.h"
#include "lib/tunable.h"
#include "lib/work_hints.h"

namespace ghost {

// Counted per CPU by its agent, never reset.
struct RuntimeCounters {
  uint64_t passes = 0;
  uint64_t messages = 0;
  uint64_t corrupt_messages = 0;
  uint64_t lost_messages = 0;    // queue overflow; the runtime looks at the tasks afresh then
  uint64_t unknown_tasks = 0;    // messages about a task that nobody announced, or that is at home elsewhere
  uint64_t illegal_changes = 0;  // messages that the table of task states forbids: followed, and counted
  uint64_t commits = 0;
  uint64_t commits_failed = 0;
  uint64_t yields = 0;     // of the agent: nothing to run, or another class wants the CPU
  uint64_t preempted = 0;  // these four: what tasks did
  uint64_t blocked = 0;
  uint64_t yielded = 0;
  uint64_t woken = 0;
  uint64_t placed = 0;    // tasks given a CPU
  uint64_t moved = 0;     // of these, to another one than the one whose agent placed them
  uint64_t deferred = 0;  // of a global agent: decisions put off, as the kernel knew more of the task than it had read
  uint64_t handoffs = 0;  // of a global agent: times that it left this CPU to another
  // Of a global agent with PNT rings (lib/pnt_ring.h): tasks put into them, taken by CPUs, taken back by the agent, and
  // those that a CPU took and could not run.
  uint64_t ring_published = 0;
  uint64_t ring_taken = 0;
  uint64_t ring_revoked = 0;
  uint64_t ring_failed = 0;
  uint64_t tasks = 0;     // now at home here
  uint64_t runnable = 0;  // of these, queued or on the CPU

  RuntimeCounters& operator+=(const RuntimeCounters& other);
};

struct RuntimeCounterName {
  const char* name;
  uint64_t RuntimeCounters::*member;
};
// All of them, for tables and JSON.
inline constexpr RuntimeCounterName kRuntimeCounters[] = {
    {"passes", &RuntimeCounters::passes},
    {"messages", &RuntimeCounters::messages},
    {"corrupt_messages", &RuntimeCounters::corrupt_messages},
    {"lost_messages", &RuntimeCounters::lost_messages},
    {"unknown_tasks", &RuntimeCounters::unknown_tasks},
    {"illegal_changes", &RuntimeCounters::illegal_changes},
    {"commits", &RuntimeCounters::commits},
    {"commits_failed", &RuntimeCounters::commits_failed},
    {"yields", &RuntimeCounters::yields},
    {"preempted", &RuntimeCounters::preempted},
    {"blocked", &RuntimeCounters::blocked},
    {"yielded", &RuntimeCounters::yielded},
    {"woken", &RuntimeCounters::woken},
    {"placed", &RuntimeCounters::placed},
    {"moved", &RuntimeCounters::moved},
    {"deferred", &RuntimeCounters::deferred},
    {"handoffs", &RuntimeCounters::handoffs},
    {"ring_published", &RuntimeCounters::ring_published},
    {"ring_taken", &RuntimeCounters::ring_taken},
    {"ring_revoked", &RuntimeCounters::ring_revoked},
    {"ring_failed", &RuntimeCounters::ring_failed},
    {"tasks", &RuntimeCounters::tasks},
    {"runnable", &RuntimeCounters::runnable},
};
static_assert(std::size(kRuntimeCounters) * sizeof(uint64_t) == sizeof(RuntimeCounters));

class PntPrograms;

struct RuntimeOptions {
  // Waits until the enclave's old agent has left. Start calls it once all is done that can be done while that one still
  // schedules: what comes after is the time in which nobody does. Null: Enclave::WaitForOldAgent(old_agent_timeout).
  std::function<absl::Status()> wait_for_old_agent;
  absl::Duration old_agent_timeout = absl::Seconds(60);
  int queue_elements = 16384;                          // 8-byte slots of each CPU's queue; a power of two
  int initial_tasks = 1024;                            // room for this many tasks from the start
  std::shared_ptr<const Topology> topology = nullptr;  // null: flat
  // These four: centralized runtimes only.
  int global_cpu = -1;  // where the global agent starts; -1: on the first CPU
  // How long the global agent polls without finding anything to do before it sleeps until a message comes. A ghost
  // kernel wants it to poll for ever (a CPU of its own is what it is paid with); a user-mode kernel shares CPUs.
  absl::Duration idle_poll = absl::InfiniteDuration();
  std::shared_ptr<HintSource> hints = nullptr;  // polled once a pass, if the policy has OnHint
  std::shared_ptr<PntPrograms> pnt = nullptr;   // idle CPUs take waiting tasks themselves (lib/pnt_ring.h)
  // Called once, from an agent's thread, when the kernel no longer serves the enclave (destroyed, or ghostd ended).
  std::function<void(const absl::Status&)> on_kernel_gone;
};

// The topology of `options`, or a flat one that has all `cpus`.
std::shared_ptr<const Topology> TopologyFor(const CpuSet& cpus, const RuntimeOptions& options);

class Runtime {
 public:
  virtual ~Runtime() = default;  // stops, if that has not been done

  // Waits for an old agent to leave, starts one agent per CPU, takes over the tasks that are there, and says so
  // (agent_online). On failure everything is undone.
  virtual absl::Status Start() = 0;
  // Ends all agents. Tasks stay in the enclave and wait for another agent, or its destruction.
  virtual void Stop() = 0;

  virtual const CpuSet& cpus() const = 0;
  virtual RuntimeCounters Counters(int cpu) const = 0;
  RuntimeCounters TotalCounters() const;
  // Tasks in the enclave that it knows.
  virtual int64_t CountTasks() const = 0;
  // A table of tasks and run queues, for people. A CPU whose agent does not answer within `timeout` is said so.
  virtual std::string DumpState(absl::Duration timeout) = 0;
  // What may be set while it runs: the policy's, in the policy's order, then its own. They live as long as the runtime.
  virtual std::vector<Tunable*> Tunables() { return {}; }
};

// The tunables of a policy, which need not have any.
template <typename Policy>
std::vector<Tunable*> TunablesOf(Policy& policy) {
  if constexpr (requires { policy.Tunables(); }) return policy.Tunables();
  return {};
}

}  // namespace ghost

#endif  // GHOST_LIB_RUNTIME_H_
