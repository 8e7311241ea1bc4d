#include "experiments/rocksdb/ghost_orchestrator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {

GhostOrchestrator::GhostOrchestrator(const RunOptions& options, const Ghost& ghost, RequestHandler* handler,
                                     SchedulerHints* hints)
    : Orchestrator(options, static_cast<int>(options.cpus.generators.size()), handler, hints), ghost_(ghost) {}

GhostOrchestrator::~GhostOrchestrator() { End().IgnoreError(); }

absl::Status GhostOrchestrator::StartThread(Worker* worker) {
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<GhostThread> thread,
                         GhostThread::Start(ghost_.scheduler, ghost_.enclave, [worker] { worker->Run(); }));
  threads_.push_back(std::move(thread));
  return absl::OkStatus();
}

void GhostOrchestrator::JoinThreads() { threads_.clear(); }

void GhostOrchestrator::StartFronts() {
  for (size_t i = 0; i < networks().size(); ++i) {
    const int dispatcher = static_cast<int>(i);
    AddFront({.generate = networks()[i].get(),
              .assign = MakeAssigner(dispatcher, {networks()[i].get()}),
              .bell = bell(dispatcher),
              .sleep = options().front_sleeps},
             options().cpus.generators[i]);
  }
}

absl::Status GhostOrchestrator::NotScheduled(int missing) {
  return WithHint(absl::DeadlineExceededError(absl::StrCat("the agent of ", ghost_.enclave, " gives ", missing,
                                                           " of our ", options().num_workers, " workers no CPU")),
                  absl::StrCat("does it live? See 'cat ", ghost_.enclave, "/status'"));
}

void GhostOrchestrator::Rescue() {
  for (const auto& thread : threads_) LeaveGhost(thread->tid()).IgnoreError();
}

}  // namespace ghost
