#include "experiments/rocksdb/orchestrator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// For a machine that has much else to do.
constexpr absl::Duration kToStart = absl::Seconds(30);
// A worker that has not ended then gets no CPU any more: the longest request is a second's.
constexpr absl::Duration kToEnd = absl::Seconds(5);
constexpr absl::Duration kToEndAfterRescue = absl::Seconds(30);

}  // namespace

Orchestrator::Orchestrator(const RunOptions& options, int num_dispatchers, RequestHandler* handler,
                           SchedulerHints* hints)
    : options_(options), handler_(handler), hints_(hints) {
  for (int i = 0; i < num_dispatchers; ++i) bells_.push_back(std::make_unique<Doorbell>());
}

absl::Status Orchestrator::Start() {
  for (int i = 0; i < options_.num_workers; ++i) {
    auto worker = std::make_unique<Worker>(Worker::Options{.index = i,
                                                           .batch = options_.batch,
                                                           .waiting = options_.worker_waiting,
                                                           .seed = options_.seed + static_cast<uint64_t>(i)},
                                           handler_, hints_, bell(i % static_cast<int>(bells_.size())));
    GHOST_RETURN_IF_ERROR(StartThread(worker.get()));
    workers_.push_back(std::move(worker));
  }
  if (PollUntil(kToStart, [this] { return NumNotWaiting() == 0; })) return absl::OkStatus();
  return NotScheduled(NumNotWaiting());
}

int Orchestrator::NumNotWaiting() const {
  return static_cast<int>(std::count_if(workers_.begin(), workers_.end(), [](const std::unique_ptr<Worker>& worker) {
    return !worker->mailbox().IsEmpty();
  }));
}

void Orchestrator::Open(const RunWindow& window) {
  window_ = window;
  for (const auto& worker : workers_) {
    worker->Measure({.measure_from = window.measure_from, .samples = options_.samples});
  }
  const size_t generators = options_.cpus.generators.size();
  for (size_t i = 0; i < generators; ++i) {
    networks_.push_back(std::make_unique<SyntheticNetwork>(
        SyntheticNetwork::Options{.throughput = options_.throughput / static_cast<double>(generators),
                                  .range_ratio = options_.range_ratio,
                                  .get_keys = options_.get_keys,
                                  .range_keys = options_.range_keys,
                                  .seed = options_.seed + i,
                                  .start = window.start,
                                  .measure_from = window.measure_from,
                                  .end = window.end}));
  }
  StartFronts();
}

void Orchestrator::AddFront(Front::Options front, int cpu) {
  fronts_.push_back(std::make_unique<Front>(std::move(front)));
  front_threads_.emplace_back([front = fronts_.back().get(), cpu] {
    // A CPU that has gone since it was planned: any other will do.
    PinTo(cpu).IgnoreError();
    front->Run();
  });
}

Assigner Orchestrator::MakeAssigner(int dispatcher, std::vector<SyntheticNetwork*> networks) {
  std::vector<Worker*> workers;
  for (size_t i = static_cast<size_t>(dispatcher); i < workers_.size(); i += bells_.size()) {
    workers.push_back(workers_[i].get());
  }
  return Assigner(std::move(networks), std::move(workers), hints_);
}

void Orchestrator::StopFronts() {
  for (const auto& front : fronts_) front->Stop();
  for (std::thread& thread : front_threads_) thread.join();
  front_threads_.clear();
  fronts_.clear();
}

bool Orchestrator::CloseWorkers() {
  bool ended = true;
  for (const auto& worker : workers_) {
    if (worker->HasEnded()) continue;
    ended = false;
    // Again and again: it may have become idle just after it was marked runnable.
    if (worker->mailbox().Close()) hints_->SetRunnable(worker->index());
  }
  return ended;
}

absl::Status Orchestrator::End() {
  StopFronts();
  if (workers_.empty()) return absl::OkStatus();
  const auto ended = [this] { return CloseWorkers(); };
  if (!PollUntil(kToEnd, ended)) {
    Rescue();
    if (!PollUntil(kToEndAfterRescue, ended)) {
      return absl::DeadlineExceededError("workers do not end: they get no CPU");
    }
  }
  JoinThreads();
  return absl::OkStatus();
}

absl::StatusOr<RunResults> Orchestrator::Close() {
  GHOST_RETURN_IF_ERROR(End());
  RunResults results;
  Time until = window_.measure_from;
  for (const auto& network : networks_) {
    results.lateness.Merge(network->lateness());
    until = std::max(until, network->noticed_until());
    for (Request request; network->Receive(network->noticed_until(), &request);) {
      if (request.arrival < window_.measure_from) continue;
      results.unfinished.Add(Time::NanosecondsBetween(request.arrival, request.received));
    }
  }
  for (const auto& worker : workers_) {
    results.stats.Merge(worker->stats());
    results.failed += worker->failed();
  }
  results.measure_from = window_.measure_from;
  results.measured_ns = Time::NanosecondsBetween(window_.measure_from, until);
  results.arrived = results.lateness.count();
  workers_.clear();
  return results;
}

}  // namespace ghost
