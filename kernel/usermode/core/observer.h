// What goes on inside the core, for whoever watches it: tests, a checker. An absent observer costs one comparison.
//
// Called from inside the core's methods; must not call back into the core. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_OBSERVER_H_
#define GHOST_KERNEL_USERMODE_CORE_OBSERVER_H_

#include <cstdint>

#include "lib/base/cpu_set.h"

namespace ghost::usermode {

class State;

class CoreObserver {
 public:
  // What the driver reports of a task; named as the Core's On… methods.
  enum class TaskEvent : uint8_t { kGated, kYielded, kBlocked, kReady, kExited };

  virtual ~CoreObserver() = default;
  virtual void OnTaskEvent(int64_t gtid, TaskEvent event) = 0;
  virtual void OnTaskForked(int64_t gtid) = 0;
  // A CPU's transaction is claimed; its final state is published.
  virtual void OnClaim(int cpu) = 0;
  virtual void OnOutcome(int cpu, int32_t state) = 0;
  // A sync group of these CPUs has ended, with or without success; the outcomes have been told.
  virtual void OnGroup(const CpuSet& cpus, bool all) = 0;
  // The end of every entry into the core, when all that it has caused is done.
  virtual void AfterEntry(const State& state) = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_OBSERVER_H_
