// CpuTimer: a time at which a CPU's agent is to wake (CPU_TIMER_EXPIRED comes to its queue then).
//
// One of them serves one CPU at a time: setting it anew is the end of what it was set to. What it is not: a clock, or a
// list of times. Threads: Set from one thread at a time; it neither allocates nor locks, but it is a system call.
#ifndef GHOST_LIB_CPU_TIMER_H_
#define GHOST_LIB_CPU_TIMER_H_

#include <sys/timerfd.h>

#include <cstdint>

#include "absl/status/status.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/kernel.h"

namespace ghost {

class CpuTimer {
 public:
  absl::Status Create(KernelEnclave* kernel) {
    GHOST_ASSIGN_OR_RETURN(timer_, kernel->CreateTimer());
    kernel_ = kernel;
    return absl::OkStatus();
  }
  // The agent of `cpu`, which is this process's, wakes at `when`; at once, if that is over. No call, if it is set so
  // already. False: the kernel refuses.
  bool Set(int cpu, Time when);
  // What it was set to last, whether that is over or not; long ago, if never.
  Time when() const { return when_; }

 private:
  KernelEnclave* kernel_ = nullptr;
  KernelTimer timer_;
  int cpu_ = -1;
  Time when_;
};

inline bool CpuTimer::Set(int cpu, Time when) {
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  if (cpu == cpu_ && when == when_) return true;
  itimerspec value = {};
  value.it_value.tv_sec = when.ns() / kNsPerSecond;
  value.it_value.tv_nsec = when.ns() % kNsPerSecond;
  ghost_ioc_timerfd_settime argument = {};
  argument.timerfd = timer_.fd;
  argument.flags = TFD_TIMER_ABSTIME;
  argument.in_tmr = reinterpret_cast<uint64_t>(&value);
  argument.timerfd_ghost = {.cpu = cpu, .flags = TIMERFD_GHOST_ENABLED, .type = 0, .cookie = 0};
  if (kernel_->Ioctl(GHOST_IOC_TIMERFD_SETTIME, &argument) < 0) return false;
  cpu_ = cpu;
  when_ = when;
  return true;
}

}  // namespace ghost

#endif  // GHOST_LIB_CPU_TIMER_H_
