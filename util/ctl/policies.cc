#include "util/ctl/policies.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ghost::ctl {
namespace {

constexpr PolicyName kPolicies[] = {
    {"fifo_per_cpu", "", "fifo_per_cpu_agent", "on each CPU in the order of their coming, each until it blocks", false},
    {"cfs", "", "agent_cfs", "on each CPU fairly, by nice values", false},
    {"fifo_centralized", "", "fifo_centralized_agent", "in the order of their coming; slices, if wanted", true},
    {"sol", "", "agent_sol", "the same as fast as it gets: nothing is waited for", true},
    {"shinjuku", "", "agent_shinjuku", "microsecond slices; classes and work from hints", true},
    {"edf", "exp", "agent_exp", "earliest deadline first, within classes; both from hints", true},
    {"biff", "", "agent_biff", "in the order of their coming on all CPUs, by BPF programs in the kernel", false},
    {"cfs_bpf", "", "agent_cfs_bpf", "on each CPU fairly, by BPF programs in the kernel", false},
    {"flux", "", "agent_flux", "a tree of schedulers that share CPUs, by BPF programs in the kernel", false},
    {"weighted_rr", "", "weighted_rr_agent", "the example of docs/write-a-policy.md", false},
};

}  // namespace

std::span<const PolicyName> Policies() { return kPolicies; }

const PolicyName* FindPolicy(absl::string_view name) {
  for (const PolicyName& policy : kPolicies) {
    if (!name.empty() && (name == policy.name || name == policy.alias || name == policy.agent)) return &policy;
  }
  return nullptr;
}

std::string DescribePolicies() {
  std::string text;
  for (const PolicyName& policy : kPolicies) {
    absl::StrAppendFormat(&text, "  %-17s %s%s\n", policy.name, policy.what,
                          policy.centralized ? " (2 CPUs or more)" : "");
  }
  return text;
}

}  // namespace ghost::ctl
