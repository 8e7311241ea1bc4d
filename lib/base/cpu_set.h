// A set of CPU numbers, and the two texts in which the kernel writes one: lists ("0-3,8") and masks ("f",
// "1,00000003").
//
// Fixed capacity (kMaxCpus), no allocation, value semantics; iteration and the set operations go word by word, so they
// are fit for a schedule pass. What it is not: it knows nothing of which CPUs exist (lib/topology.h does).
//
//     CpuSet cpus;
//     if (auto error = ParseCpuList("0-3:1/2", &cpus); error != CpuParseError::kOk) …
//     for (int cpu : cpus) …
#ifndef GHOST_LIB_BASE_CPU_SET_H_
#define GHOST_LIB_BASE_CPU_SET_H_

#include <sched.h>

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>

namespace ghost {

class CpuSet {
 public:
  static constexpr int kMaxCpus = 1024;
  static constexpr int kWords = kMaxCpus / 64;

  constexpr CpuSet() = default;
  constexpr CpuSet(std::initializer_list<int> cpus) {
    for (int cpu : cpus) Add(cpu);
  }
  // CPUs 0..count-1.
  static constexpr CpuSet FirstN(int count) {
    CpuSet set;
    for (int cpu = 0; cpu < count; ++cpu) set.Add(cpu);
    return set;
  }
  static CpuSet FromCpuSetT(const cpu_set_t& cpus);
  cpu_set_t ToCpuSetT() const;

  static constexpr bool InRange(int cpu) { return cpu >= 0 && cpu < kMaxCpus; }

  // Arguments must be in range.
  constexpr void Add(int cpu) { words_[cpu / 64] |= uint64_t{1} << (cpu % 64); }
  constexpr void Remove(int cpu) { words_[cpu / 64] &= ~(uint64_t{1} << (cpu % 64)); }
  // False for any number outside 0..kMaxCpus-1.
  constexpr bool Contains(int cpu) const { return InRange(cpu) && ((words_[cpu / 64] >> (cpu % 64)) & 1) != 0; }
  constexpr void Clear() { words_ = {}; }

  constexpr bool empty() const {
    for (uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }
  constexpr int size() const {
    int count = 0;
    for (uint64_t word : words_) count += std::popcount(word);
    return count;
  }
  // The lowest member, or -1; the lowest member above `cpu`, or -1.
  constexpr int First() const { return Next(-1); }
  constexpr int Next(int cpu) const {
    int from = cpu + 1;
    if (from >= kMaxCpus) return -1;
    int index = from / 64;
    uint64_t word = words_[index] & (~uint64_t{0} << (from % 64));
    while (word == 0) {
      if (++index == kWords) return -1;
      word = words_[index];
    }
    return index * 64 + std::countr_zero(word);
  }
  constexpr int Last() const {
    for (int index = kWords - 1; index >= 0; --index) {
      if (words_[index] != 0) return index * 64 + 63 - std::countl_zero(words_[index]);
    }
    return -1;
  }

  constexpr CpuSet& operator&=(const CpuSet& other) {
    for (int i = 0; i < kWords; ++i) words_[i] &= other.words_[i];
    return *this;
  }
  constexpr CpuSet& operator|=(const CpuSet& other) {
    for (int i = 0; i < kWords; ++i) words_[i] |= other.words_[i];
    return *this;
  }
  constexpr CpuSet& operator-=(const CpuSet& other) {
    for (int i = 0; i < kWords; ++i) words_[i] &= ~other.words_[i];
    return *this;
  }
  friend constexpr CpuSet operator&(CpuSet a, const CpuSet& b) { return a &= b; }
  friend constexpr CpuSet operator|(CpuSet a, const CpuSet& b) { return a |= b; }
  friend constexpr CpuSet operator-(CpuSet a, const CpuSet& b) { return a -= b; }
  friend constexpr bool operator==(const CpuSet&, const CpuSet&) = default;
  constexpr bool Intersects(const CpuSet& other) const { return !(*this & other).empty(); }
  constexpr bool IsSubsetOf(const CpuSet& other) const { return (*this - other).empty(); }

  // Ascending. Removing the current member while iterating is fine.
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = int;
    using difference_type = int;
    using pointer = const int*;
    using reference = int;

    constexpr Iterator() = default;
    constexpr Iterator(const CpuSet* set, int cpu) : set_(set), cpu_(cpu) {}
    constexpr int operator*() const { return cpu_; }
    constexpr Iterator& operator++() {
      cpu_ = set_->Next(cpu_);
      return *this;
    }
    constexpr Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    friend constexpr bool operator==(const Iterator& a, const Iterator& b) { return a.cpu_ == b.cpu_; }

   private:
    const CpuSet* set_ = nullptr;
    int cpu_ = -1;
  };
  constexpr Iterator begin() const { return Iterator(this, First()); }
  constexpr Iterator end() const { return Iterator(this, -1); }

  const std::array<uint64_t, kWords>& words() const { return words_; }

 private:
  std::array<uint64_t, kWords> words_ = {};
};

enum class CpuParseError {
  kOk,
  kSyntax,    // EINVAL
  kRange,     // ERANGE: a CPU number at or above `limit` (lists)
  kOverflow,  // EOVERFLOW: a number over 32 bits (lists, masks), or a bit at or above `limit` (masks)
};

// Parses the kernel's list format: "", "0-3,8", "0-9:2/4" (of each group of 4 the first 2), blanks around items, one
// trailing newline. *cpus is unchanged on error. Numbers >= limit: kRange.
CpuParseError ParseCpuList(std::string_view text, CpuSet* cpus, int limit = CpuSet::kMaxCpus);
// Parses the kernel's mask format: groups of up to 8 hex digits separated by commas, most significant first. "0x" is
// kSyntax.
CpuParseError ParseCpuMask(std::string_view text, CpuSet* cpus, int limit = CpuSet::kMaxCpus);

// "0-3,8"; the empty set is "".
std::string ToCpuList(const CpuSet& cpus);
// Hex in 32-bit groups, `num_cpus` bits wide, as bitmap "%*pb": the first group has as many digits as it needs bits
// for.
std::string ToCpuMask(const CpuSet& cpus, int num_cpus);

}  // namespace ghost

#endif  // GHOST_LIB_BASE_CPU_SET_H_
