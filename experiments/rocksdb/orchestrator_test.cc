#include "experiments/rocksdb/orchestrator.h"

#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "experiments/common/poisson.h"
#include "experiments/rocksdb/cfs_orchestrator.h"
#include "experiments/rocksdb/ghost_orchestrator.h"
#include "gtest/gtest.h"
#include "lib/base/poll_until.h"

namespace ghost {
namespace {

constexpr double kRate = 2000;
constexpr uint64_t kSeed = 11;

// Work that a test makes up.
class FakeHandler : public RequestHandler {
 public:
  using Work = std::function<bool(const Request&, int number)>;

  explicit FakeHandler(Work work = nullptr) : work_(std::move(work)) {}
  bool Handle(const Request& request, Scratch*) override {
    const int number = count_.fetch_add(1);
    return work_ == nullptr || work_(request, number);
  }
  int count() const { return count_; }

 private:
  const Work work_;
  std::atomic<int> count_ = 0;
};

// What a PrioTable does, and what a scheduler that goes by it would make of it.
class FakeHints : public SchedulerHints {
 public:
  explicit FakeHints(int workers) : runnable_(workers) {}
  void Begin(int worker) override { runnable_[worker] = true; }
  void SetIdle(int worker) override {
    // Whoever is put to work between Done and this has lost.
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    runnable_[worker] = false;
  }
  bool IsIdle(int worker) const override { return !runnable_[worker]; }
  void SetRunnable(int worker) override {
    if (before_runnable) before_runnable();
    runnable_[worker] = true;
  }

  std::chrono::microseconds delay{0};
  std::function<void()> before_runnable;

