#include "experiments/antagonist/workers.h"

#include <sys/prctl.h>
#include <time.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "experiments/antagonist/soak_budget.h"
#include "experiments/common/cpu_plan.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

// In which a worker uses its share of CPU time.
constexpr int64_t kPeriodNs = 100'000;
constexpr absl::Duration kPatience = absl::Seconds(20);

int64_t NanosecondsOf(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// The CPU-time clock of a thread, as pthread_getcpuclockid makes it from the thread's id.
clockid_t CpuClockOf(pid_t tid) { return static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | 6u); }

void ComputeFor(int64_t ns) {
  for (const Time end = Time::Now() + absl::Nanoseconds(ns); Time::Now() < end;) {
    for (int i = 0; i < 32; ++i) asm volatile("");
  }
}

void SleepUntil(int64_t ns) {
  const timespec end = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr);
}

}  // namespace

absl::Status AntagonistWorkers::Start() {
  if (ghost()) {
    // Before they are tasks: so their scheduler finds the table at once.
    hints_ = std::make_unique<PrioTableHelper>(options_.count, /*num_classes=*/1);
    GHOST_RETURN_IF_ERROR(hints_->status());
    // One piece of work that never ends. (Repeating work would keep its CPU among equals: workers beyond the number of
    // CPUs got nothing.)
    hints_->SetWorkClass(0, {.qos = options_.ghost_qos});
  }
  for (int i = 0; i < options_.count; ++i) GHOST_RETURN_IF_ERROR(StartOne(i));
  return absl::OkStatus();
}

absl::Status AntagonistWorkers::StartOne(int index) {
  const auto scheduler = ghost() ? GhostThread::Scheduler::kGhost : GhostThread::Scheduler::kCfs;
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<GhostThread> thread,
                         GhostThread::Start(scheduler, options_.enclave, [this] { Work(); }));
  threads_.push_back(std::move(thread));
  const pid_t tid = threads_.back()->tid();
  if (ghost()) {
    hints_->SetThread(index, /*wcid=*/0, tid);
  } else if (!options_.cpus.empty()) {
    return PinTo(options_.cpus[index % options_.cpus.size()], tid);
  }
  return absl::OkStatus();
}

void AntagonistWorkers::Work() {
  prctl(PR_SET_TIMERSLACK, 1);  // its sleeps are shorter than the usual slack
  const auto cpu_ns = [] { return NanosecondsOf(CLOCK_THREAD_CPUTIME_ID); };
  SoakBudget budget({.work_share = options_.work_share, .period_ns = kPeriodNs}, Time::Now().ns(), cpu_ns());
  while (!stop_.load(std::memory_order_relaxed)) {
    const SoakBudget::Step step = budget.Next(Time::Now().ns(), cpu_ns());
    if (step.compute_ns > 0) {
      ComputeFor(step.compute_ns);
    } else {
      SleepUntil(step.sleep_until_ns);
    }
  }
  ++ended_;
}

std::vector<int64_t> AntagonistWorkers::CpuTimes() const {
  std::vector<int64_t> times;
  for (const auto& thread : threads_) times.push_back(NanosecondsOf(CpuClockOf(thread->tid())));
  return times;
}

absl::Status AntagonistWorkers::Stop() {
  stop_ = true;
  const absl::StatusOr<int> tasks = ghost() ? NumTasks(options_.enclave) : 0;
  if (ghost()) {
    // Whoever is more urgent may keep them from their last step.
    for (const auto& thread : threads_) LeaveGhost(thread->tid()).IgnoreError();
  }
  const int count = static_cast<int>(threads_.size());
  if (!PollUntil(kPatience, [&] { return ended_ == count; })) {
    return WithHint(absl::DeadlineExceededError(absl::StrCat(count - ended_, " of ", count, " workers do not end")),
                    "does the kernel still live? ghostctl doctor");
  }
  threads_.clear();
  if (!tasks.ok()) {
    return WithHint(absl::FailedPreconditionError(
                        absl::StrCat(options_.enclave, " is gone: from then on the workers ran under CFS")),
                    "keep the agent and ghostd running until the antagonist has ended");
  }
  return absl::OkStatus();
}

}  // namespace ghost
