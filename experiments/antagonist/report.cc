#include "experiments/antagonist/report.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "experiments/common/table.h"
#include "nlohmann/json.hpp"

namespace ghost {

double AntagonistReport::ShareOf(int64_t run_ns) const {
  return duration_ns <= 0 ? 0 : static_cast<double>(run_ns) / static_cast<double>(duration_ns);
}

int64_t AntagonistReport::TotalNs() const {
  return std::accumulate(run_duration_ns.begin(), run_duration_ns.end(), int64_t{0});
}

double AntagonistReport::TotalShare() const {
  return run_duration_ns.empty() ? 0 : ShareOf(TotalNs()) / static_cast<double>(run_duration_ns.size());
}

std::string AntagonistReport::Pretty() const {
  Table table({"Worker", "Run Duration (ns)", "Work Share"});
  for (size_t i = 0; i < run_duration_ns.size(); ++i) {
    table.AddRow(
        {absl::StrCat(i), absl::StrCat(run_duration_ns[i]), absl::StrFormat("%.4f", ShareOf(run_duration_ns[i]))});
  }
  table.AddRow({"Total", absl::StrCat(TotalNs()), absl::StrFormat("%.4f", TotalShare())});
  return table.ToPretty();
}

std::string AntagonistReport::Csv() const {
  Table table({"worker", "run_duration_ns", "work_share"});
  for (size_t i = 0; i < run_duration_ns.size(); ++i) {
    table.AddRow(
        {absl::StrCat(i), absl::StrCat(run_duration_ns[i]), absl::StrFormat("%.6f", ShareOf(run_duration_ns[i]))});
  }
  table.AddRow({"total", absl::StrCat(TotalNs()), absl::StrFormat("%.6f", TotalShare())});
  return table.ToCsv();
}

std::string AntagonistReport::Json() const {
  nlohmann::ordered_json json = {{"program", "antagonist"},
                                 {"scheduler", scheduler},
                                 {"duration_s", static_cast<double>(duration_ns) * 1e-9},
                                 {"work_share", work_share}};
  json["workers"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < run_duration_ns.size(); ++i) {
    json["workers"].push_back(
        {{"worker", i}, {"run_duration_ns", run_duration_ns[i]}, {"share", ShareOf(run_duration_ns[i])}});
  }
  json["total"] = {{"run_duration_ns", TotalNs()}, {"share", TotalShare()}};
  return json.dump() + "\n";
}

}  // namespace ghost
