#include "experiments/common/table.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "lib/base/logging.h"

namespace ghost {
namespace {

using Row = std::vector<std::string>;

std::string PrettyRow(const Row& cells, const std::vector<size_t>& widths) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string blanks(widths[i] - cells[i].size(), ' ');
    absl::StrAppend(&line, i == 0 ? "" : "  ", i == 0 ? cells[i] : blanks, i == 0 ? blanks : cells[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string CsvRow(const Row& cells) {
  return absl::StrJoin(cells, ",",
                       [](std::string* out, const std::string& cell) {
                         if (cell.find_first_of(",\"\n") == std::string::npos) {
                           out->append(cell);
                         } else {
                           absl::StrAppend(out, "\"", absl::StrReplaceAll(cell, {{"\"", "\"\""}}), "\"");
                         }
                       }) +
         "\n";
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  GHOST_CHECK(cells.size() == columns_.size()) << cells.size() << " cells for " << columns_.size() << " columns";
  rows_.push_back(std::move(cells));
}

std::string Table::ToPretty() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    widths.push_back(columns_[i].size());
    for (const Row& row : rows_) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text = PrettyRow(columns_, widths);
  size_t width = 0;
  for (size_t i = 0; i < widths.size(); ++i) width += widths[i] + (i == 0 ? 0 : 2);
  absl::StrAppend(&text, std::string(width, '-'), "\n");
  for (const Row& row : rows_) text += PrettyRow(row, widths);
  return text;
}

std::string Table::ToCsv() const {
  std::string text = CsvRow(columns_);
  for (const Row& row : rows_) text += CsvRow(row);
  return text;
}

}  // namespace ghost
