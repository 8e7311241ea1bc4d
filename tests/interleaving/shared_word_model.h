// lib/base/shared_word.h for the explorer: every access is one of its steps. Included only by that header, in code that
// is compiled for tests/interleaving.
#ifndef GHOST_TESTS_INTERLEAVING_SHARED_WORD_MODEL_H_
#define GHOST_TESTS_INTERLEAVING_SHARED_WORD_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/interleaving/explorer.h"

namespace ghost {

enum class Order { kRelaxed, kAcquire, kRelease };

template <Order order, typename T>
T LoadShared(const T& word) {
  return static_cast<T>(interleaving::Load(&word, sizeof(T), static_cast<interleaving::Ordering>(order)));
}

template <Order order, typename T>
void StoreShared(T& word, T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  interleaving::Store(&word, sizeof(T), bits, static_cast<interleaving::Ordering>(order));
}

template <typename T>
bool ExchangeShared(T& word, T* expected, T desired) {
  uint64_t from = 0;
  uint64_t to = 0;
  std::memcpy(&from, expected, sizeof(T));
  std::memcpy(&to, &desired, sizeof(T));
  const bool done = interleaving::Exchange(&word, sizeof(T), &from, to);
  std::memcpy(expected, &from, sizeof(T));
  return done;
}

template <typename T>
void PutShared(T& field, T value) {
  interleaving::PlainWrite(&field, sizeof(T));
  field = value;
}
inline void WriteShared(void* to, const void* from, size_t size) {
  interleaving::PlainWrite(to, size);
  std::memcpy(to, from, size);
}
inline void ReadShared(void* to, const void* from, size_t size) {
  interleaving::PlainRead(from, size);
  std::memcpy(to, from, size);
}

}  // namespace ghost

#endif  // GHOST_TESTS_INTERLEAVING_SHARED_WORD_MODEL_H_
