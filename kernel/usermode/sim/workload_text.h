// The words of a workload file, and the values that are made of them. What it is not: it knows no statements
// (workload.cc). Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_WORKLOAD_TEXT_H_
#define GHOST_KERNEL_USERMODE_SIM_WORKLOAD_TEXT_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernel/usermode/sim/workload.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"

namespace ghost::sim {

class WorkloadText {
 public:
  // `name`: of the file, for errors. `text` must outlive it.
  WorkloadText(std::string_view text, std::string_view name);

 protected:
  struct Token {
    std::string_view text;
    int line = 0;
  };

  bool AtEnd() const { return at_ == tokens_.size(); }
  bool IsSeparator() const { return AtEnd() || tokens_[at_].text == "\n" || tokens_[at_].text == ";"; }
  void SkipSeparators() {
    while (!AtEnd() && IsSeparator()) ++at_;
  }
  // The next word of the statement; empty at its end.
  std::string_view Peek() const { return IsSeparator() ? std::string_view() : tokens_[at_].text; }
  std::string_view Take() { return IsSeparator() ? std::string_view() : tokens_[at_++].text; }
  bool TakeIf(std::string_view word) {
    if (Peek() != word) return false;
    ++at_;
    return true;
  }
  int Line() const { return tokens_.empty() ? 1 : tokens_[std::min(at_, tokens_.size() - 1)].line; }
  absl::Status Error(std::string what, std::string hint) const {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(name_, ":", Line(), ": ", what)), hint);
  }
  static std::string Quoted(std::string_view word) {
    return word.empty() ? "nothing" : absl::StrCat("'", std::string(word.substr(0, 40)), "'");
  }

  absl::Status ExpectEnd();
  absl::StatusOr<int64_t> ParseTime();
  absl::StatusOr<Distribution> ParseDistribution();
  absl::StatusOr<int> ParseNumber(int least, int most);
  absl::StatusOr<double> ParseChance();
  absl::StatusOr<CpuSet> ParseCpus();
  absl::StatusOr<std::string> ParseName();
  // "sockets 2 cores 28 smt 2 l3 4", each word at most once.
  absl::StatusOr<TopologySpec> ParseTopologySpec();
  // Takes what a hint is made of, as far as it goes: "qos 2 deadline 5ms".
  absl::Status ParseHint(HintChange* hint);

  const std::vector<Token> tokens_;
  const std::string name_;
  size_t at_ = 0;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_WORKLOAD_TEXT_H_
