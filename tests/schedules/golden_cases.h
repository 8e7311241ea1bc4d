// The list of golden schedules (golden_cases.txt), and how one is run. Threads: one.
#ifndef GHOST_TESTS_SCHEDULES_GOLDEN_CASES_H_
#define GHOST_TESTS_SCHEDULES_GOLDEN_CASES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace ghost::sim {

struct GoldenCase {
  std::string workload;  // workloads/NAME.txt
  std::string policy;
  int cpus = 0;  // unless the workload has a topology
  uint64_t seed = 1;
  bool costs = false;    // the usual ones; else everything is instantaneous
  bool summary = false;  // what it expects is the summary; else each slice of the schedule
  std::vector<std::pair<std::string, std::string>> tunables;

  std::string Name() const { return workload + "." + policy; }
};

// One case a line: WORKLOAD POLICY CPUS SEED zero|paper schedule|summary [TUNABLE=VALUE …]; # starts a comment.
absl::StatusOr<std::vector<GoldenCase>> ParseGoldenCases(const std::string& text);
// Runs it: the schedule as text. `workload_text` is the content of its file.
absl::StatusOr<std::string> RunGoldenCase(const GoldenCase& golden, const std::string& workload_text);

}  // namespace ghost::sim

#endif  // GHOST_TESTS_SCHEDULES_GOLDEN_CASES_H_