 private:
  std::vector<std::atomic<bool>> runnable_;
};

struct Case {
  const char* name;
  bool ghost = false;
  int generators = 1;
  int dispatchers = 1;
  int workers = 3;
  int batch = 1;
  bool front_sleeps = true;
  Mailbox::Waiting waiting = Mailbox::Waiting::kSleep;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// All threads may run anywhere; ghost's workers are ordinary threads.
std::unique_ptr<Orchestrator> Make(const Case& c, RequestHandler* handler, SchedulerHints* hints,
                                   double range_ratio = 0) {
  RunOptions options = {.throughput = kRate,
                        .range_ratio = range_ratio,
                        .get_keys = 100,
                        .range_keys = 100,
                        .num_workers = c.workers,
                        .batch = c.batch,
                        .front_sleeps = c.front_sleeps,
                        .worker_waiting = c.waiting,
                        .samples = true,
                        .seed = kSeed};
  options.cpus.generators.assign(c.generators, CpuPlan::kAnyCpu);
  options.cpus.dispatchers.assign(c.dispatchers, CpuPlan::kAnyCpu);
  options.cpus.workers.assign(c.workers, CpuPlan::kAnyCpu);
  if (!c.ghost) return std::make_unique<CfsOrchestrator>(options, handler);
  return std::make_unique<GhostOrchestrator>(
      options, GhostOrchestrator::Ghost{.scheduler = GhostThread::Scheduler::kCfs}, handler, hints);
}

// How many requests the schedules say for a time, of as many generators as there are.
uint64_t Scheduled(const Case& c, Time start, Time from, Time end) {
  uint64_t count = 0;
  for (int i = 0; i < c.generators; ++i) {
    PoissonSchedule schedule(kRate / c.generators, start, kSeed + static_cast<uint64_t>(i));
    for (; schedule.next() < end; schedule.Advance()) count += schedule.next() >= from;
  }
  return count;
}

// Lets requests arrive for so long, of which the first part is discarded, and waits until all are done. All that the
// schedule says arrive, whatever happens to the server.
RunResults RunFor(const Case& c, Orchestrator& orchestrator, const FakeHandler& handler, absl::Duration discard,
                  absl::Duration measured) {
  EXPECT_TRUE(orchestrator.Start().ok());
  const Time start = Time::Now();
  const Time end = start + discard + measured;
  orchestrator.Open({.start = start, .measure_from = start + discard, .end = end});
  const uint64_t all = Scheduled(c, start, start, end);
  EXPECT_TRUE(
      PollUntil(absl::Seconds(60), [&] { return Time::Now() >= end && static_cast<uint64_t>(handler.count()) == all; }))
      << handler.count() << " of " << all << " are done";
  RunResults results = *orchestrator.Close();
  EXPECT_EQ(results.measured_ns, absl::ToInt64Nanoseconds(measured));
  EXPECT_EQ(results.arrived, Scheduled(c, start, start + discard, end));
  EXPECT_EQ(results.finished(), results.arrived);
  EXPECT_EQ(results.unfinished.count(), 0u);
  return results;
}

// Of a Poisson process: five standard deviations.
void ExpectAbout(uint64_t count, double expected) {
  EXPECT_NEAR(static_cast<double>(count), expected, 5 * std::sqrt(expected));
}

class OrchestratorTest : public testing::TestWithParam<Case> {};

TEST_P(OrchestratorTest, EachRequestIsDoneOnceAndItsStagesAddUp) {
  FakeHandler handler;
  FakeHints hints(GetParam().workers);
  const auto orchestrator = Make(GetParam(), &handler, &hints, /*range_ratio=*/0.25);
  const RunResults results =
      RunFor(GetParam(), *orchestrator, handler, absl::Milliseconds(100), absl::Milliseconds(400));
  ExpectAbout(results.arrived, 0.4 * kRate);
  EXPECT_EQ(results.failed, 0u);
  EXPECT_GT(handler.count(), static_cast<int>(results.finished()));  // the discarded ones
  ExpectAbout(static_cast<uint64_t>(handler.count()), 0.5 * kRate);
  ExpectAbout((*results.stats.of(RequestKind::kRange))[0].count(), 0.1 * kRate);
  ASSERT_EQ(results.stats.samples().size(), results.finished());
  for (const RequestStats::Sample& sample : results.stats.samples()) {
    int64_t sum = 0;
    for (int i = 0; i < kNumStages - 1; ++i) {
      EXPECT_GE(sample.times[i], 0);
      sum += sample.times[i];
    }
    EXPECT_EQ(sum, sample.times.back());
    EXPECT_GE(sample.arrival, results.measure_from);
  }
}

// Coordinated omission: a load generator that waits for a server that has stalled sends nothing meanwhile, and reports
// one slow request. Ours reports each request that should have been served during the stall.
TEST_P(OrchestratorTest, AStallIsSeenByAllRequestsThatArriveInIt) {
  Case c = GetParam();
  c.workers = c.generators = c.dispatchers = 1;
  constexpr absl::Duration kStall = absl::Milliseconds(500);
  FakeHandler handler([&](const Request&, int number) {
    if (number == 100) std::this_thread::sleep_for(absl::ToChronoMilliseconds(kStall));
    return true;
  });
  FakeHints hints(1);
  const auto orchestrator = Make(c, &handler, &hints);
  const RunResults results = RunFor(c, *orchestrator, handler, absl::ZeroDuration(), absl::Milliseconds(1000));
  // Those that arrive in its first 4/5 wait for the rest of it: 1/5 at least.
  uint64_t slow = 0;
  for (const RequestStats::Sample& sample : results.stats.samples()) slow += sample.times.back() >= 100'000'000;
  EXPECT_GE(slow, 0.8 * 0.5 * kRate - 5 * std::sqrt(0.4 * kRate));
  EXPECT_GE((*results.stats.all())[kNumStages - 1].percentile_ns(0.65), 100'000'000u);
}

TEST_P(OrchestratorTest, WhatIsNotDoneInTheEndIsUnfinished) {
  FakeHandler handler([](const Request&, int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return true;
  });
  FakeHints hints(GetParam().workers);
  const auto orchestrator = Make(GetParam(), &handler, &hints);
  ASSERT_TRUE(orchestrator->Start().ok());
  const Time start = Time::Now();
  const Time end = start + absl::Milliseconds(300);
  orchestrator->Open({.start = start, .measure_from = start, .end = end});
  while (Time::Now() < end) std::this_thread::sleep_for(absl::ToChronoNanoseconds(end - Time::Now()));
  const RunResults results = *orchestrator->Close();
  EXPECT_EQ(results.arrived, Scheduled(GetParam(), start, start, end));
  EXPECT_EQ(results.finished(), static_cast<uint64_t>(handler.count()));
  // Each takes 20 ms of a worker, who has so many of those until now.
  const double turns = absl::ToDoubleMilliseconds(Time::Now() - start) / 20 + 1;
  EXPECT_LE(static_cast<double>(results.finished()), GetParam().workers * turns);
  EXPECT_EQ(results.finished() + results.unfinished.count(), results.arrived);
  EXPECT_LE(results.unfinished.max_ns(), 300'000'000u);
  if (GetParam().workers < 10) {
    EXPECT_GE(results.unfinished.max_ns(), 100'000'000u) << "a third of them is done, at most";
  }
}

TEST_P(OrchestratorTest, AnEarlyEndMeasuresWhatThereWas) {
  FakeHandler handler;
  FakeHints hints(GetParam().workers);
  const auto orchestrator = Make(GetParam(), &handler, &hints);
  ASSERT_TRUE(orchestrator->Start().ok());
  const Time start = Time::Now();
  orchestrator->Open({.start = start, .measure_from = start + absl::Milliseconds(50)});
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  const RunResults results = *orchestrator->Close();
  EXPECT_GE(results.measured_ns, 199'000'000);
  EXPECT_LE(results.measured_ns, Time::NanosecondsBetween(start, Time::Now()) - 50'000'000);
  ExpectAbout(results.arrived, static_cast<double>(results.measured_ns) / 1e9 * kRate);
}

TEST_P(OrchestratorTest, RequestsThatFailAreCounted) {
  FakeHandler handler([](const Request&, int number) { return number % 2 == 0; });
  FakeHints hints(GetParam().workers);
  const auto orchestrator = Make(GetParam(), &handler, &hints);
  const RunResults results = RunFor(GetParam(), *orchestrator, handler, absl::ZeroDuration(), absl::Milliseconds(100));
  EXPECT_EQ(results.failed, static_cast<uint64_t>(handler.count() / 2));
}

TEST_P(OrchestratorTest, ItMayEndBeforeItBegins) {
  FakeHandler handler;
  FakeHints hints(GetParam().workers);
  { const auto never_started = Make(GetParam(), &handler, &hints); }
  {
    const auto never_opened = Make(GetParam(), &handler, &hints);
    EXPECT_TRUE(never_opened->Start().ok());
  }
  const auto ended = Make(GetParam(), &handler, &hints);
  EXPECT_TRUE(ended->Start().ok());
  EXPECT_TRUE(ended->End().ok());
  EXPECT_TRUE(ended->End().ok());
  EXPECT_EQ(handler.count(), 0);
}

constexpr Case kCases[] = {
    {.name = "Cfs"},
    {.name = "CfsYield", .waiting = Mailbox::Waiting::kYield},
    {.name = "CfsBatches", .batch = 8},
    {.name = "CfsMany", .generators = 3, .dispatchers = 2, .workers = 5},
    {.name = "Ghost", .ghost = true, .waiting = Mailbox::Waiting::kHinted},
    {.name = "GhostFutex", .ghost = true},
    {.name = "GhostSpin", .ghost = true, .front_sleeps = false},
    {.name = "GhostMany", .ghost = true, .generators = 2, .workers = 40, .batch = 2},
};
INSTANTIATE_TEST_SUITE_P(All, OrchestratorTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// A generator that is held up says so, and its requests pay for it.
TEST(GhostOrchestratorTest, ALateGeneratorIsLateInTheResults) {
  const Case c = {.name = "", .ghost = true, .workers = 2};
  FakeHandler handler;
  FakeHints hints(2);
  std::atomic<int> calls = 0;
  hints.before_runnable = [&] {
    if (++calls == 100) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  };
  const auto orchestrator = Make(c, &handler, &hints);
  const RunResults results = RunFor(c, *orchestrator, handler, absl::ZeroDuration(), absl::Milliseconds(500));
  EXPECT_GE(results.lateness.max_ns(), 190'000'000u);
  EXPECT_GE(results.lateness.percentile_ns(0.75), 50'000'000u);  // 300 of 1000 arrive in the first 150 ms of it
  EXPECT_GE((*results.stats.all())[kNumStages - 1].max_ns(), 190'000'000u);
}

// Between a worker's Done and its SetIdle, and within SetRunnable, there is time for everything to go wrong.
TEST(GhostOrchestratorTest, NoWorkerIsLostBetweenIdleAndRunnable) {
  for (auto waiting : {Mailbox::Waiting::kHinted, Mailbox::Waiting::kSleep}) {
    const Case c = {.name = "", .ghost = true, .workers = 2, .waiting = waiting};
    FakeHandler handler;
    FakeHints hints(2);
    hints.delay = std::chrono::microseconds(300);
    std::atomic<int> calls = 0;
    hints.before_runnable = [&] {
      if (++calls % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(400));
    };
    const auto orchestrator = Make(c, &handler, &hints);
    RunFor(c, *orchestrator, handler, absl::ZeroDuration(), absl::Milliseconds(300));
  }
}

TEST(GhostOrchestratorTest, AnEnclaveThatIsNoneIsAnError) {
  FakeHandler handler;
  SchedulerHints hints;
  RunOptions options = {.num_workers = 2};
  options.cpus.generators = {CpuPlan::kAnyCpu};
  GhostOrchestrator orchestrator(options, {.enclave = "/nonexistent/enclave_1"}, &handler, &hints);
  const absl::Status status = orchestrator.Start();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("/nonexistent/enclave_1"), std::string::npos) << status;
  EXPECT_TRUE(orchestrator.End().ok());
}

}  // namespace
}  // namespace ghost
