#include "kernel/usermode/sim/cost_model.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

// A second: whatever costs more is a mistake, and sums of such costs could leave the clock's range.
constexpr int64_t kMaxCostNs = 1'000'000'000;

std::string CostNames() {
  std::string names;
  for (const CostName& cost : kCosts) absl::StrAppend(&names, names.empty() ? "" : ", ", cost.name);
  return names;
}

}  // namespace

CostModel CostModel::Zero() {
  CostModel model;
  for (const CostName& cost : kCosts) model.*cost.member = 0;
  return model;
}

absl::Status CostModel::Set(absl::string_view assignment) {
  const size_t equals = assignment.find('=');
  const absl::string_view name = assignment.substr(0, equals);
  for (const CostName& cost : kCosts) {
    if (name != cost.name) continue;
    int64_t value = 0;
    if (equals == absl::string_view::npos || !absl::SimpleAtoi(assignment.substr(equals + 1), &value) || value < 0 ||
        value > kMaxCostNs) {
      return WithHint(absl::InvalidArgumentError(absl::StrCat("cost ", assignment, " has no valid value")),
                      absl::StrCat("a number from 0 to ", kMaxCostNs, ": ", name, "=500"));
    }
    this->*cost.member = value;
    return absl::OkStatus();
  }
  return WithHint(absl::InvalidArgumentError(absl::StrCat("there is no cost ", name)),
                  absl::StrCat("costs are ", CostNames()));
}

}  // namespace ghost::sim
