#include "experiments/rocksdb/cfs_orchestrator.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {

CfsOrchestrator::CfsOrchestrator(const RunOptions& options, RequestHandler* handler)
    : Orchestrator(options, static_cast<int>(options.cpus.dispatchers.size()), handler, &no_hints_) {}

CfsOrchestrator::~CfsOrchestrator() { End().IgnoreError(); }

absl::Status CfsOrchestrator::StartThread(Worker* worker) {
  threads_.emplace_back([worker, cpu = options().cpus.workers[worker->index()]] {
    PinTo(cpu).IgnoreError();  // as AddFront
    worker->Run();
  });
  return absl::OkStatus();
}

void CfsOrchestrator::JoinThreads() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void CfsOrchestrator::StartFronts() {
  const CpuPlan& cpus = options().cpus;
  const size_t dispatchers = cpus.dispatchers.size();
  std::vector<std::vector<SyntheticNetwork*>> networks_of(dispatchers);
  for (size_t i = 0; i < networks().size(); ++i) networks_of[i % dispatchers].push_back(networks()[i].get());
  for (size_t i = 0; i < dispatchers; ++i) {
    AddFront({.assign = MakeAssigner(static_cast<int>(i), networks_of[i]),
              .bell = bell(static_cast<int>(i)),
              .sleep = options().front_sleeps},
             cpus.dispatchers[i]);
  }
  for (size_t i = 0; i < networks().size(); ++i) {
    generator_bells_.push_back(std::make_unique<Doorbell>());
    AddFront({.generate = networks()[i].get(),
              .bell = generator_bells_.back().get(),
              .ring = bell(static_cast<int>(i % dispatchers)),
              .sleep = options().front_sleeps},
             cpus.generators[i]);
  }
}

absl::Status CfsOrchestrator::NotScheduled(int missing) {
  return absl::DeadlineExceededError(absl::StrCat(missing, " workers have not come to their first line"));
}

}  // namespace ghost
