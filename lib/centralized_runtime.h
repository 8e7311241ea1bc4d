// CentralizedRuntime<Policy>: the runtime of centralized schedulers. One agent, the global one, reads all messages and
// schedules all other CPUs.
//
//     CentralizedRuntime<CentralizedFifoPolicy> runtime(enclave.get(), {.global_cpu = 0});
//     GHOST_RETURN_IF_ERROR(runtime.Start());
//     …
//     runtime.Stop();
//
// It keeps what every policy needs right: each task's state and sequence number, which CPUs can be had, a Plan for the
// policy to fill, one commit of all that was planned and the answer to each outcome, the hand-off of the global agent
// (lib/centralized_base.h), the take-over of an older agent's tasks. It decides nothing: lib/centralized_policy.h is
// what it asks.
//
// A step of the global agent is: passes with upkeep between them, until one has got to its end.
//
//   Pass    reads what came of open transactions (asynchronous policies), drains messages, polls hints, asks the
//           policy, commits. No allocation, no lock, no log, and no call of the kernel but the one commit. Its cost is
//           that of what happened; CPUs where nothing did cost nothing.
//   Upkeep  all that needs more: new tasks (memory, their affinity), changed affinities, the dead (their status words),
//           lost messages, dumps. Only when there is some of it.
//
// Which CPUs can be had: messages say it (CPU_AVAILABLE, CPU_BUSY), where the ABI has them; else a CPU that the policy
// wants is looked up in its agent's status word. A CPU that could not be had is looked at now and then, one a pass.
//
// A task that may run on the global agent's CPU alone would never run: while the global agent is there it may run on
// every CPU (a commit does not look at affinities).
//
// Threads: lib/runtime_base.h.
#ifndef GHOST_LIB_CENTRALIZED_RUNTIME_H_
#define GHOST_LIB_CENTRALIZED_RUNTIME_H_

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "lib/centralized_base.h"
#include "lib/centralized_policy.h"
#include "lib/drain.h"
#include "lib/pnt_ring.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/task_index.h"
#include "lib/task_keeper.h"
#include "lib/work_hints.h"

namespace ghost {

template <typename Policy>
class CentralizedRuntime final : public CentralizedBase, private HintSource::Visitor {
  static_assert(CentralizedPolicy<Policy>);

 public:
  using Task = typename Policy::Task;

  explicit CentralizedRuntime(Enclave* enclave, RuntimeOptions options = {}, const PolicyOptions<Policy>& policy = {});
  ~CentralizedRuntime() override { Stop(); }

  StepResult Step(int cpu, Time now) override;
  std::vector<Tunable*> Tunables() override;
  const Policy& policy() const { return policy_; }

 private:
  // Whether the policy goes on before it is known what came of its last plan.
  static constexpr bool kAsynchronous = [] {
    if constexpr (requires { Policy::kAsynchronous; }) return Policy::kAsynchronous;
    return false;
  }();
  // Whether idle CPUs can take its tasks by themselves.
  static constexpr bool kShowsWaiting = requires(Policy policy, bool (*visit)(Task& task)) {
    policy.ForEachWaiting(visit);
  };
  static constexpr bool kHasHints = requires(Policy policy, Task* task, const WorkHint& hint) {
    policy.OnHint(task, hint, Time());
  };

  struct alignas(64) CpuState : Cpu {
    using Cpu::Cpu;
    bool pending = false;  // its transaction is open, and what came of it has not been read
    Time opened_at;        // since then
    // The number that its task had when it was given it; pending: that the next one had.
    uint32_t task_seqnum = 0, next_seqnum = 0;
    Outcome refused = Outcome::kRunning;  // why its transaction was not opened
    uint32_t retries = 0;                 // with rings: transactions that came to nothing, as others were faster
  };
  // A transaction that came to nothing.
  struct Failure {
    int cpu;
    Outcome outcome;
  };

  // CentralizedBase:
  Cpu* cpu_base(int cpu) const override { return cpus_[cpu].get(); }
  void AdoptTask(const Enclave::DiscoveredTask& found) override;
  bool wants_nice() const override {
    return requires(Policy & policy, Task * task) { policy.OnNiceChanged(task); };
  }
  void DescribeCpu(int cpu, std::string* text) override;
  // HintSource::Visitor:
  void OnHint(int64_t gtid, const WorkHint& hint) override;

  // -- The pass --
  // False: upkeep is wanted before it can go on.
  bool Pass(CpuState& c, Time now);
  bool Drain(CpuState& c, Time now);
  StepResult Finish(CpuState& c, Time now);
  StepResult Rest(CpuState& c, Time now);
  StepResult ConsiderLeaving(CpuState& c, Time now);
  StepResult OfferRole(CpuState& c, Time now);
  void On(CpuState& c, Task* task, const TaskBlocked& message, Time now);
  void On(CpuState& c, Task* task, const TaskWakeup& message, Time now);
  void On(CpuState& c, Task* task, const TaskPreempt& message, Time now);
  void On(CpuState& c, Task* task, const TaskYield& message, Time now);
  void On(CpuState& c, Task* task, const TaskSwitchto& message, Time now);
  void On(CpuState& c, Task* task, const TaskDeparted& message, Time now);
  void On(CpuState& c, Task* task, const TaskDead& message, Time now);
  void On(CpuState& c, Task* task, const TaskAffinityChanged& message, Time now);
  void On(CpuState& c, Task* task, const TaskPriorityChanged& message, Time now);
  void On(CpuState& c, Task* task, const TaskLatchFailure& message, Time now);
  void OnCpuMessage(int cpu, bool available, Time now);

