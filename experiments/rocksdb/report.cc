#include "experiments/rocksdb/report.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "experiments/common/results.h"
#include "experiments/common/table.h"
#include "nlohmann/json.hpp"

namespace ghost {
namespace {

using Json = nlohmann::ordered_json;
using Stages = RequestStats::Stages;

const char* WordOfKind(RequestKind kind) { return kind == RequestKind::kGet ? "get" : "range"; }

double Seconds(const RunResults& results) { return static_cast<double>(results.measured_ns) / 1e9; }

double AchievedPerSecond(const RunResults& results) {
  return results.measured_ns <= 0 ? 0 : static_cast<double>(results.finished()) / Seconds(results);
}

// A part of the results that has a table of its own.
struct Part {
  std::string title;
  const Stages* stages;
};

// Those that the options ask for. `all` outlives them, and `none` is for kinds that did not occur.
std::vector<Part> PartsOf(const ExperimentOptions& options, const RunResults& results, const Stages* all,
                          const Stages* none) {
  std::vector<Part> parts = {{"All", all}};
  const auto of = [&](RequestKind kind) {
    const Stages* const stages = results.stats.of(kind);
    return stages == nullptr ? none : stages;
  };
  if (options.print_get) parts.push_back({"Get", of(RequestKind::kGet)});
  if (options.print_range) parts.push_back({"Range", of(RequestKind::kRange)});
  return parts;
}

std::vector<std::vector<std::string>> RowsOf(const ExperimentOptions& options, const RunResults& results,
                                             const Stages& stages) {
  std::vector<std::vector<std::string>> rows;
  for (int i = options.print_last ? kNumStages - 1 : 0; i < kNumStages; ++i) {
    rows.push_back(
        StageRow({.name = kStageNames[i].title, .latencies = &stages[i]}, Seconds(results), options.print_ns));
  }
  return rows;
}

std::vector<RequestStats::Sample> SortedSamples(const RunResults& results) {
  std::vector<RequestStats::Sample> samples = results.stats.samples();
  std::sort(samples.begin(), samples.end(), [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
  return samples;
}

// ns since the measured time began.
int64_t ArrivalNs(const RunResults& results, const RequestStats::Sample& sample) {
  return Time::NanosecondsBetween(results.measure_from, sample.arrival);
}

Table Distribution(const RunResults& results) {
  std::vector<std::string> columns = {"Request", "Arrival (ns)"};
  for (const StageName& stage : kStageNames) columns.push_back(absl::StrCat(stage.title, " (ns)"));
  Table table(columns);
  for (const RequestStats::Sample& sample : SortedSamples(results)) {
    std::vector<std::string> row = {WordOfKind(sample.kind), absl::StrCat(ArrivalNs(results, sample))};
    for (int64_t ns : sample.times) row.push_back(absl::StrCat(ns));
    table.AddRow(row);
  }
  return table;
}

std::string Summary(const ExperimentOptions& options, const RunResults& results) {
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1e3; };
  const Latencies& late = results.lateness;
  const std::string waiting =
      results.unfinished.count() == 0 ? "" : absl::StrFormat(" after up to %.3f us", us(results.unfinished.max_ns()));
  return absl::StrFormat(
      "%s, %s, %d workers: %.3f s measured\n"
      "Offered %.0f req/s, achieved %.1f req/s; %d arrived, %d of them unfinished%s\n"
      "Load generators' lateness: 50%% %.3f us, 99%% %.3f us, max %.3f us\n",
      AbslUnparseFlag(options.scheduler), options.WaitType(), options.num_workers, Seconds(results), options.throughput,
      AchievedPerSecond(results), results.arrived, results.unfinished.count(), waiting, us(late.percentile_ns(0.5)),
      us(late.percentile_ns(0.99)), us(late.max_ns()));
}

std::string Pretty(const ExperimentOptions& options, const RunResults& results, const std::vector<Part>& parts) {
  std::string text = Summary(options, results);
  for (const Part& part : parts) {
    Table table(StageColumns(options.print_ns));
    for (auto& row : RowsOf(options, results, *part.stages)) table.AddRow(std::move(row));
    absl::StrAppend(&text, "\n", part.title, ":\n", table.ToPretty());
  }
  if (options.print_distribution) absl::StrAppend(&text, "\n", Distribution(results).ToPretty());
  return text;
}

std::string Csv(const ExperimentOptions& options, const RunResults& results, const std::vector<Part>& parts) {
  std::vector<std::string> columns = StageColumns(options.print_ns);
  columns.insert(columns.begin(), "Requests");
  Table table(columns);
  for (const Part& part : parts) {
    for (auto& row : RowsOf(options, results, *part.stages)) {
      row.insert(row.begin(), part.title);
      table.AddRow(std::move(row));
    }
  }
  std::string text = table.ToCsv();
  if (options.print_distribution) absl::StrAppend(&text, "\n", Distribution(results).ToCsv());
  return text;
}

Json StagesJson(const RunResults& results, const Stages& stages) {
  Json json;
  for (int i = 0; i < kNumStages; ++i) json[kStageNames[i].key] = StageJson(stages[i], Seconds(results));
  return json;
}

Json DistributionJson(const RunResults& results) {
  Json columns = {"request", "arrival_ns"};
  for (const StageName& stage : kStageNames) columns.push_back(absl::StrCat(stage.key, "_ns"));
  Json rows = Json::array();
  for (const RequestStats::Sample& sample : SortedSamples(results)) {
    Json row = {WordOfKind(sample.kind), ArrivalNs(results, sample)};
    for (int64_t ns : sample.times) row.push_back(ns);
    rows.push_back(std::move(row));
  }
  return {{"columns", columns}, {"rows", rows}};
}

std::string ToJson(const ExperimentOptions& options, const RunResults& results, const Stages& all) {
  const Latencies& late = results.lateness;
  Json json;
  json["program"] = "rocksdb";
  json["scheduler"] = AbslUnparseFlag(options.scheduler);
  json["wait_type"] = options.WaitType();
  json["workers"] = options.num_workers;
  json["duration_s"] = Seconds(results);
  json["offered_per_s"] = options.throughput;
  json["achieved_per_s"] = std::round(AchievedPerSecond(results) * 10) / 10;
  json["arrived"] = results.arrived;
  json["unfinished"] = results.unfinished.count();
  json["unfinished_waited_ns"] = {{"p50", results.unfinished.percentile_ns(0.5)}, {"max", results.unfinished.max_ns()}};
  json["generator"]["lateness_ns"] = {
      {"p50", late.percentile_ns(0.5)}, {"p99", late.percentile_ns(0.99)}, {"max", late.max_ns()}};
  json["requests"]["all"] = StagesJson(results, all);
  for (RequestKind kind : {RequestKind::kGet, RequestKind::kRange}) {
    const Stages* const stages = results.stats.of(kind);
    if (stages != nullptr) json["requests"][WordOfKind(kind)] = StagesJson(results, *stages);
  }
  for (const auto& [name, value] : options.ToPairs()) json["options"][name] = value;
  if (options.print_distribution) json["distribution"] = DistributionJson(results);
  return json.dump() + "\n";
}

}  // namespace

std::string FormatReport(const ExperimentOptions& options, const RunResults& results) {
  const std::unique_ptr<Stages> all = results.stats.all();
  if (options.print_format == PrintFormat::kJson) return ToJson(options, results, *all);
  const auto none = std::make_unique<Stages>();
  const std::vector<Part> parts = PartsOf(options, results, all.get(), none.get());
  return options.print_format == PrintFormat::kCsv ? Csv(options, results, parts) : Pretty(options, results, parts);
}

}  // namespace ghost
