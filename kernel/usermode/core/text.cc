#include "kernel/usermode/core/text.h"

#include <cerrno>
#include <charconv>
#include <limits>

namespace ghost::usermode {
namespace {

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

template <typename T>
bool TakeDecimal(std::string_view* text, T* value) {
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *value, 10);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

}  // namespace

void Scanner::SkipBlanks() {
  while (!rest_.empty() && IsBlank(rest_.front())) rest_.remove_prefix(1);
}

Scanner& Scanner::Word(std::string_view word) {
  for (char c : word) {
    if (!ok_) return *this;
    if (IsBlank(c)) {
      SkipBlanks();
    } else if (!rest_.empty() && rest_.front() == c) {
      rest_.remove_prefix(1);
    } else {
      ok_ = false;
    }
  }
  return *this;
}

Scanner& Scanner::Unsigned(uint64_t* value) {
  if (!ok_) return *this;
  SkipBlanks();
  ok_ = TakeDecimal(&rest_, value);
  return *this;
}

Scanner& Scanner::Unsigned(uint32_t* value) {
  if (!ok_) return *this;
  SkipBlanks();
  ok_ = TakeDecimal(&rest_, value);
  return *this;
}

Scanner& Scanner::Signed(int32_t* value) {
  if (!ok_) return *this;
  SkipBlanks();
  ok_ = TakeDecimal(&rest_, value);
  return *this;
}

int ParseUnsigned(std::string_view text, uint64_t* value) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    base = 8;
    if (text.size() > 2 && (text[1] == 'x' || text[1] == 'X')) {
      base = 16;
      text.remove_prefix(2);
    }
  }
  uint64_t parsed = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed, base);
  if (error == std::errc::result_out_of_range) return -ERANGE;
  if (error != std::errc() || end != text.data() + text.size()) return -EINVAL;
  *value = parsed;
  return 0;
}

int ParseInteger(std::string_view text, int64_t* value) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative) {
    text.remove_prefix(1);
    if (!text.empty() && text.front() == '+') return -EINVAL;
  }
  uint64_t magnitude = 0;
  if (int error = ParseUnsigned(text, &magnitude); error != 0) return error;
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (magnitude > (negative ? kMax + 1 : kMax)) return -ERANGE;
  *value = static_cast<int64_t>(negative ? ~magnitude + 1 : magnitude);
  return 0;
}

std::string_view FirstLine(std::string_view text) { return text.substr(0, text.find('\n')); }

}  // namespace ghost::usermode
