#include "experiments/rocksdb/options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "experiments/common/enum_flag.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr std::pair<const char*, CfsWaitType> kCfsWaitTypes[] = {{"spin", CfsWaitType::kSpin},
                                                                 {"futex", CfsWaitType::kFutex}};
constexpr std::pair<const char*, GhostWaitType> kGhostWaitTypes[] = {{"prio_table", GhostWaitType::kPrioTable},
                                                                     {"futex", GhostWaitType::kFutex}};
constexpr std::pair<const char*, GeneratorWait> kGeneratorWaits[] = {
    {"auto", GeneratorWait::kAuto}, {"spin", GeneratorWait::kSpin}, {"sleep", GeneratorWait::kSleep}};

// What a generator can notice in a second, with all of its CPU.
constexpr double kMaxThroughput = 10e6;
constexpr int kMaxWorkers = 4096;
constexpr int kMaxBatch = 1024;
// A worker is waited for at the end until it has done its batch.
constexpr absl::Duration kMaxServiceTime = absl::Seconds(1);

absl::Status OutOfRange(absl::string_view flag, absl::string_view value, absl::string_view range) {
  return WithHint(absl::InvalidArgumentError(absl::StrCat(flag, " ", value, ": out of range")), range);
}

absl::Status CheckNumbers(const ExperimentOptions& o) {
  // Not-a-number is in no range.
  if (!(o.throughput > 0 && o.throughput <= kMaxThroughput)) {
    return OutOfRange("--throughput", absl::StrCat(o.throughput), "more than 0 and at most 10000000 requests/s");
  }
  if (!(o.range_query_ratio >= 0 && o.range_query_ratio <= 1)) {
    return OutOfRange("--range_query_ratio", absl::StrCat(o.range_query_ratio), "from 0 (only Get) to 1 (only Range)");
  }
  if (o.num_workers < 1 || o.num_workers > kMaxWorkers) {
    return OutOfRange("--num_workers", absl::StrCat(o.num_workers), absl::StrCat("from 1 to ", kMaxWorkers));
  }
  if (o.batch < 1 || o.batch > kMaxBatch) {
    return OutOfRange("--batch", absl::StrCat(o.batch), absl::StrCat("from 1 to ", kMaxBatch));
  }
  return absl::OkStatus();
}

absl::Status CheckDurations(const ExperimentOptions& o) {
  for (const auto& [flag, value] :
       {std::pair{"--get_duration", o.get_duration}, std::pair{"--range_duration", o.range_duration},
        std::pair{"--get_exponential_mean", o.get_exponential_mean}}) {
    if (value < absl::ZeroDuration() || value > kMaxServiceTime) {
      return OutOfRange(flag, absl::FormatDuration(value), "from 0 to 1s, as 10us");
    }
  }
  if (o.discard_duration < absl::ZeroDuration() || o.discard_duration == absl::InfiniteDuration()) {
    return OutOfRange("--discard_duration", absl::FormatDuration(o.discard_duration), "0 or more, as 2s");
  }
  if (o.experiment_duration <= o.discard_duration) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(
                        "--experiment_duration ", absl::FormatDuration(o.experiment_duration),
                        ": nothing is left after --discard_duration ", absl::FormatDuration(o.discard_duration))),
                    "the discarded time is the first part of it: --experiment_duration 15s --discard_duration 2s");
  }
  return absl::OkStatus();
}

absl::Status CheckCpuLists(const ExperimentOptions& o) {
  if (!o.ghost()) return absl::OkStatus();
  for (const auto& [flag, value] :
       {std::pair{"--worker_cpus", &o.worker_cpus}, std::pair{"--cfs_dispatcher_cpus", &o.cfs_dispatcher_cpus}}) {
    if (value->empty()) continue;
    return WithHint(absl::InvalidArgumentError(absl::StrCat(flag, " ", *value, ": not with --scheduler ghost")),
                    "the agent decides where workers run (its --ghost_cpus), and there is no dispatcher: leave it out");
  }
  return absl::OkStatus();
}

std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(const std::string& value) { return value; }
std::string Text(absl::Duration value) { return absl::FormatDuration(value); }
std::string Text(double value) { return absl::StrCat(value); }
std::string Text(int value) { return absl::StrCat(value); }
std::string Text(uint32_t value) { return absl::StrCat(value); }
template <typename Enum>
std::string Text(Enum value) {
  return AbslUnparseFlag(value);
}

}  // namespace

bool AbslParseFlag(absl::string_view text, CfsWaitType* value, std::string* error) {
  return ParseWord(kCfsWaitTypes, text, value, error);
}
bool AbslParseFlag(absl::string_view text, GhostWaitType* value, std::string* error) {
  return ParseWord(kGhostWaitTypes, text, value, error);
}
bool AbslParseFlag(absl::string_view text, GeneratorWait* value, std::string* error) {
  return ParseWord(kGeneratorWaits, text, value, error);
}
std::string AbslUnparseFlag(CfsWaitType value) { return WordOf(kCfsWaitTypes, value); }
std::string AbslUnparseFlag(GhostWaitType value) { return WordOf(kGhostWaitTypes, value); }
std::string AbslUnparseFlag(GeneratorWait value) { return WordOf(kGeneratorWaits, value); }

std::string ExperimentOptions::WaitType() const {
  return ghost() ? AbslUnparseFlag(ghost_wait_type) : AbslUnparseFlag(cfs_wait_type);
}

std::vector<std::pair<std::string, std::string>> ExperimentOptions::ToPairs() const {
  return {{"batch", Text(batch)},
          {"cfs_dispatcher_cpus", Text(cfs_dispatcher_cpus)},
          {"cfs_wait_type", Text(cfs_wait_type)},
          {"discard_duration", Text(discard_duration)},
          {"enclave", Text(enclave)},
          {"experiment_duration", Text(experiment_duration)},
          {"get_duration", Text(get_duration)},
          {"get_exponential_mean", Text(get_exponential_mean)},
          {"ghost_qos", Text(ghost_qos)},
          {"ghost_wait_type", Text(ghost_wait_type)},
          {"ghostfs", Text(ghostfs)},
          {"load_generator_cpus", Text(load_generator_cpus)},
          {"load_generator_wait", Text(load_generator_wait)},
          {"num_workers", Text(num_workers)},
          {"print_distribution", Text(print_distribution)},
          {"print_format", Text(print_format)},
          {"print_get", Text(print_get)},
          {"print_last", Text(print_last)},
          {"print_ns", Text(print_ns)},
          {"print_range", Text(print_range)},
          {"range_duration", Text(range_duration)},
          {"range_query_ratio", Text(range_query_ratio)},
          {"rocksdb_db_path", Text(rocksdb_db_path)},
          {"scheduler", Text(scheduler)},
          {"throughput", Text(throughput)},
          {"worker_cpus", Text(worker_cpus)}};
}

absl::Status Validate(const ExperimentOptions& options) {
  GHOST_RETURN_IF_ERROR(CheckNumbers(options));
  GHOST_RETURN_IF_ERROR(CheckDurations(options));
  return CheckCpuLists(options);
}

}  // namespace ghost
