// futex(2) for words that may lie in shared memory: sleep until a word changes, wake who sleeps.
//
// Not a lock and not an event (lib/base/notification.h is one): the caller keeps the word's meaning. Any thread of any
// process that maps the word; wake-ups may be spurious, so call in a loop that looks at the word.
#ifndef GHOST_LIB_BASE_FUTEX_H_
#define GHOST_LIB_BASE_FUTEX_H_

#include <atomic>
#include <climits>
#include <cstdint>

#include "lib/base/time.h"

namespace ghost {

enum class FutexResult {
  kWoken,     // by FutexWake, by a signal, or spuriously
  kChanged,   // the word was not `expected`
  kTimedOut,  // the deadline has passed
};

// Sleeps while *word is `expected`, until `deadline` at most.
FutexResult FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, Time deadline = Time::Infinite());

// Wakes up to `count` sleepers; returns how many. The word's memory may be gone meanwhile: then none is woken.
int FutexWake(const std::atomic<uint32_t>& word, int count = INT_MAX);

}  // namespace ghost

#endif  // GHOST_LIB_BASE_FUTEX_H_
