// Where BPF programs of an enclave will run: the three places at which a ghost kernel runs them.
//
// Nothing is installed today, and an absent hook costs one comparison. Whoever implements it is called from inside the
// core's methods and must not call back into the core: what a program asks for is in the context it fills. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_HOOKS_H_
#define GHOST_KERNEL_USERMODE_CORE_HOOKS_H_

#include <cstdint>

#include "kernel/abi/message.h"

namespace ghost::usermode {

class BpfHooks {
 public:
  // pick-next-task, once a schedule of a CPU (bpf_ghost_sched).
  struct PickContext {
    uint64_t enclave = 0;
    int cpu = 0;
    bool agent_on_rq = false;     // there is an agent and it could run
    bool agent_runnable = false;  // it is about to
    bool might_yield = false;     // another class wants the CPU
    int64_t next_gtid = 0;        // latched, else the previous task if it could go on, else 0
    bool must_resched = false;    // in and out: force the previous task off
  };
  // Before a message is produced (bpf_ghost_msg).
  struct MessageContext {
    uint64_t enclave = 0;
    Message* message = nullptr;  // agent_data may be written
    bool drop = false;           // out
    int pref_cpu = -1;           // out: whose agent to wake; -1 no preference, -2 wake nobody
  };
  // At a wake-up (bpf_ghost_select_rq).
  struct SelectContext {
    uint64_t enclave = 0;
    int64_t gtid = 0;
    int task_cpu = -1;
    int waker_cpu = -1;
    int cpu = -1;  // out: where the task is put; -1 the kernel's choice
  };

  virtual ~BpfHooks() = default;
  virtual void PickNextTask(PickContext* context) = 0;
  virtual void SendMessage(MessageContext* context) = 0;
  virtual void SelectRq(SelectContext* context) = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_HOOKS_H_
