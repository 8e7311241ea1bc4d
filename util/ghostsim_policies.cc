#include "util/ghostsim_policies.h"

#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost::sim {
namespace {

const PolicyEntry kPolicies[] = {
    {"fifo_per_cpu", "a FIFO per CPU, each task until it blocks", PerCpuScheduler<FifoPolicy>::Make},
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
