// What happens as time passes: the scheduler tick, and agents' timers.
//
// The tick (250 Hz) serves deliver_ticks, commit_at_tick, runnable_timeout and deferred preemptions of latches; it is
// armed only while one of those has something to look at, so that an idle kernel costs nothing and a virtual clock can
// jump. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_TICKER_H_
#define GHOST_KERNEL_USERMODE_CORE_TICKER_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Ticker {
 public:
  static constexpr int64_t kTickNs = 4'000'000;

  explicit Ticker(Kernel& kernel);

  // Something that a tick may concern has begun (a task got a CPU or became runnable, an agent runs, a tunable was
  // set).
  void Need() { needed_ = true; }
  // … a latched task waits for an agent that runs.
  void NeedForDeferred() {
    needed_ = true;
    deferred_ = true;
  }
  // At the end of every entry into the core: arms the tick if it is needed.
  void Arm();

  void OnTimer(uint64_t id);

  // GHOST_IOC_TIMERFD_SETTIME. 0 or -errno.
  int TimerfdSettime(Caller& caller, const ghost_ioc_timerfd_settime& settime);
  void TimerfdExpired(int cpu, uint64_t type, uint64_t cookie);

 private:
  struct Timer {
    Tid tgid = 0;  // whose
    int cpu = 0;
    uint64_t type = 0;
    uint64_t cookie = 0;
    int64_t when_ns = 0;
    int64_t interval_ns = 0;
  };

  bool Wanted();
  // The timer's owner still has its descriptor, as far as we can know.
  bool OwnerLives(const Timer& timer) const;
  void Tick();
  // True if the next tick may concern the CPU, or the enclave, too.
  bool TickCpu(Cpu& cpu);
  bool TickEnclave(Enclave& enclave, int64_t now);

  Kernel& kernel_;
  State& state_;
  bool needed_ = false;
  bool armed_ = false;
  bool deferred_ = false;                        // there may be CPUs with a deferred preemption
  absl::flat_hash_map<uint64_t, Timer> timers_;  // by timer id
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_TICKER_H_
