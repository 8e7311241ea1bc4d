// CpuPlan: which thread of a server gets which CPU, on whatever machine this is.
//
//     front      threads that must be in time: load generators, dispatchers
//     workers    threads that do the requests
//
// Who has enough CPUs gets one for each thread, and leaves the first one (which Linux uses for itself) alone. With
// fewer, workers share theirs, then the front shares one, and on a single CPU all of them do. CPUs of different cores
// come before hyperthreads of the same one, those of one node before those of another. Lists that a user gives take the
// place of the plan's.
//
// Pure: tests give it machines that nobody has. Usable() asks this one. Any thread.
#ifndef GHOST_EXPERIMENTS_COMMON_CPU_PLAN_H_
#define GHOST_EXPERIMENTS_COMMON_CPU_PLAN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/cpu_set.h"
#include "lib/topology.h"

namespace ghost {

struct CpuNeeds {
  int workers = 0;              // threads that are to be planned; 0: they are somebody else's (a ghost agent's)
  bool dispatcher = false;      // whether there are dispatchers
  CpuSet avoid = {};            // CPUs that an agent schedules: for the front only if there are no others
  CpuSet generator_cpus = {};   // as the user wants: a generator for each; empty: one, planned
  CpuSet dispatcher_cpus = {};  // the same
  CpuSet worker_cpus = {};      // as the user wants: workers in turn on these; empty: planned
};

struct CpuPlan {
  static constexpr int kAnyCpu = -1;  // not pinned

  // One for each thread.
  std::vector<int> generators;
  std::vector<int> dispatchers;
  std::vector<int> workers;
  // Whether each of those threads has its CPU for itself, as far as the plan can tell: if not, it must not spin without
  // a thought for others.
  bool front_owns_cpus = false;
  bool workers_own_cpus = false;

  // "generators 1, dispatchers 2, workers 3-8", "any" for threads that are not pinned.
  std::string ToString() const;
};

// `usable` are the CPUs that this process may use; at least one.
CpuPlan PlanCpus(const Topology& topology, const CpuSet& usable, const CpuNeeds& needs);

// The CPUs that the calling thread may use: its affinity, and so its cgroup's cpuset.
absl::StatusOr<CpuSet> UsableCpus();

// A user's list for `flag` ("--worker_cpus"), of CPUs that exist and may be used. "" is the empty set.
absl::StatusOr<CpuSet> ParseCpuFlag(const Topology& topology, const CpuSet& usable, absl::string_view flag,
                                    absl::string_view list);

// Pins a thread, 0: the calling one; kAnyCpu leaves it as it is.
absl::Status PinTo(int cpu, pid_t tid = 0);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_CPU_PLAN_H_
