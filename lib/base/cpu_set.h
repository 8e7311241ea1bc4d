// A set of CPU numbers, and the two texts in which the kernel writes one: lists ("0-3,8") and masks ("f",
// "1,00000003").
//
// Fixed capacity (kMaxCpus), no allocation, value semantics; a query is O(1), iteration and the set operations touch
// only words that have members, so all but the texts and ToVector are fit for a schedule pass. What it is not: it knows
// nothing of which CPUs exist (lib/topology.h does).
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
#include <vector>

#include "lib/base/bits.h"

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
  std::vector<int> ToVector() const;

  static constexpr bool InRange(int cpu) { return cpu >= 0 && cpu < kMaxCpus; }

  // Arguments must be in range.
  constexpr void Add(int cpu) {
    words_[WordOf(cpu)] |= BitOf(cpu);
    used_ |= uint32_t{1} << WordOf(cpu);
  }
  constexpr void Remove(int cpu) {
    const uint64_t left = words_[WordOf(cpu)] & ~BitOf(cpu);
    Put(WordOf(cpu), left);
  }
  // False for any number outside 0..kMaxCpus-1.
  constexpr bool Contains(int cpu) const { return InRange(cpu) && (words_[WordOf(cpu)] & BitOf(cpu)) != 0; }
  constexpr void Clear() {
    for (uint32_t left = used_; left != 0; left &= left - 1) words_[LowestBit(left)] = 0;
    used_ = 0;
  }

  constexpr bool empty() const { return used_ == 0; }
  constexpr int size() const {
    int count = 0;
    for (uint32_t left = used_; left != 0; left &= left - 1) count += std::popcount(words_[LowestBit(left)]);
    return count;
  }
  // The lowest member, or -1; the lowest member above `cpu`, or -1.
  constexpr int First() const { return used_ == 0 ? -1 : FirstOf(LowestBit(used_)); }
  constexpr int Next(int cpu) const {
    const int from = cpu + 1;
    if (from >= kMaxCpus) return -1;
    const uint64_t rest = words_[WordOf(from)] >> BitIndex(from);
    if (rest != 0) return from + LowestBit(rest);
    const uint32_t later = used_ & AllAbove(WordOf(from));
    return later == 0 ? -1 : FirstOf(LowestBit(later));
  }
  constexpr int Last() const {
    if (used_ == 0) return -1;
    const int index = HighestBit(used_);
    return index * 64 + HighestBit(words_[index]);
  }
  // The lowest member of both, or -1.
  constexpr int FirstIn(const CpuSet& other) const {
    for (uint32_t left = used_ & other.used_; left != 0; left &= left - 1) {
      const int index = LowestBit(left);
      const uint64_t both = words_[index] & other.words_[index];
      if (both != 0) return index * 64 + LowestBit(both);
    }
    return -1;
  }

  constexpr CpuSet& operator&=(const CpuSet& other) {
    for (uint32_t left = used_; left != 0; left &= left - 1) {
      const int index = LowestBit(left);
      Put(index, words_[index] & other.words_[index]);
    }
    return *this;
  }
  constexpr CpuSet& operator|=(const CpuSet& other) {
    for (uint32_t left = other.used_; left != 0; left &= left - 1) {
      const int index = LowestBit(left);
      words_[index] |= other.words_[index];
    }
    used_ |= other.used_;
    return *this;
  }
  constexpr CpuSet& operator-=(const CpuSet& other) {
    for (uint32_t left = used_ & other.used_; left != 0; left &= left - 1) {
      const int index = LowestBit(left);
      Put(index, words_[index] & ~other.words_[index]);
    }
    return *this;
  }
  friend constexpr CpuSet operator&(CpuSet a, const CpuSet& b) { return a &= b; }
  friend constexpr CpuSet operator|(CpuSet a, const CpuSet& b) { return a |= b; }
  friend constexpr CpuSet operator-(CpuSet a, const CpuSet& b) { return a -= b; }
  friend constexpr bool operator==(const CpuSet&, const CpuSet&) = default;
  constexpr bool Intersects(const CpuSet& other) const { return FirstIn(other) >= 0; }
  constexpr bool IsSubsetOf(const CpuSet& other) const { return (*this - other).empty(); }

  // Ascending. Removing members while iterating is fine; those of the current member's word of 64 may still be shown.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = int;
    using difference_type = int;
    using pointer = const int*;
    using reference = int;

    constexpr Iterator() = default;
    constexpr explicit Iterator(const CpuSet* set) : set_(set) { EnterWord(set->used_); }
    constexpr int operator*() const { return cpu_; }
    constexpr Iterator& operator++() {
      // CPUs mostly come in runs.
      ++cpu_;
      rest_ >>= 1;
      if ((rest_ & 1) != 0) [[likely]]
        return *this;
      if (rest_ == 0) {
        EnterWord(set_->used_ & AllAbove(WordOf(cpu_ - 1)));
      } else {
        const int gap = LowestBit(rest_);
        cpu_ += gap;
        rest_ >>= gap;
      }
      return *this;
    }
    constexpr Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    friend constexpr bool operator==(const Iterator& a, std::default_sentinel_t) { return a.rest_ == 0; }
    friend constexpr bool operator==(const Iterator& a, const Iterator& b) {
      return a.rest_ == 0 ? b.rest_ == 0 : b.rest_ != 0 && a.cpu_ == b.cpu_;
    }

   private:
    // To the first member of the first of these words; at the end, if there is none.
    constexpr void EnterWord(uint32_t used) {
      if (used == 0) return;
      const int index = LowestBit(used);
      cpu_ = index * 64 + LowestBit(set_->words_[index]);
      rest_ = set_->words_[index] >> BitIndex(cpu_);
    }

    const CpuSet* set_ = nullptr;
    int cpu_ = -1;
    uint64_t rest_ = 0;  // bit 0 is cpu_, with what follows it in its word; 0 at the end
  };
  constexpr Iterator begin() const { return Iterator(this); }
  constexpr std::default_sentinel_t end() const { return {}; }

  const std::array<uint64_t, kWords>& words() const { return words_; }

 private:
  static constexpr int WordOf(int cpu) { return static_cast<int>(static_cast<unsigned>(cpu) / 64); }
  static constexpr int BitIndex(int cpu) { return static_cast<int>(static_cast<unsigned>(cpu) % 64); }
  static constexpr uint64_t BitOf(int cpu) { return uint64_t{1} << BitIndex(cpu); }
  static constexpr uint32_t AllAbove(int index) { return ~uint32_t{1} << index; }
  constexpr int FirstOf(int index) const { return index * 64 + LowestBit(words_[index]); }
  constexpr void Put(int index, uint64_t word) {
    words_[index] = word;
    if (word == 0) used_ &= ~(uint32_t{1} << index);
  }

  std::array<uint64_t, kWords> words_ = {};
  uint32_t used_ = 0;  // which words are not 0: few of them are, and nothing here looks at the others
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
