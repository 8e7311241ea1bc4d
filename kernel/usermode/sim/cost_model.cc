#include "kernel/usermode/sim/cost_model.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

// A second: whatever costs more is a mistake, and sums of such costs could leave the clock's range.
constexpr int64_t kMaxCostNs = 1'000'000'000;

// Whole models, by name.
constexpr struct {
  const char* name;
  CostModel (*make)();
} kModels[] = {
    {"paper", [] { return CostModel(); }},
    {"shinjuku", CostModel::Shinjuku},
    {"zero", CostModel::Zero},
};

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

// Cycles stand in "Shinjuku: Preemptive Scheduling for µsecond-scale Tail Latency" (NSDI'19), tables 1 and 2: a posted
// interrupt costs its sender 298 and its receiver 1212, 1993 from end to end; a context switch 140 with the floating
// point's registers, 109 without. Here at 2.2 GHz, what a Xeon E5-2658 v3 has: the ghOSt paper ran it on an E5-2658.
//
// The dispatcher makes no system call and no transaction: it writes a request to a cache line at which a worker spins.
// Where Shinjuku's paper has no figure, one between spinning threads stays as in Table 3 (message 265), for each way;
// so does a decision. An interrupt is counted for the dispatcher for free workers, too, which need none.
CostModel CostModel::Shinjuku() {
  constexpr auto kNs = [](int64_t cycles) { return cycles * 10 / 22; };
  CostModel model;
  model.syscall_ns = 0;
  model.commit_ns = 0;
  model.commit_next_ns = 0;
  model.ipi_send_ns = kNs(298);
  model.ipi_travel_ns = kNs(1993 - 298 - 1212);
  model.ipi_receive_ns = kNs(1212);
  model.idle_receive_ns = model.message_ns;
  model.receive_next_ns = 0;
  model.context_switch_ns = kNs(140);
  model.preempt_ns = kNs(109);
  return model;
}

absl::Status CostModel::Set(absl::string_view assignment) {
  for (const auto& named : kModels) {
    if (assignment != named.name) continue;
    *this = named.make();
    return absl::OkStatus();
  }
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
                  absl::StrCat("costs are ", CostNames(), "; or all at once: paper, shinjuku, zero"));
}

}  // namespace ghost::sim
