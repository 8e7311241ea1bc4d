// What runs on each CPU: the pick-next-task of a ghost kernel over a driver that answers later.
//
// Classes, highest first: the CPU's agent (unless parked in RUN or a local commit), other classes (CFS and above),
// ghost tasks, idle. A task only gets a CPU through a latch. While a task is current, the CPU belongs to it until the
// driver has reported it off: whoever needs the CPU asks for a preemption and waits, and what follows (TASK_PREEMPT,
// the agent's answer, the latched task's start) happens when the report comes.
//
//     something changes ─> Resched(cpu) … Settle() ─> Schedule(cpu): current must leave? ─> Driver::Preempt ─┐
//     Tasks::OnGated ─> Held(task), Settle() ─> Pick(cpu): agent | other class | latched | prev | idle   <───┘
//
// What it is not: it does not judge transactions (committer.h) nor know why a task left its CPU (tasks.h). One thread;
// the public methods but Settle only note what is to be done.
#ifndef GHOST_KERNEL_USERMODE_CORE_SCHEDULER_H_
#define GHOST_KERNEL_USERMODE_CORE_SCHEDULER_H_

#include <cstdint>
#include <vector>

#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Scheduler {
 public:
  explicit Scheduler(Kernel& kernel);

  // The CPU is looked at in the next Settle.
  void Resched(Cpu& cpu);
  // Schedules until no CPU needs it. The last thing that every entry into the core does.
  void Settle();
  // A CFS or higher thread wants this CPU, or no longer does.
  void OtherClass(int cpu, bool wants_cpu, Tid next);
  void Online(int cpu, bool online);
  // The number of the Settle that is running.
  uint64_t round() const { return round_; }

  // -- Agents --

  // A message, or the like, wakes the agent of `cpu`: its barrier is bumped in any case, so that an attempt to block
  // that is under way fails.
  void WakeAgent(int cpu);
  // Gets the agent on its CPU whatever it waits for (ping, RTLA_*): barrier + 1.
  void ScheduleAgent(Cpu& cpu);
  // The same without a barrier (signals).
  void UnblockAgent(Cpu& cpu);
  // Whether there is an agent that runs when `cpu` picks.
  bool AgentWants(const Cpu& cpu) const;
  // The agent's word gets the true barrier.
  void RefreshBarrier(Cpu& cpu);

  // -- Latches --

  // The next to run on `cpu`: a task, the idle task, or (neither) nobody. What was latched is preempted.
  void Latch(Cpu& cpu, Task* task, bool idle, uint16_t run_flags);
  // Without a message.
  void DropLatch(Task& task);
  // TASK_PREEMPT(was_latched) for the latched task; an idle latch just goes.
  void PreemptLatched(Cpu& cpu);

  // -- What the driver reports of a running task --

  // It is held, and still runnable: what becomes of it is decided in Settle.
  void Held(Task& task);
  // It is off its CPU, in `state`. ONCPU in its word is the caller's, after its messages.
  void LeftCpu(Task& task, TaskState state);
  // Runnable tasks wait in order; called when one becomes runnable, or stops being.
  void StartWaiting(Task& task);
  void StopWaiting(Task& task);

  // True while it runs, and while it is being decided whether it goes on.
  bool IsOnCpu(const Task& task) const;

  // An agent whose request is being handled right now is not answered through the driver: TakeAnswer gives the result.
  void BeginRequest(Agent* agent);
  bool TakeAnswer(int* result);

 private:
  bool CurrentMustLeave(const Cpu& cpu) const;
  void Schedule(Cpu& cpu);
  void Pick(Cpu& cpu);
  void LeaveOffline(Cpu& cpu);
  void PickNext(Cpu& cpu);
  void AnnounceAvailability(Cpu& cpu);
  void PickAgent(Cpu& cpu);
  void PickOtherClass(Cpu& cpu);
  void StartLatched(Cpu& cpu);
  void Start(Cpu& cpu, Task& task);
  void CountStart(Cpu& cpu, const Task& task);
  void PreemptPrev(Cpu& cpu);
  void Resume(Agent& agent);

  Kernel& kernel_;
  State& state_;
  std::vector<int> work_;  // a ring: CPUs with need_resched
  size_t work_first_ = 0;
  size_t work_count_ = 0;
  uint64_t round_ = 0;
  Agent* requester_ = nullptr;
  bool answered_ = false;
  int answer_ = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_SCHEDULER_H_
