// Busy waiting: the CPU's hint for spin loops, and burning a given amount of CPU time.
//
// Any thread. Spinning on memory that another process writes must be bounded by the caller.
#ifndef GHOST_LIB_BASE_SPIN_H_
#define GHOST_LIB_BASE_SPIN_H_

#include "absl/time/time.h"

namespace ghost {

// To be called in each turn of a spin loop: frees the core for its hyperthread, saves power.
inline void Pause() {
#if defined(__x86_64__)
  asm volatile("pause" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#else
#error "Pause() is not written for this machine"
#endif
}

// Computes until the calling thread has used `duration` of CPU time: time in which it is preempted does not count.
void SpinFor(absl::Duration duration);

// CPU time that the calling thread has used.
absl::Duration ThreadCpuTime();

}  // namespace ghost

#endif  // GHOST_LIB_BASE_SPIN_H_
