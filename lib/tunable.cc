#include "lib/tunable.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// Null: not of this unit at all.
std::optional<int64_t> ParseNanoseconds(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) return std::nullopt;
  return absl::ToInt64Nanoseconds(duration);  // saturates: inf is INT64_MAX
}

std::optional<int64_t> ParseCount(absl::string_view text) {
  int64_t count;
  return absl::SimpleAtoi(text, &count) ? std::optional<int64_t>(count) : std::nullopt;
}

std::optional<int64_t> ParseBool(absl::string_view text) {
  bool value;
  return absl::SimpleAtob(text, &value) ? std::optional<int64_t>(value) : std::nullopt;
}

}  // namespace

absl::StatusOr<int64_t> Tunable::Parse(absl::string_view text) const {
  const std::optional<int64_t> value = unit_ == Unit::kNanoseconds ? ParseNanoseconds(text)
                                       : unit_ == Unit::kCount     ? ParseCount(text)
                                                                   : ParseBool(text);
  if (value.has_value() && *value >= min_ && *value <= max_) return *value;
  absl::Status status =
      absl::InvalidArgumentError(absl::StrCat(name_, "=", text,
                                              value.has_value()             ? ": out of range"
                                              : unit_ == Unit::kNanoseconds ? ": not a time with a unit, such as 50us"
                                              : unit_ == Unit::kCount       ? ": not a whole number"
                                                                            : ": neither true nor false"));
  return WithHint(std::move(status), absl::StrCat(name_, ": ", Range()));
}

absl::Status Tunable::Set(absl::string_view text) {
  GHOST_ASSIGN_OR_RETURN(const int64_t value, Parse(text));
  value_.store(value, std::memory_order_relaxed);
  return absl::OkStatus();
}

std::string Tunable::Format(int64_t value) const {
  switch (unit_) {
    case Unit::kNanoseconds:
      return value == INT64_MAX ? "inf" : absl::FormatDuration(absl::Nanoseconds(value));
    case Unit::kCount:
      return absl::StrCat(value);
    case Unit::kBool:
      return value != 0 ? "true" : "false";
  }
  return "";
}

std::string Tunable::ToString() const { return Format(Get()); }

std::string Tunable::Range() const {
  if (unit_ == Unit::kBool) return "true or false";
  return absl::StrCat("from ", Format(min_), " to ", Format(max_));
}

absl::StatusOr<Tunable*> FindTunable(const std::vector<Tunable*>& tunables, absl::string_view name,
                                     absl::string_view owner) {
  std::vector<std::string> names;
  for (Tunable* tunable : tunables) {
    if (tunable->name() == name) return tunable;
    names.emplace_back(tunable->name());
  }
  return NoSuchTunable(name, owner, names);
}

absl::Status NoSuchTunable(absl::string_view name, absl::string_view owner, const std::vector<std::string>& names) {
  return WithHint(absl::InvalidArgumentError(absl::StrCat("there is no tunable '", name, "'")),
                  absl::StrCat(owner, " has ", names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

}  // namespace ghost
