#include "kernel/usermode/core/scheduler.h"

#include <utility>

#include "kernel/usermode/core/kernel.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

Scheduler::Scheduler(Kernel& kernel) : kernel_(kernel), state_(kernel.state), work_(kernel.state.cpus.size()) {}

void Scheduler::Resched(Cpu& cpu) {
  if (cpu.need_resched) return;
  cpu.need_resched = true;
  work_[(work_first_ + work_count_++) % work_.size()] = cpu.id;
}

void Scheduler::Settle() {
  ++round_;
  while (work_count_ > 0) {
    Cpu& cpu = state_.cpus[static_cast<size_t>(work_[work_first_])];
    work_first_ = (work_first_ + 1) % work_.size();
    --work_count_;
    cpu.need_resched = false;
    Schedule(cpu);
  }
}

void Scheduler::OtherClass(int id, bool wants_cpu, Tid next) {
  if (!state_.ValidCpu(id)) return;
  Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
  cpu.other_class_tid = wants_cpu ? next : 0;
  if (cpu.other_class == wants_cpu) return;
  cpu.other_class = wants_cpu;
  kernel_.programs.CpuChanged(cpu);
  Resched(cpu);
}

void Scheduler::Online(int id, bool online) {
  if (!state_.ValidCpu(id)) return;
  state_.cpus[static_cast<size_t>(id)].online = online;
  kernel_.programs.CpuChanged(state_.cpus[static_cast<size_t>(id)]);
  Resched(state_.cpus[static_cast<size_t>(id)]);
}

void Scheduler::WakeAgent(int id) {
  if (!state_.ValidCpu(id)) return;
  Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
  ++cpu.agent_barrier;
  if (cpu.agent != nullptr && cpu.blocked_in_run && !cpu.agent_should_wake) {
    cpu.agent_should_wake = true;
    Resched(cpu);
  }
}

void Scheduler::ScheduleAgent(Cpu& cpu) {
  if (cpu.agent == nullptr) return;
  ++cpu.agent_barrier;
  UnblockAgent(cpu);
}

void Scheduler::UnblockAgent(Cpu& cpu) {
  cpu.blocked_in_run = false;
  Resched(cpu);
}

void Scheduler::RefreshBarrier(Cpu& cpu) { cpu.agent->word.SetBarrier(cpu.agent_barrier); }

void Scheduler::Latch(Cpu& cpu, Task* task, bool idle, uint16_t run_flags) {
  ++cpu.seqnum;
  PreemptLatched(cpu);
  cpu.latched = task;
  cpu.latched_idle = idle;
  if (task != nullptr) {
    task->latched_on = &cpu;
    task->cpu = cpu.id;
  }
  cpu.must_resched = false;
  cpu.run_flags = run_flags;
  cpu.on_cpu_message_due = task != nullptr && (run_flags & SEND_TASK_ON_CPU) != 0;
}

void Scheduler::DropLatch(Task& task) {
  if (task.latched_on == nullptr) return;
  task.latched_on->latched = nullptr;
  task.latched_on->on_cpu_message_due = false;
  task.latched_on = nullptr;
}

void Scheduler::PreemptLatched(Cpu& cpu) {
  cpu.latched_idle = false;
  Task* task = cpu.latched;
  if (task == nullptr) return;
  const bool message_due = cpu.on_cpu_message_due;
  DropLatch(*task);
  if (message_due && task->enclave->abi->latched_message) kernel_.messenger.OnCpu(*task, /*latch_lost=*/true);
  kernel_.messenger.Preempt(*task, /*was_latched=*/true);
}

void Scheduler::Held(Task& task) {
  LeftCpu(task, TaskState::kRunnable);
  Cpu& cpu = state_.cpus[static_cast<size_t>(task.cpu)];
  cpu.prev = &task;
  kernel_.programs.TaskChanged(task);
}

void Scheduler::LeftCpu(Task& task, TaskState state) {
  Cpu& cpu = state_.cpus[static_cast<size_t>(task.cpu)];
  GHOST_CHECK(cpu.current == &task) << "gtid " << task.gtid;
  const int64_t now = state_.driver->NowNs();
  cpu.current = nullptr;
  cpu.status.busy_ns += static_cast<uint64_t>(now - task.on_cpu_since_ns);
  task.preempting = false;
  task.state = state;
  cpu.vacated_ns = state == TaskState::kBlocked && !task.enclave->waiting.empty() ? now : 0;
  if (state == TaskState::kRunnable) StartWaiting(task);
  kernel_.programs.TaskChanged(task);
  Resched(cpu);
}

