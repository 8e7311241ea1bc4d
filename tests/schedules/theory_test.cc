// What the theory of scheduling proves of a policy holds for ours, agents, messages and all, where operations cost
// nothing.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/schedules/schedule_text.h"
#include "tests/schedules/simulate.h"

namespace ghost::sim {
namespace {

constexpr int64_t kMs = 1'000'000;

// One CPU for tasks; a global agent gets a second one.
SimulationOptions OneCpu(const std::string& policy) {
  const bool global = policy != "fifo_per_cpu" && policy != "cfs";
  SimulationOptions options = OptionsFor(policy, global ? 2 : 1);
  options.global_cpu = global ? 1 : -1;
  options.costs = CostModel::Zero();
  return options;
}

struct Recorded {
  Summary summary;
  std::vector<ScheduleRecorder::Slice> slices;  // of CPU 0
  int64_t start_ns = 0;
};

Recorded Record(const SimulationOptions& options, const std::string& text) {
  const absl::StatusOr<Workload> workload = ParseWorkload(text);
  EXPECT_TRUE(workload.ok()) << workload.status() << "\n" << text;
  Simulation simulation(options, *workload);
  ScheduleRecorder recorder(&*workload, &simulation.machine());
  EXPECT_TRUE(simulation.Run().ok());
  return {simulation.summary(), recorder.slices().at(0), simulation.start_ns()};
}

uint64_t Missed(const Summary& summary) {
  uint64_t missed = 0;
  for (const Summary::Stream& stream : summary.streams) missed += stream.missed;
  return missed;
}

// ---- FIFO ----

class FifoTest : public testing::TestWithParam<std::string> {};

TEST_P(FifoTest, TheOrderIsThatOfArrival) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimulationOptions options = OneCpu(GetParam());
    options.seed = seed;
    // Threads are made, and numbered, as they start.
    const Recorded run = Record(options, "class a count 40 start uniform 0us 1ms { run exp 50us }");
    ASSERT_EQ(run.slices.size(), 40u);
    for (size_t i = 0; i < run.slices.size(); ++i) EXPECT_EQ(run.slices[i].thread, absl::StrCat("a.", i + 1)) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, FifoTest, testing::Values("fifo_per_cpu", "fifo_centralized"));

// ---- EDF (Liu and Layland 1973) ----

struct PeriodicTask {
  int64_t period_us;
  int64_t run_us;
};

std::string PeriodicSet(const std::vector<PeriodicTask>& tasks) {
  std::string text = "duration 201ms\n";
  for (size_t i = 0; i < tasks.size(); ++i) {
    absl::StrAppend(&text, "class t", i, " deadline ", tasks[i].period_us, "us { loop { serve } }\nrequests r", i,
                    " to t", i, " every ", tasks[i].period_us, "us run ", tasks[i].run_us, "us\n");
  }
  return text;
}

// Utilisations that add up to `total`, evenly drawn among all such (UUniFast, Bini and Buttazzo 2005).
std::vector<PeriodicTask> RandomSet(Random& random, double total) {
  constexpr int64_t kPeriodsUs[] = {2000, 4000, 5000, 8000, 10'000, 20'000, 40'000};
  const size_t count = 2 + random.Below(6);
  std::vector<PeriodicTask> tasks;
  for (size_t i = 0; i < count; ++i) {
    const auto left = static_cast<double>(count - 1 - i);
    const double rest = left == 0 ? 0 : total * std::pow(random.Real(), 1 / left);
    const int64_t period_us = kPeriodsUs[random.Below(std::size(kPeriodsUs))];
    tasks.push_back(
        {period_us, std::max<int64_t>(static_cast<int64_t>((total - rest) * static_cast<double>(period_us)), 1)});
    total = rest;
  }
  return tasks;
}

TEST(EdfTest, MeetsEveryDeadlineOfAFeasibleSet) {
  Random random(1);
  for (int i = 0; i < 100; ++i) {
    const std::string set = PeriodicSet(RandomSet(random, i % 2 == 0 ? 0.999 : 0.5 + random.Real() / 2));
    const absl::StatusOr<Summary> summary = Simulate(OneCpu("edf"), set);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(Missed(*summary), 0u) << set;
    EXPECT_GT(summary->classes[0].cpu_ns, 0u);
  }
}

TEST(EdfTest, UsesTheWholeCpu) {
  EXPECT_EQ(Missed(*Simulate(OneCpu("edf"), PeriodicSet({{4000, 1000}, {5000, 2000}, {20'000, 7000}}))), 0u);
}

TEST(EdfTest, AnInfeasibleSetMisses) {
  EXPECT_GT(Missed(*Simulate(OneCpu("edf"), PeriodicSet({{4000, 2000}, {5000, 2000}, {10'000, 2000}}))), 0u);
}

// The test would notice: who does not look at deadlines misses those of a set of which EDF meets all.
TEST(EdfTest, FifoMissesWhatEdfMeets) {
  const std::string set = PeriodicSet({{2000, 500}, {10'000, 5000}});
  EXPECT_EQ(Missed(*Simulate(OneCpu("edf"), set)), 0u);
  EXPECT_GT(Missed(*Simulate(OneCpu("fifo_centralized"), set)), 0u);
}

// ---- CFS ----

// A task's lag is what it would have had by now on a CPU that all share at once, less what it has had. Once all have
// run (a new task starts a slice behind), it moves by no more than the longest slice to either side: somebody's share
// of the latency, up to the tick that ends it.
TEST(CfsTest, TheLagStaysWithinASlice) {
  // Linux's weights of these nice values (kernel/sched/core.c).
  const std::map<std::string, double> weights = {{"one.1", 272}, {"two.1", 526}, {"four.1", 1024}};
  const double all = 272 + 526 + 1024;
  constexpr double kTickMs = 4;
  for (const int latency_ms : {20, 40, 100}) {
    SimulationOptions options = OneCpu("cfs");
    options.tunables = {{"latency", absl::StrCat(latency_ms, "ms")}};
    const Recorded run = Record(options,
                                "duration 3s\nclass one nice 6 { run 5s }\nclass two nice 3 { run 5s }\n"
                                "class four nice 0 { run 5s }");
    const double slice_ms = std::ceil(latency_ms * 1024 / all / kTickMs) * kTickMs;
    const double start_ms = 5 * latency_ms;
    std::map<std::string, double> had_ms, least_ms, most_ms;
    ASSERT_GT(run.slices.size(), 50u);
    for (const ScheduleRecorder::Slice& slice : run.slices) {
      if (slice.to_ns < 0) break;
      had_ms[slice.thread] += static_cast<double>(slice.to_ns - slice.from_ns) / kMs;
      const double now_ms = static_cast<double>(slice.to_ns - run.start_ns) / kMs;
      if (now_ms < start_ms) continue;
      for (const auto& [thread, weight] : weights) {
        const double lag_ms = now_ms * weight / all - had_ms[thread];
        least_ms[thread] = least_ms.contains(thread) ? std::min(least_ms[thread], lag_ms) : lag_ms;
        most_ms[thread] = most_ms.contains(thread) ? std::max(most_ms[thread], lag_ms) : lag_ms;
      }
    }
    for (const auto& [thread, weight] : weights) {
      EXPECT_GT(most_ms[thread] - least_ms[thread], 1) << thread;
      EXPECT_LE(most_ms[thread] - least_ms[thread], 2 * slice_ms) << thread << ", latency " << latency_ms << " ms";
    }
  }
}

TEST(CfsTest, SharesGoByWeight) {
  const absl::StatusOr<Summary> summary =
      Simulate(OneCpu("cfs"),
               "duration 2s\nclass one nice 6 { run 3s }\nclass two nice 3 { run 3s }\nclass four nice 0 { run 3s }");
  ASSERT_TRUE(summary.ok()) << summary.status();
  const double shares[] = {1.0 / 7, 2.0 / 7, 4.0 / 7};
  for (size_t i = 0; i < std::size(shares); ++i) {
    EXPECT_NEAR(static_cast<double>(summary->classes[i].cpu_ns) / 2e9, shares[i], 0.02) << summary->classes[i].name;
  }
}

// ---- Shinjuku ----

// Short requests that come while long ones run wait for one slice of each of those at most; under FIFO, for the whole
// of them.
TEST(ShinjukuTest, ShortRequestsWaitForSlicesOnly) {
  const std::string text =
      "duration 100ms\nclass long count 3 { loop { run 10ms; sleep 1us } }\nclass short { loop { serve } }\n"
      "requests r to short every 1ms run 10us from 500us";
  SimulationOptions options = OneCpu("shinjuku");
  options.tunables = {{"preemption_time_slice", "30us"}};
  const absl::StatusOr<Summary> shinjuku = Simulate(options, text);
  ASSERT_TRUE(shinjuku.ok()) << shinjuku.status();
  const Histogram& response = shinjuku->streams[0].response;
  EXPECT_EQ(response.count(), 100u);
  EXPECT_LE(response.max(), 3 * 30'000u + 10'000u);
  const absl::StatusOr<Summary> fifo = Simulate(OneCpu("fifo_centralized"), text);
  ASSERT_TRUE(fifo.ok()) << fifo.status();
  EXPECT_GT(fifo->streams[0].response.Percentile(0.5), 10'000'000u);
}

}  // namespace
}  // namespace ghost::sim