  // -- Transactions --
  bool Commit(CpuState& c, Time now);
  void Open(CpuState& on, Time now, uint16_t run_flags);
  bool OpenCarefully(CpuState& on, Time now);
  void Conclude(CpuState& c, int cpu, Outcome outcome, Time now);
  bool ConcludeFailures(CpuState& c, Time now);
  bool Failed(CpuState& c, Failure failure, Time now);
  void Reap(CpuState& c, Time now);
  // What came of a CPU's pending transaction, which is cut short if it can be.
  void Settle(CpuState& c, CpuState& on, Time now);
  void ReturnDeferred(CpuState& c, Time now);
  // The kernel knows more of a task than we do: its message should be in the queue. If none comes, one has been lost.
  void NoteStale(Time now);

  // -- Tasks that CPUs take by themselves: lib/centralized_ring.inc.h --
  bool shows_waiting() const override { return kShowsWaiting; }
  void ReapRing(CpuState& c, Time now);
  void StartsElsewhere(Task* task, int cpu, Time now);
  bool WasTaken(Task* task, Time now);
  void RefreshRing(bool decided);

  // -- CPUs --
  bool CanHave(int cpu) const;
  // None of ours is known to run there.
  void Vacate(int cpu);
  void SetAvailable(int cpu);
  void SetUnavailable(int cpu, Time retry_at);
  void PollUnavailable(Time now);
  void RefreshAvailability(Time now);
  void EndChain(int cpu, bool from_switchto);

  // -- Tasks' states --
  void SetState(CpuState& c, Task* task, TaskState state);
  void LeaveCpu(Task* task, Time now);
  void Block(CpuState& c, Task* task, Time now);
  void MakeRunnable(CpuState& c, Task* task, EnqueueReason reason, Time now);
  void Leave(Task* task, Time now);
  void LoseTrack() {
    fresh_look_.Want();
    NeedUpkeep();
  }
  // Follows what a status word, or a repeated TASK_NEW, says of the task.
  void Adjust(CpuState& c, Task* task, bool runnable, bool on_cpu, Time now);

  // -- Upkeep --
  void Upkeep(CpuState& c, Time now);
  void Admit(CpuState& c, const TaskNew& news, uint32_t seqnum, Time now);
  void Welcome(CpuState& c, Task* task, bool runnable, bool on_cpu, Time now);
  void ReserveTasks(size_t num_tasks);
  void ReadAffinities();
  void ReadAffinity(Task* task);
  void FollowGlobalAgent(CpuState& c, Time now);
  void Bury(Task* task);
  void LookAfresh(CpuState& c, Time now);
  void LookAfreshAt(CpuState& c, Task* task, Time now);

  HintSource* hints() const { return kHasHints ? options().hints.get() : nullptr; }

  TaskKeeper<Task> keeper_;
  std::vector<std::unique_ptr<CpuState>> cpus_;  // by cpu; null for those that are not the enclave's
  Plan<Task> plan_;
  CommitGroup group_;
  const bool looks_at_words_;     // no message says which CPUs can be had
  const bool careful_;            // a transaction needs more than to be opened: see OpenCarefully
  PerCpuList<Failure> failures_;  // of the commit under way
  PerCpuList<int> pending_;       // CPUs whose transactions are open (asynchronous), in the order of their opening
  CpuSet forbidden_;              // CPUs whose tasks may not run there any more
  bool has_more_to_see_ = true;   // than messages and hints: forbidden CPUs, rings
  TasksAtHome all_;
  size_t num_tasks_reserved_ = 0;
  absl::flat_hash_set<int64_t> displaced_;  // gtids: may run on the global agent's CPU alone, so they run anywhere
  TaskList changed_;                        // their affinities have to be read
  TaskList gone_;
  uint32_t barrier_ = 0;  // of the global agent, read before draining
  uint32_t handled_ = 0;  // messages in this pass
  FreshLook fresh_look_;
  bool ring_stale_ = true;                  // what the rings hold may not be what should be offered
  std::pair<int, int> not_takers_{-1, -1};  // the CPUs that the rings know as the global agent's and its heir's
  int acting_cpu_;                          // whose agent messages wake: that which did the last upkeep
  Time now_;                                // of this pass, for OnHint
  Time stale_since_ = Time::Infinite();
  Time busy_at_;  // when something was to do last
  Time next_look_;
  int last_looked_at_ = -1;
  Policy policy_;
};

}  // namespace ghost

#include "lib/centralized_commit.inc.h"
#include "lib/centralized_pass.inc.h"
#include "lib/centralized_ring.inc.h"
#include "lib/centralized_upkeep.inc.h"

#endif  // GHOST_LIB_CENTRALIZED_RUNTIME_H_
