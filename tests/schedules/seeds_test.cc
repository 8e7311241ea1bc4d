// Every policy, under random workloads with every fault that the simulation knows: nothing is broken that
// core/invariant_checker.h watches, and who can run does so once the faults have stopped.
#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "kernel/usermode/sim/faults.h"
#include "lib/base/file.h"
#include "tests/schedules/simulate.h"
#include "util/ghostsim_policies.h"

namespace ghost::sim {
namespace {

constexpr uint32_t kAbis[] = {69, 75, 84, 91};
constexpr uint64_t kSeedsOfBlock = 20;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kBlocks = 1;
#else
constexpr uint64_t kBlocks = 10;
#endif

// Who lets urgent work go first may starve the rest when there is too much of it, and be right.
bool KnowsUrgency(const std::string& policy) { return policy == "edf" || policy == "shinjuku"; }

// Drawn from the seed, besides all that the classes draw: how many there are of each, and how busy they are. Without
// `more` they don't want more than the three CPUs that a global agent leaves of four; with it, up to twice as much.
std::string RandomWorkload(uint64_t seed, bool more) {
  Random random(seed);
  const auto number = [&](uint64_t most) { return 1 + random.Below(most); };
  return absl::StrCat(
      "duration 8ms\nclass worker count ", number(6), " { loop { run exp ", number(20), "us; sleep exp 60us } }\n",
      "class server count ", number(4), " qos 1 deadline 500us { loop { serve } }\n", "requests load to server rate ",
      1000 * number(20), " run bimodal 4us 100us 1%\n",
      "class video deadline 1ms estimate 200us { loop { serve } }\nrequests frames to video every 1ms run 200us\n",
      "class chatty count 2 { loop { run 3us; wake friend; sleep ", 20 + number(50), "us } }\n",
      "class friend count 2 nice 5 { loop { wait; run 5us; yield } }\n",
      "class parent count 2 start uniform 0us 1ms {\n",
      "  loop { run 10us; fork { run 20us; sleep 20us; run 5us }; sleep exp 500us; nice 5; affinity 0-1 } }\n",
      "class hog { loop { run ", number(3), "00us; hint qos 0; hint qos 2; sleep 300us } }\n",
      "class outsider ordinary { loop { run exp 10us; sleep exp 400us } }\n",
      "at 2ms busy 1 for 300us\nat 4ms offline 2\nat 5ms online 2\nat 6ms upgrade-agents\n",
      more ? absl::StrCat("class mill count ", number(6), " { loop { run exp 300us; sleep 10us } }\n") : "");
}

// The policies whose names end so have a ring from which CPUs take tasks themselves.
constexpr absl::string_view kPnt = "_pnt";

class SeedsTest : public testing::TestWithParam<std::tuple<std::string, uint64_t>> {};

TEST_P(SeedsTest, HoldUnderFaults) {
  const auto& [name, block] = GetParam();
  absl::string_view of_policy = name;
  const bool pnt = absl::ConsumeSuffix(&of_policy, kPnt);
  const std::string policy(of_policy);
  for (uint64_t seed = block * kSeedsOfBlock + 1; seed <= (block + 1) * kSeedsOfBlock; ++seed) {
    const absl::StatusOr<Workload> workload = ParseWorkload(RandomWorkload(seed, !KnowsUrgency(policy)));
    ASSERT_TRUE(workload.ok()) << workload.status();
    SimulationOptions options = OptionsFor(policy, 4);
    options.pnt = pnt;
    options.seed = seed;
    options.abi = kAbis[seed % std::size(kAbis)];
    options.faults = *ParseFaults("all");
    options.liveness_bound_ns = 200'000'000;
    options.check_every = 20;
    std::vector<std::string> names;
    for (const WorkloadClass& c : workload->classes) names.push_back(c.name);
    Trace trace(40, names);
    options.trace = &trace;
    Simulation simulation(options, *workload);
    const absl::Status status = simulation.Run();
    EXPECT_TRUE(status.ok()) << name << ", seed " << seed << ": " << status << "\n" << trace.LastLines(40);
    EXPECT_GT(simulation.summary().faults, 10u);
  }
}

// What once was broken, and the run that showed it.
struct Found {
  const char* policy;
  int cpus;
  uint64_t seed;
  int64_t duration_ms;
  const char* what;
};
constexpr Found kFound[] = {
    {"sol", 8, 119, 50, "a message of an earlier stay was news of a task that was found by its status word"},
    {"sol", 8, 35, 30, "a task that was back was not found, as its old record still stood"},
    {"sol", 8, 103, 30, "so it was"},
    {"fifo_centralized", 8, 85, 30, "a wake-up was lost, and a later message of its task was not"},
    {"fifo_per_cpu", 8, 104, 30, "the task of a TASK_NEW that is still in the queue was not looked at afresh"},
    {"cfs", 8, 13, 30, "tasks that bring credit from another CPU starve one that stays"},
};

class FoundTest : public testing::TestWithParam<Found> {};

TEST_P(FoundTest, Holds) {
  const absl::StatusOr<std::string> text = ReadFile("kernel/usermode/sim/workloads/churn.txt");
  ASSERT_TRUE(text.ok()) << text.status();
  const absl::StatusOr<Workload> workload = ParseWorkload(*text);
  ASSERT_TRUE(workload.ok()) << workload.status();
  SimulationOptions options = OptionsFor(GetParam().policy, GetParam().cpus);
  options.seed = GetParam().seed;
  options.abi = kAbis[options.seed % std::size(kAbis)];
  options.faults = *ParseFaults("all");
  options.duration_ns = GetParam().duration_ms * 1'000'000;
  options.liveness_bound_ns = 1'000'000'000;
  options.check_every = 20;
  Simulation simulation(options, *workload);
  const absl::Status status = simulation.Run();
  EXPECT_TRUE(status.ok()) << GetParam().what << ": " << status;
}

INSTANTIATE_TEST_SUITE_P(Seeds, FoundTest, testing::ValuesIn(kFound),
                         [](const auto& info) { return absl::StrCat(info.param.policy, "_", info.param.seed); });

std::vector<std::string> Policies() {
  std::vector<std::string> names;
  for (const PolicyEntry& policy : SimPolicies()) {
    names.emplace_back(policy.name);
    if (policy.pnt) names.push_back(absl::StrCat(policy.name, kPnt));
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Policies, SeedsTest,
                         testing::Combine(testing::ValuesIn(Policies()), testing::Range(uint64_t{0}, kBlocks)),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), "_", std::get<1>(info.param));
                         });

}  // namespace
}  // namespace ghost::sim
