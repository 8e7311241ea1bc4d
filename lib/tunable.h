// Tunable: a number of a policy that may be changed while it schedules, by name (`ghostctl set ENCLAVE slice=50us`).
//
// A policy holds its Tunables as members, reads them in its pass (one relaxed load), and lists them in
// Tunables(). Flags give the first value; afterwards anybody who may talk to the agent sets it. What it is not: it does
// not tell the policy of a change; a policy that computes something from it does so when it reads it.
//
// Threads: Get and Set from any.
#ifndef GHOST_LIB_TUNABLE_H_
#define GHOST_LIB_TUNABLE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ghost {

class Tunable {
 public:
  enum class Unit : uint8_t { kNanoseconds, kCount, kBool };

  // `name` and `what` must outlive it (literals). kNanoseconds: INT64_MAX is "inf". `value` is within min..max.
  Tunable(const char* name, const char* what, Unit unit, int64_t value, int64_t min, int64_t max)
      : name_(name), what_(what), unit_(unit), min_(min), max_(max), value_(value) {}

  const char* name() const { return name_; }
  const char* what() const { return what_; }
  int64_t Get() const { return value_.load(std::memory_order_relaxed); }

  // From text: "50us", "inf" (kNanoseconds), "12" (kCount), "true", "0" (kBool). InvalidArgument names the tunable and
  // its range, with a hint (exit code 2); the value is unchanged then.
  absl::Status Set(absl::string_view text);
  // What Set would say.
  absl::Status Check(absl::string_view text) const { return Parse(text).status(); }
  // As Set takes it.
  std::string ToString() const;
  // What Set takes, in words: "from 1us to inf", "true or false".
  std::string Range() const;

 private:
  absl::StatusOr<int64_t> Parse(absl::string_view text) const;
  std::string Format(int64_t value) const;

  const char* const name_;
  const char* const what_;
  const Unit unit_;
  const int64_t min_;
  const int64_t max_;
  std::atomic<int64_t> value_;
};

// The one of that name. InvalidArgument, with a hint that names those of `owner`: there is none.
absl::StatusOr<Tunable*> FindTunable(const std::vector<Tunable*>& tunables, absl::string_view name,
                                     absl::string_view owner);
// What that says, for who knows names only.
absl::Status NoSuchTunable(absl::string_view name, absl::string_view owner, const std::vector<std::string>& names);

}  // namespace ghost

#endif  // GHOST_LIB_TUNABLE_H_
