// The policies of this project by name: what `ghostctl run --policy` and `enclave repair --adopt` take.
//
// A new policy is one line of the table in policies.cc. Threads: any.
#ifndef GHOST_UTIL_CTL_POLICIES_H_
#define GHOST_UTIL_CTL_POLICIES_H_

#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace ghost::ctl {

struct PolicyName {
  const char* name;
  const char* alias;  // another name for it, or ""
  const char* agent;  // its program
  const char* what;
  bool centralized;  // one agent, on a CPU of its own, schedules all others: it needs two CPUs at least
};

std::span<const PolicyName> Policies();
// By name, alias or program; null: none of ours.
const PolicyName* FindPolicy(absl::string_view name);
// A line for each, indented, for a help text.
std::string DescribePolicies();

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_POLICIES_H_
