#include "experiments/common/print_format.h"

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace ghost {

bool AbslParseFlag(absl::string_view text, PrintFormat* format, std::string* error) {
  for (PrintFormat candidate : {PrintFormat::kPretty, PrintFormat::kCsv, PrintFormat::kJson}) {
    if (text != AbslUnparseFlag(candidate)) continue;
    *format = candidate;
    return true;
  }
  *error = "it is pretty, csv or json";
  return false;
}

std::string AbslUnparseFlag(PrintFormat format) {
  switch (format) {
    case PrintFormat::kPretty:
      return "pretty";
    case PrintFormat::kCsv:
      return "csv";
    case PrintFormat::kJson:
      return "json";
  }
  return "";
}

void SayReady(absl::string_view program, PrintFormat format) {
  FILE* const out = format == PrintFormat::kPretty ? stdout : stderr;
  std::fputs(absl::StrCat(program, ": ready\n").c_str(), out);
  std::fflush(out);
}

}  // namespace ghost
