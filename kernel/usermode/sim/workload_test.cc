#include "kernel/usermode/sim/workload.h"

#include <iterator>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

TEST(WorkloadTest, ClassesWithLoopsAndForks) {
  const absl::StatusOr<Workload> workload = ParseWorkload(R"(
duration 50ms    # a comment
cost message=300
class worker count 3 nice -5 cpus 0-1,3 start uniform 1us 2us {
  loop 10 { run exp 20us; sleep bimodal 1us 1.5ms 0.5% }
  fork {
    wait
  }
  wake other
  affinity 2
}
class other ordinary { loop { wait } }
requests load to worker rate 1e5 run 4us from 1ms until 2s
at 5ms offline 1
at 6ms online 1; at 7ms busy 0 for 1ms
at 8ms start other 7
at 9ms kill-agents
)");
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->duration_ns, 50'000'000);
  EXPECT_EQ(workload->costs, std::vector<std::string>{"message=300"});
  ASSERT_EQ(workload->classes.size(), 2u);
  const WorkloadClass& worker = workload->classes[0];
  EXPECT_EQ(worker.name, "worker");
  EXPECT_EQ(worker.count, 3);
  EXPECT_EQ(worker.nice, -5);
  EXPECT_EQ(worker.cpus, (CpuSet{0, 1, 3}));
  EXPECT_EQ(worker.start.b, 2000);
  using Kind = Op::Kind;
  const Kind kExpected[] = {Kind::kLoop, Kind::kRun,  Kind::kSleep, Kind::kEndLoop,  Kind::kFork,
                            Kind::kWait, Kind::kExit, Kind::kWake,  Kind::kAffinity, Kind::kExit};
  ASSERT_EQ(worker.code.size(), std::size(kExpected));
  for (size_t i = 0; i < std::size(kExpected); ++i) EXPECT_EQ(worker.code[i].kind, kExpected[i]) << i;
  EXPECT_EQ(worker.code[0].number, 10);
  EXPECT_EQ(worker.code[0].target, 4u);
  EXPECT_EQ(worker.code[3].target, 0u);
  EXPECT_EQ(worker.code[4].target, 7u);
  EXPECT_EQ(worker.code[2].time.b, 1'500'000);
  EXPECT_DOUBLE_EQ(worker.code[2].time.chance_b, 0.005);
  EXPECT_EQ(worker.code[7].number, 1);
  EXPECT_FALSE(workload->classes[1].in_ghost);
  ASSERT_EQ(workload->streams.size(), 1u);
  EXPECT_EQ(workload->streams[0].to, 0);
  EXPECT_DOUBLE_EQ(workload->streams[0].per_second, 1e5);
  ASSERT_EQ(workload->events.size(), 5u);
  EXPECT_EQ(workload->events[3].count, 7);
}

TEST(WorkloadTest, HintsDeadlinesAndTheMachinesShape) {
  const absl::StatusOr<Workload> workload = ParseWorkload(R"(
topology sockets 2 cores 28 smt 2 l3 4
warmup 2ms
class video count 2 qos 1 estimate 3ms deadline 10ms cpus 0 pinned { loop { serve spinning } }
class poller repeating period 100us { loop { run 5us; hint idle }; hint qos 2 deadline 1ms ready }
class plain { serve }
requests frames to video every 10ms run 3ms from 1ms
requests others to plain rate 100 run 1ms deadline 5ms assigned
)");
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->topology->num_cpus(), 112);
  EXPECT_EQ(workload->warmup_ns, 2'000'000);
  EXPECT_TRUE(workload->classes[0].pinned);
  EXPECT_EQ(workload->classes[0].code[1].number, 1);
  EXPECT_EQ(workload->classes[2].code[0].number, 0);
  EXPECT_TRUE(workload->streams[1].assigned);
  EXPECT_FALSE(workload->streams[0].assigned);
  EXPECT_EQ(workload->topology->l3, 4);
  const HintChange& video = workload->classes[0].hint;
  EXPECT_TRUE(video.any);
  EXPECT_EQ(video.qos, 1u);
  EXPECT_EQ(video.deadline_ns, 10'000'000);
  EXPECT_EQ(video.estimate_ns, 3'000'000);
  EXPECT_EQ(video.has_work, std::nullopt);
  EXPECT_EQ(workload->classes[0].cpus, CpuSet{0});
  const WorkloadClass& poller = workload->classes[1];
  EXPECT_EQ(poller.hint.repeating, true);
  EXPECT_EQ(poller.hint.period_ns, 100'000);
  ASSERT_EQ(poller.hints.size(), 2u);
  EXPECT_EQ(poller.hints[0].has_work, false);
  EXPECT_EQ(poller.hints[1].has_work, true);
  EXPECT_EQ(poller.hints[1].deadline_ns, 1'000'000);
  EXPECT_FALSE(workload->classes[2].hint.any);
  EXPECT_EQ(workload->streams[0].period_ns, 10'000'000);
  EXPECT_EQ(workload->streams[0].deadline_ns, -1);
  EXPECT_EQ(workload->streams[1].deadline_ns, 5'000'000);
}

