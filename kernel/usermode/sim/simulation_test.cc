// Whole simulations under the FIFO policy: schedules that anyone can check by hand, determinism, and faults.
#include "kernel/usermode/sim/simulation.h"

#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost::sim {
namespace {

constexpr uint32_t kAbis[] = {69, 75, 84, 91};

// A bit of everything.
constexpr const char* kMixed = R"(
duration 10ms
class worker count 12 { loop { run exp 20us; sleep exp 60us } }
class server count 3 { loop { serve } }
class chatty count 2 { loop { run 3us; wake friend; sleep 50us } }
class friend count 2 { loop { wait; run 5us; yield } }
class parent count 2 start uniform 0us 1ms {
  loop { run 10us; fork { run 20us; sleep 20us; run 5us }; sleep exp 500us; nice 5; affinity 0-1 }
}
class outsider ordinary { loop { run exp 10us; sleep exp 400us } }
requests load to server rate 30000 run bimodal 4us 100us 1%
at 2ms busy 1 for 300us
at 4ms offline 2
at 5ms online 2
at 6ms upgrade-agents
)";

SimulationOptions Options(uint64_t seed) {
  return {.scheduler = PerCpuScheduler<FifoPolicy>::Make,
          .num_cpus = 4,
          .seed = seed,
          .abi = kAbis[seed % std::size(kAbis)],
          .liveness_bound_ns = 200'000'000,
          .check_every = 1};
}

struct Result {
  absl::Status status;
  std::string trace;
  std::string last;
  Summary summary;
};

Result Simulate(const Workload& workload, SimulationOptions options) {
  std::vector<std::string> names;
  for (const WorkloadClass& c : workload.classes) names.push_back(c.name);
  Trace trace(1 << 20, names);
  options.trace = &trace;
  Simulation simulation(options, workload);
  Result result;
  result.status = simulation.Run();
  result.trace = trace.ToText();
  result.last = trace.LastLines(30);
  result.summary = simulation.summary();
  return result;
}

class SeedsTest : public testing::TestWithParam<uint64_t> {};

TEST_P(SeedsTest, TheSameSeedGivesTheSameTrace) {
  const Workload workload = *ParseWorkload(kMixed);
  const Result a = Simulate(workload, Options(GetParam()));
  const Result b = Simulate(workload, Options(GetParam()));
  EXPECT_TRUE(a.status.ok()) << a.status << "\n" << a.last;
  EXPECT_GT(a.trace.size(), 100'000u);
  EXPECT_TRUE(a.trace == b.trace);
  const Result other = Simulate(workload, Options(GetParam() + 4));
  EXPECT_FALSE(a.trace == other.trace);
}

TEST_P(SeedsTest, HoldsUnderFaults) {
  const Workload workload = *ParseWorkload(kMixed);
  SimulationOptions options = Options(GetParam());
  options.faults = *ParseFaults("all");
  const Result a = Simulate(workload, options);
  EXPECT_TRUE(a.status.ok()) << "seed " << GetParam() << ": " << a.status << "\n" << a.last;
  EXPECT_GT(a.summary.faults, 20u);
  const Result b = Simulate(workload, options);
  EXPECT_TRUE(a.trace == b.trace);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SeedsTest, testing::Range(uint64_t{1}, uint64_t{201}));

}  // namespace
}  // namespace ghost::sim
