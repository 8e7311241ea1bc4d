// Flags whose values are words: each word is a value of an enum, anything else a usage error that names them.
//
//     inline constexpr std::pair<const char*, Wait> kWaitWords[] = {{"spin", Wait::kSpin}, {"futex", Wait::kFutex}};
//     bool AbslParseFlag(absl::string_view text, Wait* wait, std::string* error) {
//       return ParseWord(kWaitWords, text, wait, error);
//     }
//     std::string AbslUnparseFlag(Wait wait) { return WordOf(kWaitWords, wait); }
#ifndef GHOST_EXPERIMENTS_COMMON_ENUM_FLAG_H_
#define GHOST_EXPERIMENTS_COMMON_ENUM_FLAG_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ghost {

template <typename Enum, size_t kWords>
bool ParseWord(const std::pair<const char*, Enum> (&words)[kWords], absl::string_view text, Enum* value,
               std::string* error) {
  std::string known;
  for (size_t i = 0; i < kWords; ++i) {
    if (text == words[i].first) {
      *value = words[i].second;
      return true;
    }
    absl::StrAppend(&known, i == 0 ? "" : i + 1 < kWords ? ", " : " or ", words[i].first);
  }
  *error = absl::StrCat("it is ", known);
  return false;
}

template <typename Enum, size_t kWords>
std::string WordOf(const std::pair<const char*, Enum> (&words)[kWords], Enum value) {
  for (const auto& [word, its_value] : words) {
    if (its_value == value) return word;
  }
  return "";
}

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_ENUM_FLAG_H_
