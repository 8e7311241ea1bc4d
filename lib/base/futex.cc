#include "lib/base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "lib/base/logging.h"

namespace ghost {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);

FutexResult FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, Time deadline) {
  timespec absolute;
  timespec* timeout = nullptr;
  if (deadline != Time::Infinite()) {
    // The kernel refuses times before 0.
    const int64_t ns = deadline.ns() < 0 ? 0 : deadline.ns();
    absolute = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    timeout = &absolute;
  }
  // WAIT_BITSET rather than WAIT: its timeout is a point of CLOCK_MONOTONIC.
  if (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, timeout, nullptr, FUTEX_BITSET_MATCH_ANY) == 0) {
    return FutexResult::kWoken;
  }
  switch (errno) {
    case EAGAIN:
      return FutexResult::kChanged;
    case ETIMEDOUT:
      return FutexResult::kTimedOut;
    default:
      GHOST_CHECK(errno == EINTR) << "futex wait: errno " << errno;
      return FutexResult::kWoken;
  }
}

int FutexWake(const std::atomic<uint32_t>& word, int count) {
  const long woken = syscall(SYS_futex, &word, FUTEX_WAKE, count);
  GHOST_CHECK(woken >= 0 || errno == EFAULT) << "futex wake: errno " << errno;
  return woken < 0 ? 0 : static_cast<int>(woken);
}

}  // namespace ghost
