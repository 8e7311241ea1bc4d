#include "experiments/microbenchmarks/yielders.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "experiments/common/cpu_plan.h"
#include "lib/base/notification.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/ghost_thread.h"

namespace ghost {
namespace {

constexpr absl::Duration kStuck = absl::Seconds(20);
// How often a thread says how far it is.
constexpr int64_t kPart = 16;

// A cache line for each, so that they share none.
struct alignas(64) Progress {
  std::atomic<int64_t> loops{0};
  std::atomic<int64_t> ended_ns{0};
};

class Run {
 public:
  explicit Run(const YieldersOptions& options) : options_(options), progress_(options.threads) {}

  absl::StatusOr<absl::Duration> Do() {
    absl::Status status = Start();
    const Time start = Time::Now();
    if (!status.ok()) stop_ = true;
    go_.Notify();
    if (const absl::Status ended = WaitForAll(); status.ok()) status = ended;
    if (absl::IsDeadlineExceeded(status)) {
      // Nobody can join them. They use this object until the process is left.
      for (auto& thread : threads_) (void)thread.release();
      return status;
    }
    threads_.clear();
    if (!status.ok()) return status;
    int64_t last_ns = 0;
    for (const Progress& progress : progress_) last_ns = std::max(last_ns, progress.ended_ns.load());
    return absl::Nanoseconds(last_ns - start.ns());
  }

 private:
  absl::Status Start() {
    const auto who = options_.enclave.empty() ? GhostThread::Scheduler::kCfs : GhostThread::Scheduler::kGhost;
    for (int i = 0; i < options_.threads; ++i) {
      GHOST_ASSIGN_OR_RETURN(std::unique_ptr<GhostThread> thread,
                             GhostThread::Start(who, options_.enclave, [this, i] { Loop(&progress_[i]); }));
      threads_.push_back(std::move(thread));
      if (!options_.enclave.empty() || options_.cpus.empty()) continue;
      GHOST_RETURN_IF_ERROR(PinTo(options_.cpus[i % options_.cpus.size()], threads_.back()->tid()));
    }
    return absl::OkStatus();
  }

  void Loop(Progress* progress) {
    go_.Wait();
    for (int64_t i = 0; i < options_.loops_per_thread && !stop_.load(std::memory_order_relaxed); ++i) {
      sched_yield();
      if (i % kPart == 0) progress->loops.store(i, std::memory_order_relaxed);
    }
    progress->ended_ns.store(Time::Now().ns(), std::memory_order_release);
  }

  absl::Status WaitForAll() {
    int64_t last = -1;
    for (;;) {
      const auto all_ended = [this] {
        return std::all_of(progress_.begin(), progress_.begin() + static_cast<std::ptrdiff_t>(threads_.size()),
                           [](const Progress& progress) { return progress.ended_ns.load() != 0; });
      };
      if (PollUntil(kStuck, all_ended)) return absl::OkStatus();
      int64_t now = 0;
      for (const Progress& progress : progress_) now += progress.loops + (progress.ended_ns != 0);
      if (now == last) {
        return WithHint(
            absl::DeadlineExceededError(absl::StrCat("threads stand still for ", absl::FormatDuration(kStuck))),
            "does the agent still schedule? ghostctl status");
      }
      last = now;
    }
  }

  const YieldersOptions options_;
  std::vector<Progress> progress_;
  Notification go_;
  std::atomic<bool> stop_{false};
  std::vector<std::unique_ptr<GhostThread>> threads_;
};

}  // namespace

absl::StatusOr<absl::Duration> RunYielders(const YieldersOptions& options) {
  auto run = std::make_unique<Run>(options);
  absl::StatusOr<absl::Duration> took = run->Do();
  if (absl::IsDeadlineExceeded(took.status())) (void)run.release();
  return took;
}

}  // namespace ghost
