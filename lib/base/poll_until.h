// Asks again and again until the answer is yes or time is up: for the few kernel states that tell nobody when they
// change (an enclave's CPUs after its destruction, an agent's status word after its thread's end).
//
// Not for what has an event: wait for that. Not for agents on a CPU and not for tests' own threads.
#ifndef GHOST_LIB_BASE_POLL_UNTIL_H_
#define GHOST_LIB_BASE_POLL_UNTIL_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"
#include "lib/base/time.h"

namespace ghost {

// The last answer of `done`. It is asked at least once; the pauses between grow from 20 us to 2 ms.
template <typename Done>
bool PollUntil(absl::Duration timeout, Done done) {
  const Time deadline = Time::Now() + timeout;
  int64_t pause_ns = 20'000;
  for (;;) {
    if (done()) return true;
    if (Time::Now() >= deadline) return false;
    const timespec pause = {.tv_sec = 0, .tv_nsec = static_cast<long>(pause_ns)};
    nanosleep(&pause, nullptr);
    pause_ns = std::min<int64_t>(pause_ns * 2, 2'000'000);
  }
}

}  // namespace ghost

#endif  // GHOST_LIB_BASE_POLL_UNTIL_H_
