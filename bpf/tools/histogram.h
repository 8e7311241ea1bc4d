// The histograms that the tools' BPF programs fill (third_party/bpf/sched_tool.h), as people and programs read them.
//
// The programs scale what they count, so that the rows (powers of two) begin at whole units: 1, 2, 4, ... us, not 1.024
// us. Percentiles are right within 1/8. No state: a histogram is an array of counts that somebody else owns.
#ifndef GHOST_BPF_TOOLS_HISTOGRAM_H_
#define GHOST_BPF_TOOLS_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "third_party/bpf/sched_tool.h"

namespace ghost::tools {

using Json = nlohmann::ordered_json;

enum class Unit { kNs, kUs, kMs };

std::optional<Unit> ParseUnit(absl::string_view text);  // "ns", "us", "ms"
absl::string_view UnitName(Unit unit);
// tool_options.histogram_scale for rows of this unit.
uint32_t HistogramScale(Unit unit);

inline constexpr size_t kHistogramWords = sizeof(tool_histogram) / sizeof(uint64_t);

// A tool_histogram's words: its count, its sum in ns, and its slots.
class HistogramView {
 public:
  HistogramView(std::span<const uint64_t> words, Unit unit) : words_(words), unit_(unit) {}

  uint64_t count() const { return words_[0]; }
  double MeanNs() const;
  // The value that the fraction `p` (0..1) of all values does not exceed: the upper end of its slot. 0: no values.
  double PercentileNs(double p) const;

  // A line with count, mean and percentiles, then a row for each power of two.
  std::string Text(absl::string_view title) const;
  // {"count":…, "mean_ns":…, "p50_ns":…, …, "rows":[{"from_ns":…, "to_ns":…, "count":…}, …]}
  Json ToJson() const;

  // The first value of a slot, in ns. (Public for the test.)
  static double SlotStartNs(int slot, Unit unit);

 private:
  std::span<const uint64_t> words_;
  Unit unit_;
};

// Which of the slots, in which `count` (> 0) values are, has the one that the fraction `p` (0..1) of them does not
// exceed.
size_t PercentileSlot(std::span<const uint64_t> slots, uint64_t count, double p);

// What can be seen as a histogram of `a` and `b` together; `sum` holds the words.
void AddHistograms(std::span<const uint64_t> a, std::span<const uint64_t> b, std::span<uint64_t> sum);

// "12.3 us"
std::string FormatTime(double ns, Unit unit);

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_HISTOGRAM_H_
