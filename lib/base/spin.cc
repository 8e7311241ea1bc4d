#include "lib/base/spin.h"

#include <time.h>

namespace ghost {

absl::Duration ThreadCpuTime() {
  timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return absl::DurationFromTimespec(used);
}

void SpinFor(absl::Duration duration) {
  const absl::Duration end = ThreadCpuTime() + duration;
  while (ThreadCpuTime() < end) {
    // The clock is a system call of about 200 ns: read it seldom, but often enough for durations of microseconds.
    for (int i = 0; i < 32; ++i) asm volatile("");
  }
}

}  // namespace ghost
