#include "tests/schedules/golden_cases.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernel/usermode/sim/simulation.h"
#include "lib/base/status.h"
#include "tests/schedules/schedule_text.h"
#include "util/ghostsim_policies.h"

namespace ghost::sim {
namespace {

constexpr size_t kFixedWords = 6;

absl::StatusOr<GoldenCase> ParseLine(const std::vector<std::string>& words) {
  GoldenCase result;
  const bool valid = words.size() >= kFixedWords && absl::SimpleAtoi(words[2], &result.cpus) &&
                     absl::SimpleAtoi(words[3], &result.seed) && (words[4] == "zero" || words[4] == "paper") &&
                     (words[5] == "schedule" || words[5] == "summary");
  if (!valid) return absl::InvalidArgumentError(absl::StrCat("no case: ", absl::StrJoin(words, " ")));
  result.workload = words[0];
  result.policy = words[1];
  result.costs = words[4] == "paper";
  result.summary = words[5] == "summary";
  for (size_t i = kFixedWords; i < words.size(); ++i) {
    const std::vector<std::string> parts = absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    if (parts.size() != 2) return absl::InvalidArgumentError(absl::StrCat("no assignment: ", words[i]));
    result.tunables.emplace_back(parts[0], parts[1]);
  }
  return result;
}

}  // namespace

absl::StatusOr<std::vector<GoldenCase>> ParseGoldenCases(const std::string& text) {
  std::vector<GoldenCase> cases;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line.substr(0, line.find('#')), absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.empty()) continue;
    GHOST_ASSIGN_OR_RETURN(GoldenCase parsed, ParseLine(words));
    cases.push_back(std::move(parsed));
  }
  return cases;
}

absl::StatusOr<std::string> RunGoldenCase(const GoldenCase& golden, const std::string& workload_text) {
  GHOST_ASSIGN_OR_RETURN(const Workload workload, ParseWorkload(workload_text, golden.workload + ".txt"));
  const PolicyEntry* policy = FindSimPolicy(golden.policy);
  if (policy == nullptr) return absl::NotFoundError(absl::StrCat("there is no policy ", golden.policy));
  SimulationOptions options{.scheduler = policy->factory,
                            .num_cpus = golden.cpus,
                            .global_cpu = golden.cpus - 1,  // out of the way
                            .tunables = golden.tunables,
                            .seed = golden.seed,
                            .check_every = 1};
  if (golden.summary) options.check_every = 0;  // many tasks: what is checked elsewhere would take minutes
  if (!golden.costs) options.costs = CostModel::Zero();
  for (const std::string& cost : workload.costs) GHOST_RETURN_IF_ERROR(options.costs.Set(cost));
  Simulation simulation(options, workload);
  ScheduleRecorder recorder(&workload, &simulation.machine());
  GHOST_RETURN_IF_ERROR(simulation.Run());
  if (golden.summary) return simulation.summary().ToText(/*with_speed=*/false);
  return recorder.ToText(simulation.summary(), simulation.start_ns());
}

}  // namespace ghost::sim
