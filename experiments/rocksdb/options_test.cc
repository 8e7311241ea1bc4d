#include "experiments/rocksdb/options.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

TEST(OptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(Validate(ExperimentOptions()).ok()) << Validate(ExperimentOptions());
  ExperimentOptions ghost;
  ghost.scheduler = Scheduler::kGhost;
  EXPECT_TRUE(Validate(ghost).ok()) << Validate(ghost);
}

TEST(OptionsTest, EachBadValueIsNamed) {
  const absl::Duration inf = absl::InfiniteDuration(), negative = -absl::Nanoseconds(1);
  const struct {
    std::function<void(ExperimentOptions&)> spoil;
    const char* flag;
  } kCases[] = {
      {[](ExperimentOptions& o) { o.throughput = 0; }, "--throughput 0"},
      {[](ExperimentOptions& o) { o.throughput = -1; }, "--throughput -1"},
      {[](ExperimentOptions& o) { o.throughput = 1e7 + 1; }, "--throughput"},
      {[](ExperimentOptions& o) { o.throughput = NAN; }, "--throughput"},
      {[](ExperimentOptions& o) { o.range_query_ratio = -0.1; }, "--range_query_ratio -0.1"},
      {[](ExperimentOptions& o) { o.range_query_ratio = 1.01; }, "--range_query_ratio"},
      {[](ExperimentOptions& o) { o.range_query_ratio = NAN; }, "--range_query_ratio"},
      {[](ExperimentOptions& o) { o.num_workers = 0; }, "--num_workers 0"},
      {[](ExperimentOptions& o) { o.num_workers = 4097; }, "--num_workers"},
      {[](ExperimentOptions& o) { o.batch = 0; }, "--batch 0"},
      {[](ExperimentOptions& o) { o.batch = 1025; }, "--batch"},
      {[=](ExperimentOptions& o) { o.get_duration = negative; }, "--get_duration"},
      {[=](ExperimentOptions& o) { o.get_duration = inf; }, "--get_duration inf"},
      {[=](ExperimentOptions& o) { o.range_duration = negative; }, "--range_duration"},
      {[](ExperimentOptions& o) { o.range_duration = absl::Seconds(2); }, "--range_duration 2s"},
      {[=](ExperimentOptions& o) { o.get_exponential_mean = negative; }, "--get_exponential_mean"},
      {[=](ExperimentOptions& o) { o.get_exponential_mean = inf; }, "--get_exponential_mean"},
      {[=](ExperimentOptions& o) { o.discard_duration = negative; }, "--discard_duration"},
      {[=](ExperimentOptions& o) { o.discard_duration = inf; }, "--discard_duration inf"},
      {[](ExperimentOptions& o) { o.experiment_duration = absl::ZeroDuration(); }, "--experiment_duration"},
      {[](ExperimentOptions& o) { o.experiment_duration = absl::Seconds(2); }, "--experiment_duration 2s"},
      {[](ExperimentOptions& o) {
         o.scheduler = Scheduler::kGhost;
         o.worker_cpus = "1-2";
       },
       "--worker_cpus 1-2"},
      {[](ExperimentOptions& o) {
         o.scheduler = Scheduler::kGhost;
         o.cfs_dispatcher_cpus = "1";
       },
       "--cfs_dispatcher_cpus 1"},
  };
  for (const auto& [spoil, flag] : kCases) {
    ExperimentOptions options;
    spoil(options);
    const absl::Status status = Validate(options);
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << flag;
    EXPECT_TRUE(absl::StartsWith(status.message(), flag)) << flag << " v " << status;
    EXPECT_NE(HintOf(status), "") << flag;
  }
}

TEST(OptionsTest, WordsOfEnums) {
  std::string error;
  Scheduler scheduler = Scheduler::kCfs;
  EXPECT_TRUE(AbslParseFlag("ghost", &scheduler, &error));
  EXPECT_EQ(scheduler, Scheduler::kGhost);
  EXPECT_FALSE(AbslParseFlag("fair", &scheduler, &error));
  EXPECT_EQ(error, "it is cfs or ghost");
  CfsWaitType cfs = CfsWaitType::kSpin;
  EXPECT_TRUE(AbslParseFlag("futex", &cfs, &error));
  EXPECT_EQ(cfs, CfsWaitType::kFutex);
  EXPECT_FALSE(AbslParseFlag("prio_table", &cfs, &error));
  EXPECT_EQ(error, "it is spin or futex");
  GhostWaitType ghost = GhostWaitType::kPrioTable;
  EXPECT_TRUE(AbslParseFlag("futex", &ghost, &error));
  EXPECT_EQ(ghost, GhostWaitType::kFutex);
  EXPECT_FALSE(AbslParseFlag("spin", &ghost, &error));
  EXPECT_EQ(error, "it is prio_table or futex");
  GeneratorWait wait = GeneratorWait::kAuto;
  EXPECT_TRUE(AbslParseFlag("sleep", &wait, &error));
  EXPECT_EQ(wait, GeneratorWait::kSleep);
  EXPECT_FALSE(AbslParseFlag("", &wait, &error));
  EXPECT_EQ(error, "it is auto, spin or sleep");
}

TEST(OptionsTest, TheWaitTypeIsTheSchedulers) {
  ExperimentOptions options;
  EXPECT_EQ(options.WaitType(), "spin");
  options.scheduler = Scheduler::kGhost;
  EXPECT_EQ(options.WaitType(), "prio_table");
}

TEST(OptionsTest, PairsAreAllOptionsInAlphabeticalOrder) {
  const auto pairs = ExperimentOptions().ToPairs();
  EXPECT_TRUE(std::is_sorted(pairs.begin(), pairs.end()));
  std::string text;
  for (const auto& [name, value] : pairs) absl::StrAppend(&text, name, "=", value, "\n");
  EXPECT_EQ(text, R"(batch=1
cfs_dispatcher_cpus=
cfs_wait_type=spin
discard_duration=2s
enclave=
experiment_duration=inf
get_duration=10us
get_exponential_mean=0
ghost_qos=2
ghost_wait_type=prio_table
ghostfs=
load_generator_cpus=
load_generator_wait=auto
num_workers=6
print_distribution=false
print_format=pretty
print_get=false
print_last=false
print_ns=false
print_range=false
range_duration=10ms
range_query_ratio=0
rocksdb_db_path=
scheduler=cfs
throughput=20000
worker_cpus=
)");
}

}  // namespace
}  // namespace ghost
