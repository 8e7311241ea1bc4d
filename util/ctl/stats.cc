#include "util/ctl/stats.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string FormatNs(double ns) {
  if (ns < 1e3) return absl::StrFormat("%.0f ns", ns);
  if (ns < 1e6) return absl::StrFormat("%.1f us", ns / 1e3);
  if (ns < 1e9) return absl::StrFormat("%.1f ms", ns / 1e6);
  return absl::StrFormat("%.2f s", ns / 1e9);
}

bool IsTime(const std::string& name) { return absl::EndsWith(name, "_ns"); }

// Names of fields lose their underscores; names of other people's things (TASK_NEW) don't.
std::string Title(const std::string& name) {
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return isupper(c); })) return name;
  std::string title = IsTime(name) ? name.substr(0, name.size() - 3) : name;
  std::replace(title.begin(), title.end(), '_', ' ');
  return title;
}

std::string Value(const std::string& name, const Json& value) {
  if (value.is_number() && IsTime(name)) return FormatNs(value.get<double>());
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "-";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_float()) return absl::StrFormat("%.2f", value.get<double>());
  if (!value.is_object()) return value.dump();
  // A small group, such as the percentiles of a latency: on one line.
  std::string text;
  for (const auto& [key, part] : value.items()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", Title(key), " ", Value(key, part));
  }
  return text;
}

bool IsTable(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); });
}

// All fields of any row that are (or are not) groups, in the order of first sight.
std::vector<std::string> Fields(const Json& rows, bool groups) {
  std::vector<std::string> fields;
  for (const Json& row : rows) {
    for (const auto& [key, value] : row.items()) {
      if (value.is_object() == groups && std::find(fields.begin(), fields.end(), key) == fields.end()) {
        fields.push_back(key);
      }
    }
  }
  return fields;
}

std::string AlignColumns(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths(lines[0].size(), 0);
  for (const std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) absl::StrAppendFormat(&text, "  %*s", widths[i], line[i]);
    absl::StrAppend(&text, "\n");
  }
  return text;
}

// A column per single value; then a line for each row's group, which starts with the row's first value.
std::string Table(const Json& rows) {
  const std::vector<std::string> columns = Fields(rows, /*groups=*/false);
  std::vector<std::vector<std::string>> lines(1);
  for (const std::string& column : columns) lines[0].push_back(Title(column));
  for (const Json& row : rows) {
    std::vector<std::string> line;
    for (const std::string& column : columns) line.push_back(row.contains(column) ? Value(column, row[column]) : "-");
    lines.push_back(std::move(line));
  }
  const std::vector<std::string> groups = Fields(rows, /*groups=*/true);
  // A first value alone is said by the lines of the groups.
  const bool only_names = columns.empty() || (columns.size() == 1 && !groups.empty());
  std::string text = only_names ? "" : AlignColumns(lines);
  for (const Json& row : rows) {
    for (const std::string& group : groups) {
      if (!row.contains(group) || row[group].empty()) continue;
      absl::StrAppend(&text, "  ");
      if (!columns.empty() && row.contains(columns[0])) {
        absl::StrAppend(&text, Title(columns[0]), " ", Value(columns[0], row[columns[0]]), " ");
      }
      absl::StrAppend(&text, Title(group), ": ", Value(group, row[group]), "\n");
    }
  }
  return text;
}

}  // namespace

absl::StatusOr<Json> ReadKernelStats(const Kernel& kernel) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat(kernel.root(), "/stats"));
  if (!text.ok()) {
    return WithHint(absl::NotFoundError(absl::StrCat("the kernel at ", kernel.root(), " keeps no statistics")),
                    "only ghostd does; over a ghost kernel use its tracepoints");
  }
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::DataLossError(absl::StrCat(kernel.root(), "/stats is no JSON"));
  return json;
}

std::string StatsToText(const Json& stats) {
  std::string text;
  for (const auto& [key, value] : stats.items()) {
    if (!IsTable(value)) absl::StrAppendFormat(&text, "%-24s %s\n", Title(key), Value(key, value));
  }
  for (const auto& [key, value] : stats.items()) {
    if (IsTable(value)) absl::StrAppend(&text, Title(key), "\n", Table(value));
  }
  return text;
}

}  // namespace ghost::ctl
