// Words in memory that another process reads and writes at the same time, and how each side may touch them.
//
// Every access of ours to a queue's ring, to a transaction and to a status word goes through here, so that a test
// (tests/interleaving) can put itself in between and try all orders; everywhere else these are plain loads and stores
// with the order that they name. What it is not: a lock, or trust in what is read. Any thread.
#ifndef GHOST_LIB_BASE_SHARED_WORD_H_
#define GHOST_LIB_BASE_SHARED_WORD_H_

#include <cstddef>
#include <cstring>

#ifdef GHOST_SHARED_WORD_HEADER  // another implementation of the same functions
#include GHOST_SHARED_WORD_HEADER
#else

namespace ghost {

enum class Order { kRelaxed = __ATOMIC_RELAXED, kAcquire = __ATOMIC_ACQUIRE, kRelease = __ATOMIC_RELEASE };

template <Order order, typename T>
[[gnu::always_inline]] inline T LoadShared(const T& word) {
  return __atomic_load_n(&word, static_cast<int>(order));
}

template <Order order, typename T>
[[gnu::always_inline]] inline void StoreShared(T& word, T value) {
  __atomic_store_n(&word, value, static_cast<int>(order));
}

// Makes the word `desired` if it is *expected, else tells in *expected what it is. Acquire and release.
template <typename T>
[[gnu::always_inline]] inline bool ExchangeShared(T& word, T* expected, T desired) {
  return __atomic_compare_exchange_n(&word, expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

// Data that a word announces: written before the word is stored with release, read after it was loaded with acquire.
template <typename T>
[[gnu::always_inline]] inline void PutShared(T& field, T value) {
  field = value;
}
[[gnu::always_inline]] inline void WriteShared(void* to, const void* from, size_t size) { std::memcpy(to, from, size); }
[[gnu::always_inline]] inline void ReadShared(void* to, const void* from, size_t size) { std::memcpy(to, from, size); }

}  // namespace ghost

#endif  // GHOST_SHARED_WORD_HEADER

#endif  // GHOST_LIB_BASE_SHARED_WORD_H_
