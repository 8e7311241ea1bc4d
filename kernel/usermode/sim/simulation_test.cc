// Whole simulations under the FIFO policy: schedules that anyone can check by hand, determinism, and faults.
#include "kernel/usermode/sim/simulation.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "schedulers/fifo/centralized/fifo_policy.h"
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

// Who got the only CPU when, and when each ended: "runs a/102 0", "exited a/102 10000". Nothing costs time, so that
// anyone can check it by hand.
std::vector<std::string> Schedule(const char* text) {
  const Workload workload = *ParseWorkload(text);
  SimulationOptions options = Options(3);
  options.num_cpus = 1;
  options.costs = CostModel::Zero();
  const Result result = Simulate(workload, options);
  EXPECT_TRUE(result.status.ok()) << result.status;
  std::vector<std::string> schedule;
  for (const absl::string_view line : absl::StrSplit(result.trace, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 5 || words[1] != "cpu") continue;
    if (words[3] == "runs" && words[4] != "") schedule.push_back(absl::StrCat("runs ", words[4], " ", words[0]));
    if (words[4] == "exited") schedule.push_back(absl::StrCat("exited ", words[3], " ", words[0]));
  }
  return schedule;
}

using Golden = std::vector<std::string>;

TEST(GoldenTest, ThreeJobsInTheOrderInWhichTheyCame) {
  EXPECT_EQ(Schedule("class a count 3 { run 10us }"),
            (Golden{"runs a/102 0", "exited a/102 10000", "runs a/103 10000", "exited a/103 20000", "runs a/104 20000",
                    "exited a/104 30000"}));
}

TEST(GoldenTest, TheConvoyEffect) {
  EXPECT_EQ(Schedule("class long { run 100us }; class short count 2 { run 10us }"),
            (Golden{"runs long/102 0", "exited long/102 100000", "runs short/103 100000", "exited short/103 110000",
                    "runs short/104 110000", "exited short/104 120000"}));
}

TEST(GoldenTest, YieldGoesToTheBack) {
  EXPECT_EQ(Schedule("class a count 2 { run 5us; yield; run 5us }"),
            (Golden{"runs a/102 0", "runs a/103 5000", "runs a/102 10000", "exited a/102 15000", "runs a/103 15000",
                    "exited a/103 20000"}));
}

// It is woken while the other one runs: its agent looks, and lets the one that was preempted go on first.
TEST(GoldenTest, ASleeperQueuesBehindWhoRuns) {
  EXPECT_EQ(Schedule("class sleeper { run 1us; sleep 4us; run 1us }; class busy { run 10us }"),
            (Golden{"runs sleeper/102 0", "runs busy/103 1000", "runs busy/103 5000", "exited busy/103 11000",
                    "runs sleeper/102 11000", "exited sleeper/102 12000"}));
}

// A wait that others depend on is no timer: whoever is woken from it goes before those that queue. (Whoever woke it was
// preempted for the agent's look, and its message comes last: it goes on first.)
TEST(GoldenTest, WhoWasWaitedForGoesBeforeThoseThatQueue) {
  EXPECT_EQ(Schedule("class waiter { wait; run 1us }; class waker { run 5us; wake waiter; run 5us }; "
                     "class c { run 3us }"),
            (Golden{"runs waiter/102 0", "runs waker/103 0", "runs waker/103 5000", "exited waker/103 10000",
                    "runs waiter/102 10000", "exited waiter/102 11000", "runs c/104 11000", "exited c/104 14000"}));
}

// ---- Servers, as in the paper's RocksDB experiment ----

Summary SummaryOf(const char* text, int cpus, const CostModel& costs = CostModel()) {
  const absl::StatusOr<Workload> workload = ParseWorkload(text);
  EXPECT_TRUE(workload.ok()) << workload.status();
  SimulationOptions options = Options(3);
  options.num_cpus = cpus;
  options.costs = costs;
  const Result result = Simulate(*workload, options);
  EXPECT_TRUE(result.status.ok()) << result.status;
  return result.summary;
}

// 103 is woken for the second request at 15 us and waits for 102; without `assigned` 102 takes it at 20 us.
TEST(ServerTest, AnAssignedRequestWaitsForItsThread) {
  constexpr char kText[] =
      "duration 50us; class a count 2 { loop { serve } }; requests r to a every 10us from 5us until 20us run 15us";
  EXPECT_EQ(Schedule(absl::StrCat(kText, " assigned").c_str()).back(), "runs a/103 20000");
  const Golden free = Schedule(kText);
  EXPECT_EQ(std::count(free.begin(), free.end(), "runs a/103 35000"), 1) << "woken for nothing";
}

