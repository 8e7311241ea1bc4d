// Messages: who gets one, what stands in it, whose barrier it bumps and whom it wakes.
//
// One method per message type. Each bumps the source's barrier (which becomes the message's seqnum), encodes for the
// enclave's ABI, puts the message into the source's queue and wakes the agent that the queue's configuration names. A
// task without a status word, or a message that the ABI does not have, gives nothing, not even a barrier. What it is
// not: it does not know when an event happens, and changes no state but barriers, cpu_seqnum and counters. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_MESSENGER_H_
#define GHOST_KERNEL_USERMODE_CORE_MESSENGER_H_

#include <cstdint>

#include "kernel/abi/message.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Messenger {
 public:
  explicit Messenger(Kernel& kernel);

  // Task messages return whether the message was queued. All wake the agent, also when it was not, but AFFINITY_CHANGED
  // and ON_CPU do not.
  bool New(Task& task);
  bool Blocked(Task& task);
  bool Wakeup(Task& task, const TaskWakeup& wakeup);
  bool Preempt(Task& task, bool was_latched);
  bool Yield(Task& task);
  bool Dead(Task& task);
  bool Departed(Task& task, bool was_current);
  bool AffinityChanged(Task& task);
  bool PriorityChanged(Task& task);
  bool OnCpu(Task& task, bool latch_lost);
  // A latch of which a program was told that it had it could not be; `error`: an errno. Before ABI 80, which has no
  // such message, it is a latch that was lost again.
  bool LatchFailure(Task& task, int error);
  // TASK_NEW again (`discover tasks`): wakes nobody.
  bool Rediscover(Task& task);

  // CPU messages go to the agent of `cpu`, and wake only if they were queued. Nothing without an agent.
  bool Tick(Cpu& cpu, bool is_agent);
  bool TimerExpired(Cpu& cpu, uint64_t type, uint64_t cookie);
  bool NotIdle(Cpu& cpu, int64_t next_gtid);
  bool Available(Cpu& cpu);
  bool Busy(Cpu& cpu);
  bool AgentSleeps(Cpu& cpu);
  bool AgentWoke(Cpu& cpu);

  // Wakes the agent whom `queue` names, preferring the one of `cpu` if it is named. Null: nobody.
  void WakeAgent(const Queue* queue, int cpu);

 private:
  // The CPU to prefer for the wake-up after a message; kWakeNobody from a BPF program.
  static constexpr int kWakeNobody = BPF_GHOST_MSG_SKIP_AGENT_WAKE;
  struct Delivery {
    bool queued = false;
    int prefer_cpu = -1;
  };

  ::ghost::TaskNew NewPayload(Task& task) const;
  Delivery SendTask(Task& task, uint16_t type, const Payload& payload);
  bool SendTaskAndWake(Task& task, uint16_t type, const Payload& payload);
  bool SendCpu(Cpu& cpu, uint16_t type, const Payload& payload);
  Delivery Produce(Enclave& enclave, Queue& queue, Message& message, int cpu);
  uint64_t NextSeqnum(const Task& task);

  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_MESSENGER_H_
