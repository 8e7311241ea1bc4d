#include "bpf/tools/histogram.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ghost::tools {
namespace {

constexpr int kPowersPerUnit[] = {0, 10, 20};  // 1 us counts as 2^10, 1 ms as 2^20
constexpr double kNsPerUnit[] = {1, 1e3, 1e6};
constexpr int kBarWidth = 40;

struct Percentile {
  double fraction;
  const char* name;
};
constexpr Percentile kPercentiles[] = {{0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p99.9"}, {1, "max"}};

// What the programs count is ns times this.
double Scale(Unit unit) { return 1 + HistogramScale(unit) / static_cast<double>(1 << 22); }

// The first scaled value of a slot.
double SlotStart(int slot) {
  if (slot < 8) return slot;
  const int exponent = slot / 8 + 2;
  return std::ldexp(8 + slot % 8, exponent - 3);
}

struct Row {
  double from;  // in units
  double to;
  uint64_t count;
};

// One for each power of two; all below one unit together.
std::vector<Row> Rows(std::span<const uint64_t> slots, Unit unit) {
  const double per_unit = std::ldexp(1, kPowersPerUnit[static_cast<int>(unit)]);
  std::vector<Row> rows;
  for (int slot = 0; slot < TOOL_SLOTS; ++slot) {
    const double start = SlotStart(slot) / per_unit;
    if (rows.empty() || start >= rows.back().to) {
      rows.push_back(rows.empty() ? Row{0, 1, 0} : Row{rows.back().to, rows.back().to * 2, 0});
    }
    rows.back().count += slots[slot];
  }
  const auto used = [](const Row& row) { return row.count > 0; };
  rows.erase(std::find_if(rows.rbegin(), rows.rend(), used).base(), rows.end());
  rows.erase(rows.begin(), std::find_if(rows.begin(), rows.end(), used));
  return rows;
}

}  // namespace

std::optional<Unit> ParseUnit(absl::string_view text) {
  for (Unit unit : {Unit::kNs, Unit::kUs, Unit::kMs}) {
    if (text == UnitName(unit)) return unit;
  }
  return std::nullopt;
}

absl::string_view UnitName(Unit unit) {
  constexpr absl::string_view kNames[] = {"ns", "us", "ms"};
  return kNames[static_cast<int>(unit)];
}

uint32_t HistogramScale(Unit unit) {
  const int index = static_cast<int>(unit);
  return static_cast<uint32_t>(
      std::lround((std::ldexp(1, kPowersPerUnit[index]) / kNsPerUnit[index] - 1) * static_cast<double>(1 << 22)));
}

std::string FormatTime(double ns, Unit unit) {
  const double value = ns / kNsPerUnit[static_cast<int>(unit)];
  const int digits = unit == Unit::kNs ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return absl::StrFormat("%.*f %s", digits, value, UnitName(unit));
}

double HistogramView::SlotStartNs(int slot, Unit unit) { return SlotStart(slot) / Scale(unit); }

double HistogramView::MeanNs() const {
  return count() == 0 ? 0 : static_cast<double>(words_[1]) / static_cast<double>(count());
}

double HistogramView::PercentileNs(double p) const {
  if (count() == 0) return 0;
  const size_t slot = PercentileSlot(words_.subspan(2), count(), p);
  return SlotStartNs(static_cast<int>(slot) + 1, unit_);
}

std::string HistogramView::Text(absl::string_view title) const {
  std::string text = absl::StrFormat("%s: %d", title, count());
  if (count() == 0) return text + "\n";
  absl::StrAppend(&text, ", mean ", FormatTime(MeanNs(), unit_));
  for (const Percentile& percentile : kPercentiles) {
    absl::StrAppend(&text, ", ", percentile.name, " ", FormatTime(PercentileNs(percentile.fraction), unit_));
  }
  absl::StrAppendFormat(&text, "\n  %21s  %10s\n", UnitName(unit_), "count");
  const std::vector<Row> rows = Rows(words_.subspan(2), unit_);
  uint64_t most = 1;
  for (const Row& row : rows) most = std::max(most, row.count);
  for (const Row& row : rows) {
    const auto bar = static_cast<size_t>(std::ceil(static_cast<double>(row.count) * kBarWidth / most));
    absl::StrAppendFormat(&text, "  %9.0f .. %-9.0f  %9d |%-*s|\n", row.from, row.to, row.count, kBarWidth,
                          std::string(bar, '#'));
  }
  return text;
}

Json HistogramView::ToJson() const {
  const double unit_ns = kNsPerUnit[static_cast<int>(unit_)];
  Json json = {{"count", count()}, {"mean_ns", std::llround(MeanNs())}};
  for (const Percentile& percentile : kPercentiles) {
    std::string name = absl::StrCat(percentile.name, "_ns");
    std::replace(name.begin(), name.end(), '.', '_');
    json[name] = std::llround(PercentileNs(percentile.fraction));
  }
  json["rows"] = Json::array();
  for (const Row& row : Rows(words_.subspan(2), unit_)) {
    json["rows"].push_back({{"from_ns", std::llround(row.from * unit_ns)},
                            {"to_ns", std::llround(row.to * unit_ns)},
                            {"count", row.count}});
  }
  return json;
}

size_t PercentileSlot(std::span<const uint64_t> slots, uint64_t count, double p) {
  const auto rank = static_cast<uint64_t>(p * static_cast<double>(count - 1)) + 1;
  uint64_t seen = 0;
  size_t slot = 0;
  for (; slot < slots.size() - 1; ++slot) {
    seen += slots[slot];
    if (seen >= rank) break;
  }
  return slot;
}

void AddHistograms(std::span<const uint64_t> a, std::span<const uint64_t> b, std::span<uint64_t> sum) {
  for (size_t index = 0; index < sum.size(); ++index) sum[index] = a[index] + b[index];
}

}  // namespace ghost::tools