TEST(ServerTest, AnUrgentThreadTakesTheCpuFromANiceOne) {
  const Summary summary = SummaryOf(R"(
duration 10ms
class worker nice -20 cpus 1 pinned ordinary { loop { serve } }
class batch nice 19 cpus 1 pinned ordinary { run 1s }
requests r to worker every 100us from 1ms run 10us assigned
)",
                                    2);
  const CostModel c;
  const int64_t wake_ns = c.ipi_travel_ns + c.ipi_receive_ns + c.cfs_switch_ns;
  EXPECT_EQ(summary.streams[0].response.max(), static_cast<uint64_t>(10'000 + wake_ns));
  // It loses the time of the requests, the interrupts and the switches, and nothing else.
  const int64_t lost_ns = 90 * (10'000 + wake_ns + c.cfs_switch_ns) + 2 * c.cfs_switch_ns + c.wakeup_ns;
  EXPECT_NEAR(static_cast<double>(summary.classes[1].cpu_ns), static_cast<double>(10'000'000 - lost_ns), 2000);
}

TEST(ServerTest, ASpinningThreadSeesARequestAsASpinningAgentSeesAMessage) {
  const Summary summary = SummaryOf(R"(
duration 10ms
class worker count 2 cpus 1-2 pinned ordinary { loop { serve spinning } }
requests r to worker every 100us from 1ms run 10us assigned
)",
                                    3);
  EXPECT_EQ(summary.streams[0].response.count(), 90u);
  EXPECT_EQ(summary.streams[0].response.max(), static_cast<uint64_t>(10'000 + CostModel().message_ns));
  for (const size_t cpu : {1, 2}) EXPECT_GT(summary.cpus[cpu].ordinary_ns, 9'990'000u) << cpu;
}

TEST(ServerTest, PinnedThreadsHaveACpuEach) {
  const Summary summary = SummaryOf("duration 1ms; class a count 3 cpus 1-3 pinned { run 1s }", 4, CostModel::Zero());
  EXPECT_EQ(summary.cpus[0].ghost_ns, 0u);
  for (size_t cpu = 1; cpu <= 3; ++cpu) EXPECT_EQ(summary.cpus[cpu].ghost_ns, 1'000'000u) << cpu;
}

TEST(SummaryTest, LeavesTheWarmupOut) {
  const Summary summary = SummaryOf(R"(
warmup 5ms; duration 10ms
class a { loop { serve } }
class b { run 1s }
requests r to a every 1ms run 100us
)",
                                    2, CostModel::Zero());
  EXPECT_EQ(summary.duration_ns, 10'000'000);
  EXPECT_EQ(summary.streams[0].arrived, 10u);
  EXPECT_EQ(summary.classes[1].cpu_ns, 10'000'000u);
  EXPECT_EQ(summary.classes[0].threads, 1u);
}

// A task that is interrupted for another one executes until the interrupt, and not while its CPU handles it.
TEST(SummaryTest, AnInterruptsTimeIsNobodys) {
  const Workload workload = *ParseWorkload("duration 10ms; class a count 2 { run 1s }");
  SimulationOptions options = Options(3);
  options.scheduler = CentralizedScheduler<CentralizedFifoPolicy>::Make;
  options.num_cpus = 2;
  options.tunables = {{"preemption_time_slice", "100us"}};
  const Summary summary = Simulate(workload, options).summary;
  const CostModel& c = options.costs;
  const auto switches = static_cast<double>(summary.commits[0]);
  EXPECT_GT(switches, 90);
  EXPECT_NEAR(static_cast<double>(summary.cpus[1].ghost_ns),
              1e7 - switches * static_cast<double>(c.ipi_receive_ns + c.preempt_ns + c.context_switch_ns), 5000);
}

TEST(TraceTest, KeepsTheLastOfThemAndSaysHowManyItLost) {
  const Workload workload = *ParseWorkload("duration 1ms; class a count 3 { loop { run 5us; sleep 5us } }");
  Trace trace(50, {"a"});
  SimulationOptions options = Options(1);
  options.trace = &trace;
  Simulation simulation(options, workload);
  ASSERT_TRUE(simulation.Run().ok());
  EXPECT_EQ(trace.size(), 50u);
  EXPECT_GT(trace.dropped(), 100u);
  const std::string text = trace.ToText();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 50);
  EXPECT_TRUE(absl::EndsWith(text, trace.LastLines(3)));
}

TEST(TraceTest, ChromeSlicesBeginAndEnd) {
  const Workload workload = *ParseWorkload("class a count 3 { run 10us }");
  Trace trace(1 << 20, {"a"});
  SimulationOptions options = Options(1);
  options.trace = &trace;
  Simulation simulation(options, workload);
  ASSERT_TRUE(simulation.Run().ok());
  const nlohmann::json json = nlohmann::json::parse(trace.ToChromeJson());
  int open = 0;
  int slices = 0;
  for (const auto& event : json["traceEvents"]) {
    const std::string phase = event["ph"];
    if (phase == "M" || event["pid"] != 0) continue;
    open += phase == "B" ? 1 : phase == "E" ? -1 : 0;
    slices += phase == "B";
    EXPECT_TRUE(open == 0 || open <= 4) << event;
  }
  EXPECT_EQ(open, 0);
  EXPECT_EQ(slices, 3);
}

TEST(SummaryTest, AddsUp) {
  const Workload workload = *ParseWorkload(
      "duration 20ms; class worker count 2 { loop { serve } }; requests r to worker rate 20000 run 20us until 15ms");
  SimulationOptions options = Options(3);
  Simulation simulation(options, workload);
  ASSERT_TRUE(simulation.Run().ok());
  const Summary& summary = simulation.summary();
  const Summary::Stream& stream = summary.streams[0];
  EXPECT_EQ(stream.arrived, stream.response.count());
  EXPECT_NEAR(static_cast<double>(stream.arrived), 300, 60);
  EXPECT_GE(stream.response.Percentile(0.01), 20'000u);
  uint64_t tasks_ns = 0;
  for (const Summary::Cpu& cpu : summary.cpus) {
    tasks_ns += cpu.ghost_ns;
    EXPECT_LE(cpu.ghost_ns + cpu.ordinary_ns + cpu.agent_ns, static_cast<uint64_t>(summary.duration_ns));
  }
  EXPECT_EQ(tasks_ns, stream.arrived * 20'000);
  EXPECT_EQ(tasks_ns, summary.classes[0].cpu_ns);
  EXPECT_TRUE(nlohmann::json::accept(summary.ToJson()));
}

// One job each 10 ms on a CPU that is fast enough for it, or not.
TEST(SummaryTest, CountsMissedDeadlines) {
  struct Case {
    const char* run;
    uint64_t missed;
  };
  // 5 jobs of 12 ms each, from 0 ms on: the first ends at 12 ms, 2 ms late. The last two are still to be served at the
  // end, which is the last one's deadline: that one is not late yet.
  for (const Case& c : {Case{"8ms", 0}, Case{"10ms", 0}, Case{"12ms", 4}}) {
    const Workload workload = *ParseWorkload(absl::StrCat(
        "duration 50ms; class video deadline 10ms { loop { serve } }; requests r to video every 10ms run ", c.run));
    SimulationOptions options = Options(3);
    options.num_cpus = 1;
    options.costs = CostModel::Zero();
    Simulation simulation(options, workload);
    ASSERT_TRUE(simulation.Run().ok());
    EXPECT_EQ(simulation.summary().streams[0].missed, c.missed) << c.run;
    EXPECT_TRUE(absl::StrContains(simulation.summary().ToText(), absl::StrCat("deadlines missed: ", c.missed)));
  }
}

// What a scheduler that polls for them is told of the work of threads, in order.
TEST(HintsTest, FollowRequests) {
  struct Told {
    int64_t ns;
    bool has_work;
    int64_t deadline_ns;
  };
  static std::vector<Told> told;
  static Machine* machine;
  class Listener : public SteppedScheduler, public HintSource::Visitor {
   public:
    Listener(Enclave* enclave, const SchedulerOptions& options) : inner_(enclave, options), hints_(options.hints) {}
    absl::Status Start() override { return inner_.Start(); }
    Outcome Step(int cpu, Time now) override {
      now_ = now;
      for (const auto& thread : machine->threads().all()) {
        if (thread->gtid != 0 && known_.insert(thread->gtid).second) hints_->OnTaskNew(thread->gtid);
      }
      hints_->Poll(this);
      return inner_.Step(cpu, now);
    }
    uint64_t Messages(int cpu) const override { return inner_.Messages(cpu); }
    Runtime& runtime() override { return inner_.runtime(); }
    void OnHint(int64_t, const WorkHint& hint) override {
      const bool repeated = !told.empty() && told.back().has_work == hint.has_work;
      if (!repeated) told.push_back({now_.ns(), hint.has_work, hint.deadline.ns()});
    }

   private:
    PerCpuScheduler<FifoPolicy> inner_;
    const std::shared_ptr<HintSource> hints_;
    std::set<int64_t> known_;
    Time now_;
  };
  told.clear();
  const Workload workload = *ParseWorkload(
      "duration 25ms; class video deadline 10ms { loop { serve } }; requests r to video every 10ms run 3ms from 5ms");
  SimulationOptions options = Options(3);
  options.num_cpus = 1;
  options.costs = CostModel::Zero();
  options.scheduler = [](Enclave* enclave, const SchedulerOptions& o) {
    return std::make_unique<Listener>(enclave, o);
  };
  Simulation simulation(options, workload);
  machine = &simulation.machine();
  ASSERT_TRUE(simulation.Run().ok());
  // Its class's at its start, no work at once, a request at 5 ms, none from 8 ms on, a request at 15 ms.
  ASSERT_GE(told.size(), 5u);
  constexpr int64_t kMs = 1'000'000;
  const int64_t start_ns = simulation.start_ns();
  const Told kExpected[] = {{start_ns, true, start_ns + 10 * kMs},
                            {start_ns, false, start_ns + 10 * kMs},
                            {start_ns + 5 * kMs, true, start_ns + 15 * kMs},
                            {start_ns + 8 * kMs, false, start_ns + 15 * kMs},
                            {start_ns + 15 * kMs, true, start_ns + 25 * kMs}};
  for (size_t i = 0; i < std::size(kExpected); ++i) {
    EXPECT_EQ(told[i].ns, kExpected[i].ns) << i;
    EXPECT_EQ(told[i].has_work, kExpected[i].has_work) << i;
    EXPECT_EQ(told[i].deadline_ns, kExpected[i].deadline_ns) << i;
  }
}

TEST(FaultsTest, SpecsAndTheirErrors) {
  const FaultRates rates = *ParseFaults("kill=0.5,hotplug");
  EXPECT_DOUBLE_EQ(rates.kill, 0.5);
  EXPECT_GT(rates.hotplug, 0);
  EXPECT_DOUBLE_EQ(rates.busy, 0);
  EXPECT_GT(ParseFaults("all")->busy, 0);
  for (const char* bad : {"kil", "kill=", "kill=x", "kill=-1", "kill=1e9", "kill,,", "all,kill"}) {
    EXPECT_FALSE(ParseFaults(bad).ok()) << bad;
  }
}

// The checks can fail: nobody schedules after the faults.
TEST(FaultsTest, ATaskThatNeverRunsIsFound) {
  class Lazy : public SteppedScheduler {
   public:
    explicit Lazy(Enclave* enclave, const SchedulerOptions& options) : inner_(enclave, options) {}
    absl::Status Start() override { return inner_.Start(); }
    Outcome Step(int, Time) override { return {}; }
    uint64_t Messages(int) const override { return 0; }
    Runtime& runtime() override { return inner_.runtime(); }

   private:
    PerCpuScheduler<FifoPolicy> inner_;
  };
  const Workload workload = *ParseWorkload("duration 1ms; class a { run 10us }");
  SimulationOptions options = Options(1);
  options.scheduler = [](Enclave* enclave, const SchedulerOptions& o) { return std::make_unique<Lazy>(enclave, o); };
  Simulation simulation(options, workload);
  const absl::Status status = simulation.Run();
  EXPECT_EQ(status.message().substr(0, 34), "1 runnable tasks have not run with") << status;
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

// A sanitizer's unoptimised build takes seconds for a seed, and looks for other errors than those of rare seeds.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSeeds = 6;
#else
constexpr uint64_t kSeeds = 200;
#endif
INSTANTIATE_TEST_SUITE_P(Seeds, SeedsTest, testing::Range(uint64_t{1}, kSeeds + 1));

}  // namespace
}  // namespace ghost::sim
