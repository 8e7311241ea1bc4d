#include "experiments/microbenchmarks/table3.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "experiments/common/table.h"
#include "nlohmann/json.hpp"

namespace ghost {
namespace {

struct PaperRow {
  const char* operation;
  int ns;
};

constexpr PaperRow kPaper[kTable3Rows] = {
    {"message delivery to local agent", 725},
    {"message delivery to global agent", 265},
    {"local schedule (1 txn)", 888},
    {"remote schedule (1 txn): agent", 668},
    {"remote schedule (1 txn): target CPU", 1064},
    {"remote schedule (1 txn): end to end", 1772},
    {"group remote schedule: agent", 3964},
    {"group remote schedule: target CPU", 1821},
    {"group remote schedule: end to end", 5688},
    {"system call", 72},
    {"pthread minimal context switch", 410},
    {"CFS context switch", 599},
};

}  // namespace

void Table3::Set(Table3Row row, const Latencies& latencies) {
  if (latencies.count() == 0) return SetMissing(row, "no round was undisturbed");
  cells_[Index(row)].figure = {latencies.percentile_ns(0.5), latencies.percentile_ns(0.99), latencies.count()};
}

void Table3::SetMissing(Table3Row row, const std::string& why) { cells_[Index(row)] = {.figure = {}, .why = why}; }

int Table3::PaperNs(Table3Row row) { return kPaper[Index(row)].ns; }

std::string Table3::Operation(Table3Row row) const {
  std::string operation = kPaper[Index(row)].operation;
  if (row < Table3Row::kGroupAgent || row > Table3Row::kGroupEndToEnd) return operation;
  const size_t colon = operation.find(':');
  return operation.insert(colon, absl::StrCat(" (", group, group == 1 ? " txn)" : " txns)"));
}

std::string Table3::Pretty() const {
  Table table({"Operation", "Paper (ns)", "p50 (ns)", "p99 (ns)", "Rounds"});
  std::set<std::string> reasons;
  for (int i = 0; i < kTable3Rows; ++i) {
    const auto row = static_cast<Table3Row>(i);
    const std::string name = absl::StrFormat("%2d %s", i + 1, Operation(row)), paper = absl::StrCat(PaperNs(row));
    if (const auto& figure = this->figure(row); figure.has_value()) {
      table.AddRow(
          {name, paper, absl::StrCat(figure->p50_ns), absl::StrCat(figure->p99_ns), absl::StrCat(figure->rounds)});
    } else {
      table.AddRow({name, paper, "n/a", "n/a", "0"});
      reasons.insert(cells_[Index(row)].why);
    }
  }
  std::string text = absl::StrCat("Table 3 of the ghOSt paper, and ", where, "\n", table.ToPretty());
  for (const std::string& why : reasons) absl::StrAppend(&text, "n/a: ", why, "\n");
  for (const std::string& note : notes) absl::StrAppend(&text, "note: ", note, "\n");
  return text;
}

std::string Table3::Csv() const {
  Table table({"row", "operation", "paper_ns", "p50_ns", "p99_ns", "rounds"});
  for (int i = 0; i < kTable3Rows; ++i) {
    const auto row = static_cast<Table3Row>(i);
    const auto& figure = this->figure(row);
    const auto cell = [&](uint64_t value) { return figure.has_value() ? absl::StrCat(value) : ""; };
    const Figure value = figure.value_or(Figure());
    table.AddRow({absl::StrCat(i + 1), Operation(row), absl::StrCat(PaperNs(row)), cell(value.p50_ns),
                  cell(value.p99_ns), cell(value.rounds)});
  }
  return table.ToCsv();
}

std::string Table3::Json() const {
  nlohmann::ordered_json json = {{"program", "paper_table3"}, {"where", where}, {"group", group}};
  json["rows"] = nlohmann::ordered_json::array();
  for (int i = 0; i < kTable3Rows; ++i) {
    const auto row = static_cast<Table3Row>(i);
    nlohmann::ordered_json entry = {{"row", i + 1}, {"operation", Operation(row)}, {"paper_ns", PaperNs(row)}};
    if (const auto& figure = this->figure(row); figure.has_value()) {
      entry["measured"] = {{"p50_ns", figure->p50_ns}, {"p99_ns", figure->p99_ns}, {"rounds", figure->rounds}};
    } else {
      entry["measured"] = nullptr;
      entry["why"] = cells_[Index(row)].why;
    }
    json["rows"].push_back(entry);
  }
  json["notes"] = notes;
  return json.dump() + "\n";
}

}  // namespace ghost
