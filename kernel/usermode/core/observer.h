// What goes on inside the core, for whoever watches it: tests, a checker, traces. Where nobody does, it costs one
// comparison.
//
// Called from inside the core's methods; must not call back into the core. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_OBSERVER_H_
#define GHOST_KERNEL_USERMODE_CORE_OBSERVER_H_

#include <cstdint>

#include "kernel/abi/message.h"
#include "lib/base/cpu_set.h"

namespace ghost::usermode {

class State;

class CoreObserver {
 public:
  // What the driver reports of a task; named as the Core's On… methods.
  enum class TaskEvent : uint8_t { kGated, kYielded, kBlocked, kReady, kExited };

  virtual ~CoreObserver() = default;
  virtual void OnTaskEvent(int64_t, TaskEvent) {}
  virtual void OnTaskForked(int64_t) {}
  // A message comes into being, whatever becomes of it: a program may drop it, the queue may be full.
  virtual void OnMessage(const Message&) {}
  // A CPU's transaction is claimed; its final state is published.
  virtual void OnClaim(int /*cpu*/) {}
  virtual void OnOutcome(int /*cpu*/, int32_t /*state*/) {}
  // A sync group of these CPUs has ended, with or without success; the outcomes have been told.
  virtual void OnGroup(const CpuSet& /*cpus*/, bool /*all*/) {}
  // The end of every entry into the core, when all that it has caused is done.
  virtual void AfterEntry(const State&) {}
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_OBSERVER_H_