void Scheduler::StartWaiting(Task& task) {
  task.waiting_since_ns = state_.driver->NowNs();
  StopWaiting(task);
  task.enclave->waiting.push_back(task);
}

void Scheduler::StopWaiting(Task& task) { static_cast<ListHook<WaitingTag>&>(task).unlink(); }

bool Scheduler::IsOnCpu(const Task& task) const {
  return task.state == TaskState::kRunning || task.state == TaskState::kEntering ||
         state_.cpus[static_cast<size_t>(task.cpu)].prev == &task;
}

void Scheduler::BeginRequest(Agent* agent) {
  requester_ = agent;
  answered_ = false;
}

bool Scheduler::TakeAnswer(int* result) {
  requester_ = nullptr;
  *result = answer_;
  return answered_;
}

bool Scheduler::AgentWants(const Cpu& cpu) const {
  return cpu.agent != nullptr && !cpu.agent->sleeping && cpu.online && (!cpu.blocked_in_run || cpu.agent_should_wake);
}

bool Scheduler::CurrentMustLeave(const Cpu& cpu) const {
  return cpu.must_resched || !cpu.online || cpu.HasLatch() || cpu.other_class || cpu.agent == nullptr ||
         AgentWants(cpu);
}

void Scheduler::AnnounceAvailability(Cpu& cpu) {
  const bool available = !cpu.other_class;
  if (cpu.agent == nullptr || !cpu.agent->enclave->tunables.deliver_cpu_availability) return;
  if (cpu.announced_available == available) return;
  cpu.announced_available = available;
  if (available) {
    kernel_.messenger.Available(cpu);
  } else {
    kernel_.messenger.Busy(cpu);
  }
}

void Scheduler::Schedule(Cpu& cpu) {
  AnnounceAvailability(cpu);
  if (Programs::Has(cpu.enclave, BpfHook::kPickNextTask) && cpu.online &&
      (cpu.current == nullptr || (!cpu.current->preempting && !CurrentMustLeave(cpu)))) {
    kernel_.programs.PickNextTask(cpu);
  }
  const bool balance = cpu.agent != nullptr && !cpu.agent->sleeping && !cpu.HasLatch() && !cpu.other_class;
  kernel_.committer.CommitAsync(cpu, /*at_schedule=*/balance);
  if (cpu.current == nullptr) {
    Pick(cpu);
    if (cpu.dont_idle && cpu.IsIdle()) kernel_.programs.NoteIdle(cpu);
  } else if (!cpu.current->preempting && CurrentMustLeave(cpu)) {
    cpu.current->preempting = true;
    state_.driver->Preempt(cpu.current->gtid);
  }
}

void Scheduler::Pick(Cpu& cpu) {
  if (cpu.prev == nullptr) cpu.ignore_prev_preemption = false;  // who was meant left by itself
  if (!cpu.online) return LeaveOffline(cpu);
  if (cpu.agent != nullptr && !cpu.other_class) cpu.agent->word.SetFlags(GHOST_SW_CPU_AVAIL);
  if (AgentWants(cpu)) return PickAgent(cpu);
  if (cpu.other_class) return PickOtherClass(cpu);
  if (cpu.agent == nullptr || cpu.agent->sleeping) return PreemptPrev(cpu);  // no ghost task runs without an agent
  if (cpu.latched != nullptr) return StartLatched(cpu);
  if (cpu.latched_idle) {
    cpu.latched_idle = false;
    return PreemptPrev(cpu);
  }
  if (cpu.prev != nullptr && !cpu.must_resched) {  // nothing better: it goes on, without a message
    Task& task = *cpu.prev;
    cpu.prev = nullptr;
    return Start(cpu, task);
  }
  if ((cpu.run_flags & RTLA_ON_IDLE) != 0) {
    cpu.blocked_in_run = false;
    return PickAgent(cpu);
  }
  PreemptPrev(cpu);
}

void Scheduler::LeaveOffline(Cpu& cpu) {
  PreemptPrev(cpu);
  PreemptLatched(cpu);
}

