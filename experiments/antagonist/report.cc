#include "experiments/antagonist/report.h"

#include <numeric>

#include "absl/strings/str_format.h"

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
  std::string text = absl::StrFormat("%-8s %20s %12s\n", "Worker", "Run Duration (ns)", "Work Share");
  for (size_t i = 0; i < run_duration_ns.size(); ++i) {
    absl::StrAppendFormat(&text, "%-8d %20d %12.4f\n", i, run_duration_ns[i], ShareOf(run_duration_ns[i]));
  }
  absl::StrAppendFormat(&text, "%-8s %20d %12.4f\n", "Total", TotalNs(), TotalShare());
  return text;
}

std::string AntagonistReport::Csv() const {
  std::string text = "worker,run_duration_ns,work_share\n";
  for (size_t i = 0; i < run_duration_ns.size(); ++i) {
    absl::StrAppendFormat(&text, "%d,%d,%.6f\n", i, run_duration_ns[i], ShareOf(run_duration_ns[i]));
  }
  absl::StrAppendFormat(&text, "total,%d,%.6f\n", TotalNs(), TotalShare());
  return text;
}

std::string AntagonistReport::Json() const {
  std::string text = absl::StrFormat(
      "{\"program\":\"antagonist\",\"scheduler\":\"%s\",\"duration_s\":%.6f,\"work_share\":%g,\"workers\":[", scheduler,
      static_cast<double>(duration_ns) * 1e-9, work_share);
  for (size_t i = 0; i < run_duration_ns.size(); ++i) {
    absl::StrAppendFormat(&text, "%s{\"worker\":%d,\"run_duration_ns\":%d,\"share\":%.6f}", i == 0 ? "" : ",", i,
                          run_duration_ns[i], ShareOf(run_duration_ns[i]));
  }
  absl::StrAppendFormat(&text, "],\"total\":{\"run_duration_ns\":%d,\"share\":%.6f}}\n", TotalNs(), TotalShare());
  return text;
}

}  // namespace ghost
