#include "experiments/antagonist/report.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "experiments/common/table.h"
#include "nlohmann/json.hpp"

namespace ghost {
namespace {

// A row for each worker, and one that is named `total`.
Table ToTable(const AntagonistReport& report, const std::vector<std::string>& columns, const std::string& total,
              int decimals) {
  Table table(columns);
  const auto add = [&](const std::string& who, int64_t run_ns, double share) {
    table.AddRow({who, absl::StrCat(run_ns), absl::StrFormat("%.*f", decimals, share)});
  };
  for (size_t i = 0; i < report.run_duration_ns.size(); ++i) {
    add(absl::StrCat(i), report.run_duration_ns[i], report.ShareOf(report.run_duration_ns[i]));
  }
  add(total, report.TotalNs(), report.TotalShare());
  return table;
}

}  // namespace

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
  return ToTable(*this, {"Worker", "Run Duration (ns)", "Work Share"}, "Total", /*decimals=*/4).ToPretty();
}

std::string AntagonistReport::Csv() const {
  return ToTable(*this, {"worker", "run_duration_ns", "work_share"}, "total", /*decimals=*/6).ToCsv();
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
