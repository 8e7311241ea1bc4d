#include "lib/base/cpu_set.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace ghost {
namespace {

// What stands between two items of a list or two groups of a mask, as in the kernel's bitmap parsers.
bool IsSeparator(char c) { return c == ',' || c == ' ' || (c >= '\t' && c <= '\r'); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Takes a decimal number off the front of *text.
CpuParseError TakeNumber(std::string_view* text, uint32_t* number) {
  if (text->empty() || !IsDigit(text->front())) return CpuParseError::kSyntax;
  uint64_t value = 0;
  while (!text->empty() && IsDigit(text->front())) {
    value = value * 10 + static_cast<uint64_t>(text->front() - '0');
    if (value > UINT32_MAX) return CpuParseError::kOverflow;
    text->remove_prefix(1);
  }
  *number = static_cast<uint32_t>(value);
  return CpuParseError::kOk;
}

bool TakeChar(std::string_view* text, char c) {
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

// One item of a list, first-last:used/group; of each group of `group` CPUs the first `used` are meant.
struct Region {
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t used = 0;
  uint32_t group = 0;
};

CpuParseError ParseRegion(std::string_view item, Region* region) {
  using enum CpuParseError;
  if (auto error = TakeNumber(&item, &region->first); error != kOk) return error;
  region->last = region->first;
  region->used = region->group = 1;
  if (item.empty()) return kOk;

  if (!TakeChar(&item, '-')) return kSyntax;
  if (auto error = TakeNumber(&item, &region->last); error != kOk) return error;
  if (item.empty()) return kOk;

  if (!TakeChar(&item, ':')) return kSyntax;
  if (auto error = TakeNumber(&item, &region->used); error != kOk) return error;
  if (!TakeChar(&item, '/')) return kSyntax;
  if (auto error = TakeNumber(&item, &region->group); error != kOk) return error;
  return item.empty() ? kOk : kSyntax;
}

// The next item of *text, which it takes off; empty if none is left.
std::string_view TakeItem(std::string_view* text) {
  size_t begin = 0;
  while (begin < text->size() && IsSeparator((*text)[begin])) ++begin;
  size_t end = begin;
  while (end < text->size() && !IsSeparator((*text)[end])) ++end;
  std::string_view item = text->substr(begin, end - begin);
  text->remove_prefix(end);
  return item;
}

}  // namespace

CpuSet CpuSet::FromCpuSetT(const cpu_set_t& cpus) {
  static_assert(CPU_SETSIZE == kMaxCpus && sizeof(cpu_set_t) == sizeof(words_));
  CpuSet set;
  std::memcpy(set.words_.data(), &cpus, sizeof(cpus));
  for (int index = 0; index < kWords; ++index) set.used_ |= uint32_t{set.words_[index] != 0} << index;
  return set;
}

cpu_set_t CpuSet::ToCpuSetT() const {
  cpu_set_t cpus;
  std::memcpy(&cpus, words_.data(), sizeof(cpus));
  return cpus;
}

std::vector<int> CpuSet::ToVector() const {
  std::vector<int> cpus(size());
  int* next = cpus.data();
  for (uint32_t left = used_; left != 0; left &= left - 1) {
    const int index = std::countr_zero(left);
    const int base = index * 64;
    uint64_t word = words_[index];
    if (word == ~uint64_t{0}) {  // a loop of known length, which compilers make short
      for (int i = 0; i < 64; ++i) next[i] = base + i;
      next += 64;
      continue;
    }
    for (; word != 0; word &= word - 1) *next++ = base + std::countr_zero(word);
  }
  return cpus;
}

CpuParseError ParseCpuList(std::string_view text, CpuSet* cpus, int limit) {
  const auto end = static_cast<uint64_t>(std::clamp(limit, 0, CpuSet::kMaxCpus));
  CpuSet parsed;
  for (std::string_view item = TakeItem(&text); !item.empty(); item = TakeItem(&text)) {
    Region region;
    if (auto error = ParseRegion(item, &region); error != CpuParseError::kOk) return error;
    if (region.first > region.last || region.group == 0 || region.used > region.group) return CpuParseError::kSyntax;
    if (region.last >= end) return CpuParseError::kRange;
    for (uint64_t cpu = region.first; cpu <= region.last; ++cpu) {
      if ((cpu - region.first) % region.group < region.used) parsed.Add(static_cast<int>(cpu));
    }
  }
  *cpus = parsed;
  return CpuParseError::kOk;
}

CpuParseError ParseCpuMask(std::string_view text, CpuSet* cpus, int limit) {
  limit = std::clamp(limit, 0, CpuSet::kMaxCpus);
  const int max_groups = (limit + 31) / 32;
  CpuSet parsed;
  // From the end, where the least significant group is.
  for (int group = 0;; ++group) {
    while (!text.empty() && IsSeparator(text.back())) text.remove_suffix(1);
    if (text.empty()) break;
    uint32_t value = 0;
    for (int digit = 0; !text.empty() && !IsSeparator(text.back()); ++digit) {
      int hex = HexValue(text.back());
      if (hex < 0) return CpuParseError::kSyntax;
      if (digit == 8) return CpuParseError::kOverflow;
      value |= static_cast<uint32_t>(hex) << (4 * digit);
      text.remove_suffix(1);
    }
    if (group == max_groups) return CpuParseError::kOverflow;
    for (; value != 0; value &= value - 1) {
      int cpu = group * 32 + std::countr_zero(value);
      if (cpu >= limit) return CpuParseError::kOverflow;
      parsed.Add(cpu);
    }
  }
  *cpus = parsed;
  return CpuParseError::kOk;
}

std::string ToCpuList(const CpuSet& cpus) {
  std::string text;
  for (int first = cpus.First(); first >= 0;) {
    int last = first;
    while (cpus.Contains(last + 1)) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    if (last > first) text += '-' + std::to_string(last);
    first = cpus.Next(last);
  }
  return text;
}

std::string ToCpuMask(const CpuSet& cpus, int num_cpus) {
  num_cpus = std::clamp(num_cpus, 0, CpuSet::kMaxCpus);
  std::string text;
  for (int group = (num_cpus + 31) / 32 - 1; group >= 0; --group) {
    int bits = std::min(32, num_cpus - group * 32);
    auto value = static_cast<uint32_t>(cpus.words()[group / 2] >> (group % 2 * 32));
    if (bits < 32) value &= (uint32_t{1} << bits) - 1;
    char digits[16];
    std::snprintf(digits, sizeof(digits), "%0*x", (bits + 3) / 4, value);
    if (!text.empty()) text += ',';
    text += digits;
  }
  return text;
}

}  // namespace ghost
