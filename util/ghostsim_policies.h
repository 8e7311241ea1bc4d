// The policies that can be simulated, by name: what ghostsim and the tests of schedules (tests/schedules) offer.
//
// A new policy is one line of the table in ghostsim_policies.cc, and one of the target's deps. Threads: any.
#ifndef GHOST_UTIL_GHOSTSIM_POLICIES_H_
#define GHOST_UTIL_GHOSTSIM_POLICIES_H_

#include <span>

#include "absl/strings/string_view.h"
#include "kernel/usermode/sim/stepped_scheduler.h"

namespace ghost::sim {

struct PolicyEntry {
  const char* name;
  const char* what;
  SchedulerFactory factory;
  bool pnt = false;  // its global agent can show who waits to CPUs that would idle (--pnt)
};

std::span<const PolicyEntry> SimPolicies();
// Null: there is none of that name.
const PolicyEntry* FindSimPolicy(absl::string_view name);

}  // namespace ghost::sim

#endif  // GHOST_UTIL_GHOSTSIM_POLICIES_H_
