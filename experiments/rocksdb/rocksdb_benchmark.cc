// What a load generator can do, and what a request costs it.
//
// BM_Generator is the whole of it: arrivals noticed, given to workers that do nothing, accounted for, for a while in
// real time. Its core is its own as far as Linux lets it: pinned to the last CPU, and real-time (as root) for less than
// a second at a time, which is before Linux takes the CPU away from a real-time thread that does not sleep. The workers
// have the first CPU in the same way. Counters: requests done per second, and how late arrivals were noticed.
#include <sched.h>

#include <memory>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "experiments/common/cpu_plan.h"
#include "experiments/common/doorbell.h"
#include "experiments/common/latencies.h"
#include "experiments/rocksdb/front.h"
#include "experiments/rocksdb/request_handler.h"
#include "experiments/rocksdb/request_stats.h"
#include "experiments/rocksdb/scheduler_hints.h"
#include "experiments/rocksdb/synthetic_network.h"
#include "experiments/rocksdb/worker.h"
#include "lib/base/notification.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

constexpr absl::Duration kBurst = absl::Milliseconds(800);
constexpr int kWorkers = 4;

class NothingToDo : public RequestHandler {
 public:
  bool Handle(const Request&, Scratch*) override { return true; }
};

// Best effort: without the right to it the thread stays as it is. 0 is an ordinary thread.
void SetRealTime(int priority) {
  const sched_param param = {.sched_priority = priority};
  sched_setscheduler(0, priority > 0 ? SCHED_FIFO : SCHED_OTHER, &param);
}

void RunOnce(double rate, int cpu, Latencies* lateness, uint64_t* done) {
  NothingToDo handler;
  SchedulerHints hints;
  Doorbell bell;
  // Nobody is real-time before all are there: they would keep the rest from it.
  Notification all_are_there;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<Worker*> pointers;
  std::vector<std::thread> threads;
  for (int i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<Worker>(Worker::Options{.index = i, .waiting = Mailbox::Waiting::kYield},
                                               &handler, &hints, &bell));
    workers.back()->Measure({});
    pointers.push_back(workers.back().get());
    threads.emplace_back([&, worker = workers.back().get()] {
      PinTo(UsableCpus()->First()).IgnoreError();
      all_are_there.Wait();
      SetRealTime(1);
      worker->Run();
    });
  }
  const Time start = Time::Now() + absl::Milliseconds(50);
  SyntheticNetwork network({.throughput = rate, .get_keys = 1000, .start = start, .measure_from = start});
  Front front({.generate = &network, .assign = Assigner({&network}, pointers, &hints), .bell = &bell});
  std::thread stopper([&] {
    SetRealTime(2);  // above those that it stops
    all_are_there.Wait();
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(start + kBurst - Time::Now()));
    front.Stop();
  });
  std::thread generator([&] {
    PinTo(cpu).IgnoreError();
    all_are_there.Wait();
    SetRealTime(1);
    front.Run();
  });
  all_are_there.Notify();
  stopper.join();
  generator.join();
  for (const auto& worker : workers) {
    while (!worker->HasEnded()) {
      worker->mailbox().Close();
      std::this_thread::yield();
    }
  }
  for (std::thread& thread : threads) thread.join();
  lateness->Merge(network.lateness());
  for (const auto& worker : workers) *done += worker->stats().count();
}

void BM_Generator(benchmark::State& state) {
  const double rate = static_cast<double>(state.range(0));
  const absl::StatusOr<CpuSet> usable = UsableCpus();
  if (!usable.ok() || usable->size() < 2) {
    state.SkipWithError("the generator needs a CPU beside the workers'");
    return;
  }
  auto lateness = std::make_unique<Latencies>();
  uint64_t done = 0;
  for (auto _ : state) {
    RunOnce(rate, usable->Last(), lateness.get(), &done);
    state.SetIterationTime(absl::ToDoubleSeconds(kBurst));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  const double seconds = absl::ToDoubleSeconds(kBurst) * static_cast<double>(state.iterations());
  state.counters["offered/s"] = rate;
  state.counters["done/s"] = static_cast<double>(done) / seconds;
  state.counters["late_p50_ns"] = static_cast<double>(lateness->percentile_ns(0.5));
  state.counters["late_p99_ns"] = static_cast<double>(lateness->percentile_ns(0.99));
  state.counters["late_p99.9_ns"] = static_cast<double>(lateness->percentile_ns(0.999));
  state.counters["late_max_ns"] = static_cast<double>(lateness->max_ns());
}
BENCHMARK(BM_Generator)
    ->Arg(20'000)
    ->Arg(200'000)
    ->Arg(400'000)
    ->UseManualTime()
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);

// An arrival, noticed and received.
void BM_NoticeAndReceive(benchmark::State& state) {
  SyntheticNetwork network({.throughput = 1e6, .get_keys = 1'000'000});
  Request request;
  for (auto _ : state) {
    const Time now = network.NextArrival() + absl::Nanoseconds(1);
    network.Notice(now);
    benchmark::DoNotOptimize(network.Receive(now, &request));
  }
}
BENCHMARK(BM_NoticeAndReceive);

// The worker's accounting for a request: whatever their number, the same time and memory.
void BM_Account(benchmark::State& state) {
  RequestStats stats({});
  Request request;
  int64_t ns = 1;
  for (auto _ : state) {
    ns = (ns * 5 + 1) & 0xFFFFF;
    request.received = request.assigned = request.started = Time::FromNanoseconds(ns);
    request.finished = Time::FromNanoseconds(2 * ns);
    stats.Add(request);
  }
  state.counters["bytes"] = sizeof(RequestStats) + sizeof(RequestStats::Stages);
}
BENCHMARK(BM_Account);

}  // namespace
}  // namespace ghost
