#include "util/ghostsim_policies.h"

#include "schedulers/cfs/cfs_policy.h"
#include "schedulers/examples/weighted_rr/weighted_rr_policy.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost::sim {
namespace {

const PolicyEntry kPolicies[] = {
    {"cfs", "fair shares of each CPU by nice values", PerCpuScheduler<CfsPolicy>::Make},
    {"fifo_per_cpu", "a FIFO per CPU, each task until it blocks", PerCpuScheduler<FifoPolicy>::Make},
    {"weighted_rr", "in turn on each CPU, each for its weight", PerCpuScheduler<WeightedRrPolicy>::Make},
};

}  // namespace

std::span<const PolicyEntry> SimPolicies() { return kPolicies; }

const PolicyEntry* FindSimPolicy(absl::string_view name) {
  for (const PolicyEntry& policy : kPolicies) {
    if (name == policy.name) return &policy;
  }
  return nullptr;
}

}  // namespace ghost::sim
