#include "experiments/common/print_format.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "experiments/common/enum_flag.h"

namespace ghost {

namespace {

constexpr std::pair<const char*, PrintFormat> kWords[] = {
    {"pretty", PrintFormat::kPretty}, {"csv", PrintFormat::kCsv}, {"json", PrintFormat::kJson}};

}  // namespace

bool AbslParseFlag(absl::string_view text, PrintFormat* format, std::string* error) {
  return ParseWord(kWords, text, format, error);
}

std::string AbslUnparseFlag(PrintFormat format) { return WordOf(kWords, format); }

void SayReady(absl::string_view program, PrintFormat format) {
  FILE* const out = format == PrintFormat::kPretty ? stdout : stderr;
  std::fputs(absl::StrCat(program, ": ready\n").c_str(), out);
  std::fflush(out);
}

}  // namespace ghost
