// PrintFormat: how an experiment prints its results, as a flag's type.
//
//     ABSL_FLAG(ghost::PrintFormat, print_format, ghost::PrintFormat::kPretty, "pretty, csv or json.");
//
// Any other value is a usage error of the command line, with its words. Also the line that tells scripts that a program
// has begun to measure, and the printing of results that know how they look in each format.
#ifndef GHOST_EXPERIMENTS_COMMON_PRINT_FORMAT_H_
#define GHOST_EXPERIMENTS_COMMON_PRINT_FORMAT_H_

#include <iostream>
#include <string>

#include "absl/strings/string_view.h"

namespace ghost {

enum class PrintFormat {
  kPretty,  // aligned columns, for people
  kCsv,     // a header and a line for each row
  kJson,    // one object; every unit is in a name
};

bool AbslParseFlag(absl::string_view text, PrintFormat* format, std::string* error);
std::string AbslUnparseFlag(PrintFormat format);

// "program: ready", flushed: on stdout, but on stderr where stdout is for a machine to read (csv, json).
void SayReady(absl::string_view program, PrintFormat format);

// On stdout, flushed: what Pretty(), Csv() or Json() of `results` says.
template <typename Results>
void Print(PrintFormat format, const Results& results) {
  switch (format) {
    case PrintFormat::kPretty:
      std::cout << results.Pretty();
      break;
    case PrintFormat::kCsv:
      std::cout << results.Csv();
      break;
    case PrintFormat::kJson:
      std::cout << results.Json();
      break;
  }
  std::cout << std::flush;
}

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_PRINT_FORMAT_H_
