#include "experiments/common/results.h"

#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ghost {
namespace {

struct Percentile {
  const char* column;
  const char* key;
  double p;
};
constexpr Percentile kPercentiles[] = {
    {"50%", "p50_ns", 0.5}, {"99%", "p99_ns", 0.99}, {"99.5%", "p99_5_ns", 0.995}, {"99.9%", "p99_9_ns", 0.999}};

double Throughput(const Latencies& latencies, double seconds) {
  return seconds > 0 ? static_cast<double>(latencies.count()) / seconds : 0;
}

std::string TimeCell(uint64_t ns, bool in_ns) {
  return in_ns ? absl::StrCat(ns) : absl::StrFormat("%d.%03d", ns / 1000, ns % 1000);
}

}  // namespace

std::vector<std::string> StageColumns(bool ns) {
  const char* const unit = ns ? " (ns)" : " (us)";
  std::vector<std::string> columns = {"Stage", "Total Requests", "Throughput (req/s)", absl::StrCat("Min", unit)};
  for (const Percentile& percentile : kPercentiles) columns.push_back(absl::StrCat(percentile.column, unit));
  columns.push_back(absl::StrCat("Max", unit));
  return columns;
}

std::vector<std::string> StageRow(const Stage& stage, double seconds, bool ns) {
  const Latencies& latencies = *stage.latencies;
  std::vector<std::string> row = {stage.name, absl::StrCat(latencies.count()),
                                  absl::StrFormat("%.0f", Throughput(latencies, seconds)),
                                  TimeCell(latencies.min_ns(), ns)};
  for (const Percentile& percentile : kPercentiles) row.push_back(TimeCell(latencies.percentile_ns(percentile.p), ns));
  row.push_back(TimeCell(latencies.max_ns(), ns));
  return row;
}

nlohmann::ordered_json StageJson(const Latencies& latencies, double seconds) {
  nlohmann::ordered_json json;
  json["total"] = latencies.count();
  json["throughput"] = std::round(Throughput(latencies, seconds) * 10) / 10;
  json["min_ns"] = latencies.min_ns();
  json["mean_ns"] = latencies.mean_ns();
  for (const Percentile& percentile : kPercentiles) json[percentile.key] = latencies.percentile_ns(percentile.p);
  json["max_ns"] = latencies.max_ns();
  return json;
}

}  // namespace ghost
