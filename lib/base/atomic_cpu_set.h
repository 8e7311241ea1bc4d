// AtomicCpuSet: a set of CPUs that many threads change and look into at once, each CPU by itself.
//
// Changes are sequentially consistent with each other and with empty() and FirstIn(): of two threads that each change
// something and then look, one sees the other's change. What it is not: a look at several CPUs is no snapshot of them.
//
// Threads: any. No allocation after its making; a look goes over the words that `num_cpus` need.
#ifndef GHOST_LIB_BASE_ATOMIC_CPU_SET_H_
#define GHOST_LIB_BASE_ATOMIC_CPU_SET_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "lib/base/cpu_set.h"

namespace ghost {

class AtomicCpuSet {
 public:
  // Of CPUs 0..num_cpus-1.
  explicit AtomicCpuSet(int num_cpus) : num_words_((num_cpus + 63) / 64) {}

  void Add(int cpu) {
    if ((words_[cpu / 64].fetch_or(Bit(cpu)) & Bit(cpu)) == 0) size_.fetch_add(1);
  }
  void Remove(int cpu) {
    if ((words_[cpu / 64].fetch_and(~Bit(cpu)) & Bit(cpu)) != 0) size_.fetch_sub(1);
  }
  bool Contains(int cpu) const { return cpu / 64 < num_words_ && (words_[cpu / 64].load() & Bit(cpu)) != 0; }
  bool empty() const { return size_.load() <= 0; }
  // The first member, from `from` upwards, that is in `a` and in `b`; -1: none.
  int FirstIn(int from, const CpuSet& a, const CpuSet& b) const {
    uint64_t mask = ~uint64_t{0} << (from % 64);
    for (int i = from / 64; i < num_words_; ++i, mask = ~uint64_t{0}) {
      const uint64_t word = words_[i].load() & a.words()[i] & b.words()[i] & mask;
      if (word != 0) return i * 64 + std::countr_zero(word);
    }
    return -1;
  }
  bool Contains(const CpuSet& cpus) const {
    for (int i = 0; i < num_words_; ++i) {
      if ((cpus.words()[i] & ~words_[i].load()) != 0) return false;
    }
    return true;
  }

 private:
  static constexpr uint64_t Bit(int cpu) { return uint64_t{1} << (cpu % 64); }

  const int num_words_;
  std::array<std::atomic<uint64_t>, CpuSet::kWords> words_ = {};
  std::atomic<int> size_{0};  // follows the words: for a moment it may be less
};

}  // namespace ghost

#endif  // GHOST_LIB_BASE_ATOMIC_CPU_SET_H_
