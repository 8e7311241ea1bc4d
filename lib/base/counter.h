// Counter: a number that one thread changes and any thread may read, without locks and without read-modify-write
// atomics.
//
// Not for numbers that several threads change: those lose counts here.
#ifndef GHOST_LIB_BASE_COUNTER_H_
#define GHOST_LIB_BASE_COUNTER_H_

#include <cstdint>

namespace ghost {

class Counter {
 public:
  Counter() = default;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  // The owner.
  void Add(int64_t more) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    // One instruction where a relaxed load and store are three. A reader sees the value before or after, never half of
    // it.
    asm("addq %1, %0" : "+m"(value_) : "er"(more) : "cc");
#else
    __atomic_store_n(&value_, __atomic_load_n(&value_, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
#endif
  }
  // Anyone.
  int64_t value() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }

 private:
  int64_t value_ = 0;
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_COUNTER_H_