TEST(WorkloadTest, ErrorsSayWhereAndWhatToDo) {
  struct Case {
    const char* text;
    const char* message;
  };
  const Case kCases[] = {
      {"klass x {}", "w:1: there is no statement 'klass'"},
      {"\n\nclass x { run 10 }", "w:3: expected a time, found '10'"},
      {"class x { run }", "w:1: expected a time, found '}'"},
      {"class x { run 5us", "w:1: a { has no }"},
      {"class x { jump }", "w:1: there is no action 'jump'"},
      {"class x { run 1us 2us }", "w:1: unexpected '2us'"},
      {"class x }", "w:1: a class has no '}'"},
      {"class x pinned { serve }", "w:1: a pinned class has no cpus"},
      {"}", "w:1: there is no statement '}'"},
      {"class x {} }", "w:1: a } has no {"},
      {"class x count -1 {}", "w:1: expected a number, found '-1'"},
      {"class x {}\nclass x {}", "w:2: there is a class x already"},
      {"class x { wake y }", "w:1: there is no class y"},
      {"class x { run uniform 2us 1us }", "w:1: the bounds of uniform are the wrong way round"},
      {"class x { run bimodal 1us 2us 2 }", "w:1: expected a probability, found '2'"},
      {"class x { run 2000s }", "w:1: the time '2000s' is too long"},
      {"class x { affinity 9999 }", "w:1: expected a list of CPUs, found '9999'"},
      {"requests r rate 5", "w:1: requests need a class, and a rate or a period"},
      {"requests r to x rate 5 every 1ms", "w:1: requests need a class, and a rate or a period"},
      {"requests r to x every 0ms", "w:1: the period of requests is 0"},
      {"class x { hint }", "w:1: a hint has no '}'"},
      {"class x { hint loud }", "w:1: a hint has no 'loud'"},
      {"class x qos -1 { }", "w:1: expected a number, found '-1'"},
      {"topology cores", "w:1: expected a number, found nothing"},
      {"topology chairs 2", "w:1: a topology has no 'chairs'"},
      {"topology sockets 1024 cores 2", "w:1: the machine is too large"},
      {"topology cores 2 l3 3", "w:1: an L3 cache is shared by more cores than a socket has"},
      {"requests r rate 0 to x", "w:1: expected a rate, found '0'"},
      {"at 5ms explode", "w:1: nothing is known that happens as 'explode'"},
      {"cost messages=1", "w:1: there is no cost messages"},
  };
  for (const Case& c : kCases) {
    const absl::StatusOr<Workload> workload = ParseWorkload(c.text, "w");
    ASSERT_FALSE(workload.ok()) << c.text;
    EXPECT_EQ(workload.status().message(), c.message) << c.text;
    EXPECT_NE(HintOf(workload.status()), "") << c.text;
    EXPECT_EQ(ExitCodeOf(workload.status()), ExitCode::kUsage) << c.text;
  }
}

TEST(WorkloadTest, IsBounded) {
  EXPECT_FALSE(ParseWorkload(std::string(kMaxWorkloadBytes + 1, ' ')).ok());
  std::string deep = "class x {";
  for (int i = 0; i < 100'000; ++i) deep += "loop {";
  EXPECT_FALSE(ParseWorkload(deep).ok());
  std::string lengthy = "class x {";
  for (size_t i = 0; i < kMaxOps; ++i) lengthy += "yield;";
  EXPECT_FALSE(ParseWorkload(lengthy + "}").ok());
  EXPECT_TRUE(ParseWorkload("").ok());
}

TEST(WorkloadTest, DistributionsHaveTheirMeans) {
  Random random(1);
  const Distribution kExp{.kind = Distribution::Kind::kExponential, .a = 1000};
  const Distribution kUniform{.kind = Distribution::Kind::kUniform, .a = 500, .b = 1500};
  const Distribution kBimodal{.kind = Distribution::Kind::kBimodal, .a = 500, .b = 50'500, .chance_b = 0.01};
  for (const Distribution& d : {kExp, kUniform, kBimodal}) {
    double sum = 0;
    for (int i = 0; i < 100'000; ++i) sum += static_cast<double>(d.Draw(random));
    EXPECT_NEAR(sum / 100'000, 1000, 60);
  }
}

}  // namespace
}  // namespace ghost::sim