void Scheduler::PickAgent(Cpu& cpu) {
  Agent& agent = *cpu.agent;
  cpu.agent_should_wake = false;
  cpu.blocked_in_run = false;
  if (cpu.other_class) {
    agent.word.SetFlags(GHOST_SW_BOOST_PRIO);
  } else {
    agent.word.ClearFlags(GHOST_SW_BOOST_PRIO);
  }
  RefreshBarrier(cpu);
  // After the refresh: the barrier that the agent now sees is older than these messages, as in a ghost kernel.
  PreemptPrev(cpu);
  if (cpu.other_class || (cpu.run_flags & DEFER_LATCHED_PREEMPTION_BY_AGENT) == 0) {
    PreemptLatched(cpu);
  } else if (cpu.latched != nullptr) {
    kernel_.ticker.NeedForDeferred();
  }
  if (agent.parked) Resume(agent);
}

void Scheduler::PickOtherClass(Cpu& cpu) {
  PreemptPrev(cpu);
  PreemptLatched(cpu);
  if (AgentWants(cpu)) return PickAgent(cpu);  // one of those woke it
  if (cpu.agent == nullptr) return;
  cpu.agent->word.ClearFlags(GHOST_SW_CPU_AVAIL);
  if ((cpu.run_flags & NEED_CPU_NOT_IDLE) != 0) {
    cpu.run_flags &= static_cast<uint16_t>(~NEED_CPU_NOT_IDLE);
    const Tid next = cpu.other_class_tid;
    kernel_.messenger.NotIdle(cpu, next == 0 ? GHOST_NULL_GTID : state_.IdentityOf(next)->gtid);
  }
}

void Scheduler::StartLatched(Cpu& cpu) {
  Task& task = *cpu.latched;
  const bool message_due = cpu.on_cpu_message_due;
  DropLatch(task);
  if ((cpu.run_flags & ELIDE_PREEMPT) != 0 && cpu.prev != nullptr) cpu.ignore_prev_preemption = true;
  Start(cpu, task);
  PreemptPrev(cpu);
  if (message_due) kernel_.messenger.OnCpu(task, /*latch_lost=*/false);
}

void Scheduler::Start(Cpu& cpu, Task& task) {
  GHOST_CHECK(task.state == TaskState::kRunnable && cpu.current == nullptr) << "gtid " << task.gtid;
  StopWaiting(task);
  task.state = TaskState::kRunning;
  task.cpu = cpu.id;
  task.on_cpu_since_ns = state_.driver->NowNs();
  CountStart(cpu, task);
  cpu.current = &task;
  kernel_.programs.TaskChanged(task);
  task.word.SetOnCpu(task.on_cpu_since_ns);
  state_.driver->Run(task.gtid, cpu.id);
  kernel_.ticker.Need();
}

void Scheduler::CountStart(Cpu& cpu, const Task& task) {
  EnclaveCounters& counters = task.enclave->counters;
  counters.runnable_to_run_ns.Add(static_cast<uint64_t>(task.on_cpu_since_ns - task.waiting_since_ns));
  if (const int64_t since = std::exchange(cpu.vacated_ns, 0); since != 0) {
    counters.block_to_run_ns.Add(static_cast<uint64_t>(task.on_cpu_since_ns - since));
  }
}

void Scheduler::PreemptPrev(Cpu& cpu) {
  Task* task = cpu.prev;
  if (task == nullptr) return;
  cpu.prev = nullptr;
  kernel_.programs.TaskChanged(*task);
  const bool silent = cpu.ignore_prev_preemption;
  cpu.ignore_prev_preemption = false;
  kernel_.tasks.RefreshRuntime(*task);
  if (!silent) {
    kernel_.messenger.Preempt(*task, /*was_latched=*/false);
    if ((cpu.run_flags & RTLA_ON_PREEMPT) != 0) ScheduleAgent(cpu);
  }
  task->word.SetOffCpu();
}

void Scheduler::Resume(Agent& agent) {
  agent.parked = false;
  agent.word.SetOnCpu(state_.driver->NowNs());
  agent.word.SetFlags(GHOST_SW_CPU_AVAIL);
  kernel_.ticker.Need();
  if (&agent == requester_) {
    answered_ = true;
    answer_ = agent.result;
  } else {
    state_.driver->CompleteRequest(agent.request, agent.result);
  }
}

}  // namespace ghost::usermode
