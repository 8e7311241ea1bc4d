// Table: rows of text under named columns, printed for people (aligned) or as CSV.
//
//     Table table({"Worker", "Run Duration (ns)", "Work Share"});
//     table.AddRow({"0", "999123456", "0.93"});
//     std::fputs(table.ToPretty().c_str(), stdout);
//
// Cells are texts already: what is a number, and in which unit, is the caller's. The first column is aligned left, the
// others right. One thread.
#ifndef GHOST_EXPERIMENTS_COMMON_TABLE_H_
#define GHOST_EXPERIMENTS_COMMON_TABLE_H_

#include <string>
#include <utility>
#include <vector>

namespace ghost {

class Table {
 public:
  explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns.
  void AddRow(std::vector<std::string> cells);

  // The header, a line below it, and the rows: each ends with a newline, none with blanks.
  std::string ToPretty() const;
  // The header and the rows; a cell with a comma, a quote or a newline is quoted (RFC 4180).
  std::string ToCsv() const;

 private:
  const std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_TABLE_H_
