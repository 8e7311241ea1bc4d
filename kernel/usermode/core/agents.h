// Agents: becoming one, parking in RUN, being pinged, ending.
//
// What it is not: it does not decide when a parked agent runs again (scheduler.h). One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_AGENTS_H_
#define GHOST_KERNEL_USERMODE_CORE_AGENTS_H_

#include <cstdint>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Agents {
 public:
  explicit Agents(Kernel& kernel);

  // `become agent`: the caller becomes the agent of `cpu`, with the queue behind `fd` (-1: the default one). 0, -errno.
  int Become(Enclave& enclave, int cpu, int fd, Caller& caller);
  // GHOST_IOC_RUN. *parked: the answer comes when the agent is picked.
  int Run(const ghost_ioc_run& run, Caller& caller, uint64_t request, bool* parked);
  // The agent gives up its CPU in `request`, which will be answered with `result`.
  void Park(Agent& agent, uint64_t request, int result);
  // A signal for the one that waits in `request`.
  void Interrupt(uint64_t request);

  void OnExited(Tid tid);
  void OnSleeps(Tid tid);
  void OnWoken(Tid tid);

 private:
  Kernel& kernel_;
  State& state_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_AGENTS_H_
