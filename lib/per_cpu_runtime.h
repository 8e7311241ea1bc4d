// PerCpuRuntime<Policy>: the runtime of per-CPU schedulers. Each CPU has an agent, a queue of messages and a run queue
// of the policy's; its agent alone schedules it.
//
//     PerCpuRuntime<FifoPolicy> runtime(enclave.get());
//     GHOST_RETURN_IF_ERROR(runtime.Start());
//     …
//     runtime.Stop();
//
// It keeps what every policy needs right: it reads the agent's barrier before it drains the queue (so that a
// transaction or a yield that misses a message fails as stale), tracks each task's state and sequence number (before
// the policy sees the task), opens and commits transactions, and answers what comes of them. It decides nothing:
// lib/policy.h is what it asks. It is not for schedulers whose one agent serves many CPUs.
//
// A step is: passes with upkeep between them, until the CPU has been given something to do.
//
//   Pass    takes its mail, drains messages, asks the policy, commits or yields. No allocation, no lock, no log, and no
//           call of the kernel but the one commit or yield it ends with (and now and then a timer's, if the policy
//           wants slices to end on time).
//   Upkeep  all that needs more: new tasks (memory, their affinity), tasks that need a place (and move to another CPU's
//           queue), the dead (their status words), lost messages, dumps. Only when there is some of it.
//
// How a task changes home, from CPU a to b. It is runnable, and no run queue has it. a writes b as its home, then asks
// the kernel to send its messages to b's queue: refused if there is one that a has not seen (ESTALE: a is home again,
// drains, retries). From that call on it is b's: a only drops it into b's mailbox and pings b's agent. b's pass takes
// its mail after reading its barrier, and may hear of the task's end before it finds it there.
//
// CPUs share work, if the policy has PickToGive. Only its own agent takes a task out of a run queue, so an idle CPU
// does not steal; it says that it is idle, and the others give. A CPU where a task begins to wait looks for idle ones
// at once; one that becomes idle asks a crowded one, once for each time that somebody came to wait there.
//
// Threads: lib/runtime_base.h.
#ifndef GHOST_LIB_PER_CPU_RUNTIME_H_
#define GHOST_LIB_PER_CPU_RUNTIME_H_

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "kernel/ghost_uapi.h"
#include "lib/drain.h"
#include "lib/per_cpu_base.h"
#include "lib/per_cpu_board.h"
#include "lib/policy.h"
#include "lib/task.h"
#include "lib/task_index.h"
#include "lib/task_keeper.h"

namespace ghost {

template <typename Policy>
class PerCpuRuntime final : public PerCpuBase {
  static_assert(PerCpuPolicy<Policy>);

 public:
  using Task = typename Policy::Task;

  explicit PerCpuRuntime(Enclave* enclave, RuntimeOptions options = {}, const PolicyOptions<Policy>& policy = {});
  ~PerCpuRuntime() override { Stop(); }

  StepResult Step(int cpu, Time now) override;
  std::vector<Tunable*> Tunables() override { return TunablesOf(policy_); }
  const Policy& policy() const { return policy_; }

 private:
  static constexpr bool kTimelySlices = [] {
    if constexpr (requires { Policy::kTimelySlices; }) return Policy::kTimelySlices;
    return false;
  }();

  enum class PassResult : uint8_t { kCommitted, kYielded, kKernelGone, kUpkeep };

  struct alignas(64) CpuState : Cpu {
    using Cpu::Cpu;
    Task* current = nullptr;  // a task that was given this CPU, and of which no message says that it left
    Time slice_end = Time::Infinite();
    uint32_t barrier = 0;  // of the agent, read before draining
    int stale = 0;         // refusals in a row, without a message between them
    CpuSet to_ping;        // agents to wake in upkeep
    FreshLook fresh_look;
    TaskMailbox mailbox;
    TaskList to_place;
    TaskList gone;
    TasksAtHome at_home;

    // -- Sharing work (per_cpu_share.inc.h) --
    bool idle = false;      // it says so on the board
    bool crowded = false;   // so it does of this
    bool joined = false;    // somebody came since the board was told
    bool give_due = false;  // for upkeep
    bool ask_due = false;   // … too
    bool balance_due = false;
    bool may_share = true;  // since its agent woke it has not asked for work, nor offered all for another class's sake
    Time balance_at;        // when to compare its load with others'
    int balance_with = -1;  // whose turn it was last
    std::vector<uint32_t> asked;  // by cpu: that one's version when it was asked for work
  };

