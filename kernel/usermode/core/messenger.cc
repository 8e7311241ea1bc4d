#include "kernel/usermode/core/messenger.h"

#include <array>

#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {

Messenger::Messenger(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

::ghost::TaskNew Messenger::NewPayload(Task& task) const {
  return {.gtid = task.gtid,
          .parent_gtid = task.parent_gtid,
          .runtime_ns = task.runtime_ns,
          .runnable = task.state != TaskState::kBlocked,
          .nice = task.nice,
          .sw_info = task.word ? task.word.info() : ghost_sw_info{}};
}

bool Messenger::New(Task& task) { return SendTaskAndWake(task, MSG_TASK_NEW, NewPayload(task)); }

bool Messenger::Rediscover(Task& task) { return SendTask(task, MSG_TASK_NEW, NewPayload(task)).queued; }

bool Messenger::Blocked(Task& task) {
  return SendTaskAndWake(
      task, MSG_TASK_BLOCKED,
      TaskBlocked{.gtid = task.gtid, .runtime_ns = task.runtime_ns, .cpu_seqnum = NextSeqnum(task), .cpu = task.cpu});
}

bool Messenger::Wakeup(Task& task, const TaskWakeup& wakeup) {
  ++task.enclave->counters.wakeups;
  return SendTaskAndWake(task, MSG_TASK_WAKEUP, wakeup);
}

bool Messenger::Preempt(Task& task, bool was_latched) {
  ++task.enclave->counters.preempts;
  ++state_.cpus[task.cpu].status.preempts;
  return SendTaskAndWake(task, MSG_TASK_PREEMPT,
                         TaskPreempt{.gtid = task.gtid,
                                     .runtime_ns = task.runtime_ns,
                                     .cpu_seqnum = NextSeqnum(task),
                                     .cpu = task.cpu,
                                     .was_latched = was_latched});
}

bool Messenger::Yield(Task& task) {
  return SendTaskAndWake(
      task, MSG_TASK_YIELD,
      TaskYield{.gtid = task.gtid, .runtime_ns = task.runtime_ns, .cpu_seqnum = NextSeqnum(task), .cpu = task.cpu});
}

bool Messenger::Dead(Task& task) {
  return SendTaskAndWake(task, MSG_TASK_DEAD, TaskDead{.gtid = task.gtid, .cpu = task.cpu});
}

bool Messenger::Departed(Task& task, bool was_current) {
  return SendTaskAndWake(
      task, MSG_TASK_DEPARTED,
      TaskDeparted{.gtid = task.gtid, .cpu_seqnum = NextSeqnum(task), .cpu = task.cpu, .was_current = was_current});
}

bool Messenger::AffinityChanged(Task& task) {
  return SendTask(task, MSG_TASK_AFFINITY_CHANGED, TaskAffinityChanged{.gtid = task.gtid}).queued;
}

bool Messenger::PriorityChanged(Task& task) {
  const bool queued =
      SendTask(task, MSG_TASK_PRIORITY_CHANGED, TaskPriorityChanged{.gtid = task.gtid, .nice = task.nice}).queued;
  WakeAgent(task.queue, task.cpu);  // with the older ABIs, too, that have no such message
  return queued;
}

bool Messenger::OnCpu(Task& task, bool latch_lost) {
  return SendTask(task, MSG_TASK_ON_CPU,
                  TaskOnCpu{.gtid = task.gtid,
                            .commit_time_ns = static_cast<uint64_t>(state_.driver->NowNs()),
                            .cpu_seqnum = NextSeqnum(task),
                            .cpu = task.cpu,
                            .latched_preempt = latch_lost})
      .queued;
}

bool Messenger::LatchFailure(Task& task, int error) {
  if (!task.enclave->abi->latch_failure) return Preempt(task, /*was_latched=*/true);
  return SendTaskAndWake(task, MSG_TASK_LATCH_FAILURE, TaskLatchFailure{.gtid = task.gtid, .error = error});
}

bool Messenger::Tick(Cpu& cpu, bool is_agent) {
  return SendCpu(cpu, MSG_CPU_TICK, CpuTick{.cpu = cpu.id, .is_agent = is_agent});
}

bool Messenger::TimerExpired(Cpu& cpu, uint64_t type, uint64_t cookie) {
  return SendCpu(cpu, MSG_CPU_TIMER_EXPIRED, CpuTimerExpired{.cpu = cpu.id, .type = type, .cookie = cookie});
}

bool Messenger::NotIdle(Cpu& cpu, int64_t next_gtid) {
  return SendCpu(cpu, MSG_CPU_NOT_IDLE, CpuNotIdle{.cpu = cpu.id, .next_gtid = next_gtid});
}

bool Messenger::Available(Cpu& cpu) { return SendCpu(cpu, MSG_CPU_AVAILABLE, CpuAvailable{.cpu = cpu.id}); }
bool Messenger::Busy(Cpu& cpu) { return SendCpu(cpu, MSG_CPU_BUSY, CpuBusy{.cpu = cpu.id}); }
bool Messenger::AgentSleeps(Cpu& cpu) { return SendCpu(cpu, MSG_CPU_AGENT_BLOCKED, AgentBlocked{.cpu = cpu.id}); }
bool Messenger::AgentWoke(Cpu& cpu) { return SendCpu(cpu, MSG_CPU_AGENT_WAKEUP, AgentWakeup{.cpu = cpu.id}); }

void Messenger::WakeAgent(const Queue* queue, int cpu) {
  if (queue == nullptr || queue->num_wakeup_cpus == 0) return;
  int target = queue->wakeup_cpus[0];
  for (int i = 1; i < queue->num_wakeup_cpus; ++i) {
    if (queue->wakeup_cpus[i] == cpu) target = cpu;
  }
  kernel_.scheduler.WakeAgent(target);
}

uint64_t Messenger::NextSeqnum(const Task& task) { return ++state_.cpus[task.cpu].seqnum; }

Messenger::Delivery Messenger::SendTask(Task& task, uint16_t type, const Payload& payload) {
  if (!task.word || task.enclave->abi->payload_size[type] < 0) return {.prefer_cpu = task.cpu};
  Message message{.type = type, .seqnum = task.word.IncrementBarrier(), .payload = payload};
  kernel_.programs.TaskChanged(task);
  if (task.queue == nullptr || task.identity->inhibited) return {.prefer_cpu = task.cpu};
  return Produce(*task.enclave, *task.queue, message, task.cpu);
}

bool Messenger::SendTaskAndWake(Task& task, uint16_t type, const Payload& payload) {
  Delivery delivery = SendTask(task, type, payload);
  if (delivery.prefer_cpu != kWakeNobody) WakeAgent(task.queue, delivery.prefer_cpu);
  return delivery.queued;
}

bool Messenger::SendCpu(Cpu& cpu, uint16_t type, const Payload& payload) {
  Agent* agent = cpu.agent;
  if (agent == nullptr || agent->enclave->abi->payload_size[type] < 0) return false;
  agent->word.SetBarrier(++cpu.agent_barrier);
  if (agent->queue == nullptr) return false;
  Message message{.type = type, .seqnum = cpu.agent_barrier, .payload = payload};
  Delivery delivery = Produce(*agent->enclave, *agent->queue, message, cpu.id);
  if (delivery.queued && delivery.prefer_cpu != kWakeNobody) WakeAgent(agent->queue, delivery.prefer_cpu);
  return delivery.queued;
}

Messenger::Delivery Messenger::Produce(Enclave& enclave, Queue& queue, Message& message, int cpu) {
  Delivery delivery{.prefer_cpu = cpu};
  for (CoreObserver* observer : state_.observers) observer->OnMessage(message);
  if (Programs::Has(&enclave, BpfHook::kSendMessage)) {
    int pref_cpu = BPF_GHOST_MSG_NO_WAKEUP_PREF;
    const bool drop = kernel_.programs.SendMessage(enclave, &message, cpu, &pref_cpu);
    if (pref_cpu != BPF_GHOST_MSG_NO_WAKEUP_PREF) delivery.prefer_cpu = pref_cpu;
    if (drop) return delivery;
  }
  std::array<std::byte, kMaxMessageBytes> bytes;
  const size_t length = EncodeMessage(*enclave.abi, message, bytes);
  delivery.queued = length > 0 && queue.ring.Produce(std::span(bytes).first(length));
  ++(delivery.queued ? enclave.counters.messages[message.type] : enclave.counters.dropped);
  return delivery;
}

}  // namespace ghost::usermode
