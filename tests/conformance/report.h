// What a run of the suite has found, as a table for people, as test cases for Bazel, and as docs/conformance.md.
#ifndef GHOST_TESTS_CONFORMANCE_REPORT_H_
#define GHOST_TESTS_CONFORMANCE_REPORT_H_

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/conformance/rule.h"

namespace ghost::conformance {

// The verdicts of one kernel at one ABI, in the order of AllRules(); rules that were filtered out have none.
struct Column {
  std::string kernel;
  uint32_t abi = 0;
  std::vector<std::optional<Verdict>> verdicts;
};

struct Totals {
  int ok = 0, differ = 0, skipped = 0, not_here = 0;
};
Totals Count(const Column& column);

// One line, "1.2 text … ok", with the difference or reason below it if there is one.
void PrintLine(std::ostream& out, const Rule& rule, const Verdict& verdict);

// JUnit's XML, a case for each rule, for $XML_OUTPUT_FILE.
void WriteXml(std::ostream& out, const Column& column);

// The page docs/conformance.md.
void WriteMarkdown(std::ostream& out, const std::vector<Column>& columns);

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_REPORT_H_
