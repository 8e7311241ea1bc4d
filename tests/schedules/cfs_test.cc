// agent_cfs's policy over the simulation: what upstream's tests of it ask for, that CPUs share their work, and that an
// upgrade in place keeps nice values.
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "kernel/usermode/sim/simulation.h"
#include "schedulers/cfs/cfs_policy.h"

namespace ghost::sim {
namespace {

constexpr int64_t kMs = 1'000'000;

struct Turn {
  int64_t at_ns;
  int cpu;
};

class CfsTest : public testing::Test {
 protected:
  // Runs the workload on four CPUs, with the kernel's invariants checked. Class -> when it got which CPU.
  void Simulate(const char* text) {
    const Workload workload = *ParseWorkload(text);
    std::vector<std::string> names;
    for (const WorkloadClass& c : workload.classes) names.push_back(c.name);
    Trace trace(1 << 22, names);
    SimulationOptions options = {
        .scheduler = PerCpuScheduler<CfsPolicy>::Make, .num_cpus = 4, .trace = &trace, .check_every = 20};
    Simulation simulation(options, workload);
    const absl::Status status = simulation.Run();
    ASSERT_TRUE(status.ok()) << status << "\n" << trace.LastLines(40);
    summary_ = simulation.summary();
    // "<ns> cpu <cpu> runs <class>/<tid> from <ns>", "<ns> <class>/<tid> exited"
    for (absl::string_view line : absl::StrSplit(trace.ToText(), '\n')) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (words.size() < 5 || words[1] != "cpu" || words[3] != "runs") continue;
      const std::string name(words[4].substr(0, words[4].find('/')));
      Turn run = {0, 0};
      ASSERT_TRUE(absl::SimpleAtoi(words[0], &run.at_ns) && absl::SimpleAtoi(words[2], &run.cpu)) << line;
      runs_[name].push_back(run);
    }
  }
  // The CPUs that a class was given from `from_ns` on.
  std::set<int> Cpus(const std::string& name, int64_t from_ns = 0) {
    std::set<int> cpus;
    for (const Turn& run : runs_[name]) {
      if (run.at_ns >= from_ns) cpus.insert(run.cpu);
    }
    return cpus;
  }
  // CPU time of a class in ns.
  int64_t Used(size_t number) { return static_cast<int64_t>(summary_.classes[number].cpu_ns); }

  std::map<std::string, std::vector<Turn>> runs_;
  Summary summary_;
};

TEST_F(CfsTest, Simple) {
  Simulate("duration 50ms\nclass a count 20 { run 1ms; sleep 1ms; run 1ms }\n");
  EXPECT_EQ(Used(0), 40 * kMs);  // all of it: they are done
}

TEST_F(CfsTest, RespectsNewTaskAffinity) {
  Simulate(
      "duration 50ms\nclass hog count 4 { loop { run 10ms } }\nclass a cpus 2 { loop { run 3ms; sleep 100us } }\n");
  EXPECT_EQ(Cpus("a"), std::set<int>{2});
}

TEST_F(CfsTest, KeepsAffinityWhenItWakes) {
  Simulate(
      "duration 50ms\nclass hog count 6 { loop { run 10ms } }\n"
      "class a count 3 cpus 1-2 { loop { run 100us; sleep 200us } }\n");
  EXPECT_EQ(Cpus("a"), (std::set<int>{1, 2}));
}

TEST_F(CfsTest, GetsOnUnderAStormOfChangesOfPriority) {
  Simulate(
      "duration 1s\nclass hog count 4 { loop { run 10ms } }\n"
      "class a { loop 20 { run 20us; nice 3; run 20us; affinity 1; nice 4; run 20us; affinity 2; nice 2 } }\n");
  EXPECT_EQ(Used(1), 20 * 60'000);
  EXPECT_EQ(Cpus("a").count(1), 1u);
}

TEST_F(CfsTest, AnAffinityThatChangesWhileItSleepsOrWaitsIsKept) {
  // It sleeps right after the change; and the other three are four on a CPU.
  Simulate(
      "duration 60ms\nclass hog count 8 { loop { run 10ms } }\n"
      "class sleeper { run 100us; affinity 3; sleep 5ms; loop { run 100us; sleep 1ms } }\n"
      "class waiter count 3 { run 2ms; affinity 0; loop { run 5ms } }\n");
  EXPECT_EQ(Cpus("sleeper", 40 * kMs), std::set<int>{3});
  EXPECT_EQ(Cpus("waiter", 40 * kMs), std::set<int>{0});
}

TEST_F(CfsTest, NoCpuIsIdleWhileOthersWait) {
  Simulate(
      "duration 100ms\nclass a count 8 { loop 3 { run 2ms; sleep 1ms }; affinity 0-3; loop { run 10ms } }\n"
      "class b count 4 cpus 0 { run 1ms; affinity 0-3; loop { run 10ms } }\n");
  EXPECT_GE(Used(0) + Used(1), 4 * 95 * kMs);
}

TEST_F(CfsTest, WeightsHoldAcrossCpus) {
  // Two CPUs' worth for 4 of nice 0 and 4 of nice 5: as many of each on each CPU, or close.
  Simulate(
      "duration 2s\nclass heavy count 4 cpus 0-1 { loop { run 10ms } }\n"
      "class light count 4 nice 5 cpus 0-1 { loop { run 10ms } }\n");
  EXPECT_NEAR(static_cast<double>(Used(0)) / static_cast<double>(Used(1)), 1024.0 / 335, 0.5);
}

TEST_F(CfsTest, AnUpgradeInPlaceKeepsNiceValues) {
  Simulate(
      "duration 4s\nclass heavy cpus 0 { loop { run 10ms } }\nclass light nice 5 cpus 0 { loop { run 10ms } }\n"
      "at 5ms upgrade-agents\n");
  EXPECT_NEAR(static_cast<double>(Used(0)) / static_cast<double>(Used(1)), 1024.0 / 335, 0.2);
}

}  // namespace
}  // namespace ghost::sim
