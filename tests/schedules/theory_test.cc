// What the theory of scheduling proves of a policy holds for ours, agents, messages and all, where operations cost
// nothing.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "schedulers/cfs/nice_weight.h"
#include "tests/schedules/schedule_text.h"
#include "tests/schedules/simulate.h"

namespace ghost::sim {
namespace {

constexpr int64_t kMs = 1'000'000;

// One CPU for tasks; a global agent gets a second one.
SimulationOptions OneCpu(const std::string& policy) {
  const bool global = policy != "fifo_per_cpu" && policy != "cfs" && policy != "cfs_bpf";
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

struct Competitor {
  int nice = 0;
  int64_t start_ns = 0;
  // What it would have had by now of a CPU that all share at once, less what it has had.
  double lag_ns = 0;
  double slice_ns = 0;  // the longest that it has been due, since those who were there before it came
};

// A lag grows and shrinks evenly between two switches, so it is enough to look at those.
class Lags {
 public:
  Lags(std::vector<Competitor> competitors, int64_t latency_ms, const std::string& policy = "cfs")
      : competitors_(std::move(competitors)), latency_ns_(static_cast<double>(latency_ms * kMs)) {
    std::string text = "duration 3s\n";
    for (size_t i = 0; i < competitors_.size(); ++i) {
      absl::StrAppend(&text, "class c", i, " nice ", competitors_[i].nice, " start ", competitors_[i].start_ns,
                      "ns { run 5s }\n");
      index_[absl::StrCat("c", i, ".1")] = i;
      starts_ns_.insert(competitors_[i].start_ns);
    }
    SimulationOptions options = OneCpu(policy);
    options.tunables = {{"latency", absl::StrCat(latency_ms, "ms")}, {"min_granularity", "10us"}};
    const Recorded run = Record(options, text);
    EXPECT_GT(run.slices.size(), 20u);
    for (const ScheduleRecorder::Slice& slice : run.slices) {
      if (slice.to_ns < 0) break;
      Follow(index_.at(slice.thread), slice.from_ns - run.start_ns, slice.to_ns - run.start_ns);
    }
  }
  // The greatest lag of any of them at any time, to either side, in slices: shares of the latency by weight.
  double greatest() const { return greatest_; }
  double greatest_ns() const { return greatest_ns_; }

 private:
  void Follow(size_t running, int64_t from_ns, int64_t to_ns) {
    // Whoever ran alone may have done so until somebody came.
    for (auto start = starts_ns_.upper_bound(from_ns); start != starts_ns_.end() && *start < to_ns; ++start) {
      Share(running, from_ns, *start);
      from_ns = *start;
    }
    Share(running, from_ns, to_ns);
  }
  void Share(size_t running, int64_t from_ns, int64_t to_ns) {
    double total = 0;
    for (const Competitor& c : competitors_) total += c.start_ns < to_ns ? WeightOf(c) : 0;
    for (size_t i = 0; i < competitors_.size(); ++i) {
      Competitor& c = competitors_[i];
      const bool present = c.start_ns < to_ns;
      const double slice_ns = latency_ns_ * WeightOf(c) / std::max(total, WeightOf(c));
      // One that is not there yet: what a slice of its weight is among those who are.
      c.slice_ns = present ? std::max(c.slice_ns, slice_ns) : slice_ns;
      if (!present) continue;
      const auto ns = static_cast<double>(to_ns - from_ns);
      c.lag_ns += ns * WeightOf(c) / total - (running == i ? ns : 0);
      greatest_ = std::max(greatest_, std::abs(c.lag_ns) / c.slice_ns);
      greatest_ns_ = std::max(greatest_ns_, std::abs(c.lag_ns));
    }
  }
  static double WeightOf(const Competitor& c) { return static_cast<double>(NiceWeight(c.nice)); }

  std::vector<Competitor> competitors_;
  const double latency_ns_;
  std::map<std::string, size_t> index_;
  std::set<int64_t> starts_ns_;
  double greatest_ = 0;
  double greatest_ns_ = 0;
};

std::vector<Competitor> RandomCompetitors(Random& random) {
  std::vector<Competitor> competitors(2 + random.Below(7));
  for (Competitor& c : competitors) c.nice = static_cast<int>(random.Below(21)) - 10;
  return competitors;
}

constexpr double kRounding = 1e-4;  // a slice is whole ns

// Of those that start together, from the start on: the bound of sharing by least vruntime.
TEST(CfsTest, TheLagStaysWithinASlice) {
  for (const int64_t latency_ms : {10, 20, 40, 100}) {
    const double lag = Lags({{.nice = 6}, {.nice = 3}, {.nice = 0}}, latency_ms).greatest();
    EXPECT_LE(lag, 1 + kRounding) << latency_ms;
    EXPECT_GE(lag, 0.5) << latency_ms;  // it does measure
  }
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    const std::vector<Competitor> competitors = RandomCompetitors(random);
    const auto latency_ms = static_cast<int64_t>(10 + random.Below(90));
    EXPECT_LE(Lags(competitors, latency_ms).greatest(), 1 + kRounding) << seed;
  }
}

// Who comes later starts up to a slice to the right of where all stand on average, which adds one.
TEST(CfsTest, TheLagOfLatecomersStaysWithinTwo) {
  double greatest = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    std::vector<Competitor> competitors = RandomCompetitors(random);
    for (Competitor& c : competitors) c.start_ns = static_cast<int64_t>(random.Below(300)) * kMs;
    const double lag = Lags(competitors, static_cast<int64_t>(10 + random.Below(90))).greatest();
    EXPECT_LE(lag, 2 + kRounding) << seed;
    greatest = std::max(greatest, lag);
  }
  EXPECT_GT(greatest, 1);
}

// In BPF there is no timer: a turn ends at the first tick after its slice, whatever that is worth to who has it. So
// each of the others may be a tick ahead at a time.
TEST(CfsBpfTest, TheLagStaysWithinTheLatencyAndATickForEach) {
  constexpr double kTickMs = 4;
  double greatest_ms = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    const std::vector<Competitor> competitors = RandomCompetitors(random);
    const auto latency_ms = static_cast<int64_t>(10 + random.Below(90));
    const double lag_ms = Lags(competitors, latency_ms, "cfs_bpf").greatest_ns() / static_cast<double>(kMs);
    EXPECT_LE(lag_ms, static_cast<double>(latency_ms) + kTickMs * static_cast<double>(competitors.size())) << seed;
    greatest_ms = std::max(greatest_ms, lag_ms);
  }
  EXPECT_GT(greatest_ms, kTickMs);  // it does measure
}

class FairTest : public testing::TestWithParam<std::string> {};

TEST_P(FairTest, SharesGoByWeight) {
  const absl::StatusOr<Summary> summary =
      Simulate(OneCpu(GetParam()),
               "duration 2s\nclass one nice 6 { run 3s }\nclass two nice 3 { run 3s }\nclass four nice 0 { run 3s }");
  ASSERT_TRUE(summary.ok()) << summary.status();
  const double shares[] = {1.0 / 7, 2.0 / 7, 4.0 / 7};
  for (size_t i = 0; i < std::size(shares); ++i) {
    EXPECT_NEAR(static_cast<double>(summary->classes[i].cpu_ns) / 2e9, shares[i], 0.02) << summary->classes[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, FairTest, testing::Values("cfs", "cfs_bpf"));

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
