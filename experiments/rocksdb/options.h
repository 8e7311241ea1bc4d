// ExperimentOptions: what a run of the experiment is, as its user wants it; and whether that makes sense.
//
// The fields are the program's flags, by their names and with their defaults. Pure: no flag library's state, no
// machine; any thread.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_OPTIONS_H_
#define GHOST_EXPERIMENTS_ROCKSDB_OPTIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "experiments/common/print_format.h"
#include "experiments/common/scheduler_flag.h"

namespace ghost {

enum class CfsWaitType { kSpin, kFutex };
enum class GhostWaitType { kPrioTable, kFutex };
enum class GeneratorWait {
  kAuto,  // spin on a CPU of its own, else sleep
  kSpin,
  kSleep,
};

bool AbslParseFlag(absl::string_view text, CfsWaitType* value, std::string* error);
bool AbslParseFlag(absl::string_view text, GhostWaitType* value, std::string* error);
bool AbslParseFlag(absl::string_view text, GeneratorWait* value, std::string* error);
std::string AbslUnparseFlag(CfsWaitType value);
std::string AbslUnparseFlag(GhostWaitType value);
std::string AbslUnparseFlag(GeneratorWait value);

struct ExperimentOptions {
  PrintFormat print_format = PrintFormat::kPretty;
  bool print_last = false;
  bool print_distribution = false;
  bool print_ns = false;
  bool print_get = false;
  bool print_range = false;
  std::string rocksdb_db_path;
  double throughput = 20'000;
  double range_query_ratio = 0;
  std::string load_generator_cpus;
  GeneratorWait load_generator_wait = GeneratorWait::kAuto;
  std::string cfs_dispatcher_cpus;
  int num_workers = 6;
  std::string worker_cpus;
  CfsWaitType cfs_wait_type = CfsWaitType::kSpin;
  GhostWaitType ghost_wait_type = GhostWaitType::kPrioTable;
  absl::Duration get_duration = absl::Microseconds(10);
  absl::Duration range_duration = absl::Milliseconds(10);
  absl::Duration get_exponential_mean = absl::ZeroDuration();
  int batch = 1;
  absl::Duration experiment_duration = absl::InfiniteDuration();
  absl::Duration discard_duration = absl::Seconds(2);
  Scheduler scheduler = Scheduler::kCfs;
  uint32_t ghost_qos = 2;
  std::string enclave;
  std::string ghostfs;

  bool ghost() const { return scheduler == Scheduler::kGhost; }
  // The word of the wait type that counts.
  std::string WaitType() const;

  // Every field by its name, in alphabetical order.
  std::vector<std::pair<std::string, std::string>> ToPairs() const;
};

// What can be said without looking at the machine. The error names the flag and what it may be.
absl::Status Validate(const ExperimentOptions& options);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_OPTIONS_H_
