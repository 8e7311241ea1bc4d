#include "schedulers/cfs/cfs_options.h"

#include <cstdint>
#include <iterator>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/status.h"

ABSL_FLAG(absl::Duration, min_granularity, absl::Milliseconds(1),
          "A task that got the CPU keeps it for this long, unless one that wakes is due.");
ABSL_FLAG(absl::Duration, latency, absl::Milliseconds(10), "The period in which each task of a CPU is to run once.");
ABSL_FLAG(absl::Duration, wakeup_granularity, absl::Milliseconds(1),
          "How far one that wakes must be behind the running task to preempt it.");
ABSL_FLAG(bool, experimental_enable_idle_load_balancing, true,
          "Whether a CPU that runs out of tasks takes over some of another's.");

namespace ghost {
namespace {

absl::Status CheckRange(const char* flag, absl::Duration value, int64_t least_ns, int64_t greatest_ns) {
  const absl::Duration least = absl::Nanoseconds(least_ns), greatest = absl::Nanoseconds(greatest_ns);
  if (value >= least && value <= greatest) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat(flag, " ", absl::FormatDuration(value), ": out of range")),
                  absl::StrCat("from ", absl::FormatDuration(least), " to ", absl::FormatDuration(greatest)));
}

}  // namespace

absl::Status CheckCfsOptions(const CfsPolicy::Options& options) {
  GHOST_RETURN_IF_ERROR(CheckRange("--min_granularity", options.min_granularity, CfsPolicy::kLeastPeriodNs,
                                   CfsPolicy::kGreatestGranularityNs));
  GHOST_RETURN_IF_ERROR(
      CheckRange("--latency", options.latency, CfsPolicy::kLeastPeriodNs, CfsPolicy::kGreatestLatencyNs));
  GHOST_RETURN_IF_ERROR(
      CheckRange("--wakeup_granularity", options.wakeup_granularity, 0, CfsPolicy::kGreatestLatencyNs));
  if (options.latency >= options.min_granularity) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat(
                      "--latency ", absl::FormatDuration(options.latency), " is less than --min_granularity ",
                      absl::FormatDuration(options.min_granularity), ": not even one task would fit in")),
                  "a latency of several min_granularities, such as 10ms and 1ms");
}

absl::StatusOr<CfsPolicy::Options> CfsOptionsFromFlags() {
  const CfsPolicy::Options options = {
      .min_granularity = absl::GetFlag(FLAGS_min_granularity),
      .latency = absl::GetFlag(FLAGS_latency),
      .wakeup_granularity = absl::GetFlag(FLAGS_wakeup_granularity),
      .idle_load_balancing = absl::GetFlag(FLAGS_experimental_enable_idle_load_balancing)};
  GHOST_RETURN_IF_ERROR(CheckCfsOptions(options));
  return options;
}

}  // namespace ghost