  // PerCpuBase:
  Cpu* cpu_base(int cpu) const override { return cpus_[cpu].get(); }
  void AdoptTask(const Enclave::DiscoveredTask& found) override;
  void DescribeCpu(int cpu, std::string* text) override;
  bool wants_ticks() const override {
    if constexpr (requires { Policy::kWantsTicks; }) return Policy::kWantsTicks;
    return false;
  }
  bool wants_timers() const override { return kTimelySlices; }
  bool wants_nice() const override {
    return requires(Policy & policy, Task * task) { policy.OnNiceChanged(0, task); };
  }

  // -- The pass --
  PassResult Pass(CpuState& c, Time now);
  PassResult UpkeepAndPass(CpuState& c, Time now);
  void TakeMail(CpuState& c, Time now);
  bool Drain(CpuState& c, Time now);
  // The task of a message, brought up to date with its sequence number; null: nothing to do about it here.
  Task* Follow(CpuState& c, int64_t gtid, uint32_t seqnum);
  // One for each message that is about a task. Others only wake the agent, which looks at everything then.
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
  PassResult Decide(CpuState& c, Time now);
  PassResult Run(CpuState& c, Task* task, Time slice_end, Time now);
  static void WatchSlice(CpuState& c, Time slice_end, Time now);
  static void NoteStale(CpuState& c);
  PassResult RunFailed(CpuState& c, Task* task, Outcome outcome, Time now);
  PassResult Yield(CpuState& c, int run_flags);

  // -- Tasks' states --
  void SetState(CpuState& c, Task* task, TaskState state);
  static void NeedUpkeep(CpuState& c) { c.upkeep_due.store(true, std::memory_order_relaxed); }
  static void LoseTrack(CpuState& c) {
    c.fresh_look.Want();
    NeedUpkeep(c);
  }
  static void AddGone(CpuState& c, Task* task) {
    c.gone.PushBack(task);
    NeedUpkeep(c);
  }
  void NoteChainEnd(CpuState& c, int cpu);
  void TakeOff(CpuState& c, Task* task);
  void Block(CpuState& c, Task* task, Time now);
  void MakeRunnable(CpuState& c, Task* task, EnqueueReason reason, Time now);
  // The run queue, of which it is known that it may.
  void Join(CpuState& c, Task* task, EnqueueReason reason, Time now);
  void AskForPlace(CpuState& c, Task* task);
  void GoTo(CpuState& c, Task* task, int cpu, EnqueueReason reason);
  void Leave(CpuState& c, Task* task);
  // Follows what a status word, or a repeated TASK_NEW, says of the task.
  void Adjust(CpuState& c, Task* task, bool runnable, bool on_cpu, Time now);

  // -- Sharing work --
  static constexpr bool kShares = requires(Policy & policy) { policy.PickToGive(0, 0, int64_t{0}); };
  static constexpr bool kBalances = requires(const Policy& policy) { policy.Load(0); };
  static constexpr bool kPlacesWakeups = requires { Policy::kPlacesWakeups; };
  bool GivesToIdle() const;
  int Spare(const CpuState& c) const;
  bool TellOthers(CpuState& c);
  bool BalanceIsDue(CpuState& c, Time now);
  bool BecomeIdle(CpuState& c);
  void StopBeingIdle(CpuState& c);
  void ShareWork(CpuState& c, Time now);
  void GiveAway(CpuState& c, Time now);
  int GiveTo(CpuState& c, int to, int count, int64_t most, Time now);
  void AskForWork(CpuState& c);
  void Balance(CpuState& c, Time now);
  bool BalanceWith(CpuState& c, int to, Time now);

  // -- Upkeep --
  void Upkeep(CpuState& c, Time now);
  void Admit(CpuState& c, const TaskNew& news, uint32_t seqnum, Time now);
  Task* AddTask(CpuState& c, int64_t gtid, uint32_t seqnum, StatusWord word);
  void PlaceTasks(CpuState& c, Time now);
  // `waiting`: how many wait for a place, this one included.
  void Place(CpuState& c, Task* task, int waiting, Time now);
  int FindPlace(CpuState& c, Task* task, int waiting);
  void PingOrRetry(CpuState& c, int cpu);
  int MoveTo(CpuState& c, CpuState& target, Task* task);
  void UpdateAffinity(Task* task);
  void Bury(CpuState& c, Task* task);
  void LookAfresh(CpuState& c, Time now);
  void LookAfreshAt(CpuState& c, Task* task, Time now);

  TaskKeeper<Task> keeper_;
  CpuBoard board_;
  const bool has_choice_;                        // there is more than one CPU
  std::vector<std::unique_ptr<CpuState>> cpus_;  // by cpu; null for those that are not the enclave's
  Policy policy_;
};

}  // namespace ghost

#include "lib/per_cpu_pass.inc.h"
#include "lib/per_cpu_share.inc.h"
#include "lib/per_cpu_upkeep.inc.h"

#endif  // GHOST_LIB_PER_CPU_RUNTIME_H_
