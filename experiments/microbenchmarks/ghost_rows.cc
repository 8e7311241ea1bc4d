#include "experiments/microbenchmarks/ghost_rows.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/microbenchmarks/round_trips.h"
#include "experiments/microbenchmarks/task_process.h"
#include "lib/agent.h"
#include "lib/base/file.h"
#include "lib/base/poll_until.h"
#include "lib/base/spin.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/enclave.h"

namespace ghost {
namespace {

// Longer than a round can take while all goes well.
constexpr absl::Duration kStuck = absl::Seconds(15);
constexpr absl::Duration kCpusFree = absl::Seconds(2);
// An agent that polls for nothing for so long gives its CPU away for a moment: where the kernel is a process (ghostd),
// that may be the CPU which it needs to go on.
constexpr int64_t kPollNs = 2'000'000;
constexpr timespec kNap = {.tv_sec = 0, .tv_nsec = 50'000};

// One enclave with its agents and tasks, from start to end.
class Session {
 public:
  Session(Kernel* kernel, const GhostRowsOptions& options, int agent_cpu, const CpuSet& targets)
      : kernel_(kernel), options_(options), agent_cpu_(agent_cpu), targets_(targets) {}
  ~Session() { Stop(); }

  absl::Status Run() {
    GHOST_RETURN_IF_ERROR(Prepare());
    GHOST_RETURN_IF_ERROR(tasks_->Enter(enclave_->directory()));
    tasks_->Go();
    const absl::Status status = Wait();
    Stop();
    return status;
  }
  const RoundTrips& trips() const { return *trips_; }

 private:
  absl::Status Prepare() {
    // The fork comes first, while there are no other threads.
    GHOST_ASSIGN_OR_RETURN(tasks_, TaskProcess::Start(targets_.size()));
    CpuSet cpus = targets_;
    cpus.Add(agent_cpu_);
    GHOST_ASSIGN_OR_RETURN(enclave_, MakeEnclave(cpus));
    done_ = ScopedFd(eventfd(0, EFD_CLOEXEC));
    if (!done_.valid()) return ErrnoStatus(errno, "eventfd");
    trips_ = std::make_unique<RoundTrips>(enclave_.get(),
                                          RoundTrips::Options{.agent_cpu = agent_cpu_,
                                                              .targets = targets_,
                                                              .rounds = options_.rounds,
                                                              .warm_up = options_.warm_up,
                                                              .clock = [] { return Time::Now().ns(); }},
                                          tasks_->stamps());
    GHOST_RETURN_IF_ERROR(trips_->CreateQueue());
    for (int cpu : cpus) {
      const bool measures = cpu == agent_cpu_;
      agents_.push_back(std::make_unique<Agent>(enclave_.get(), cpu, trips_->queue(), [this, measures](Agent& agent) {
        measures ? Measure(agent) : Sleep(agent);
      }));
      GHOST_RETURN_IF_ERROR(agents_.back()->Start());
    }
    for (const auto& agent : agents_) agent->Release();
    return absl::OkStatus();
  }

  // The CPUs of the session before this one are free a moment after its enclave is gone.
  absl::StatusOr<std::unique_ptr<Enclave>> MakeEnclave(const CpuSet& cpus) {
    absl::StatusOr<std::unique_ptr<Enclave>> enclave;
    PollUntil(kCpusFree, [&] {
      enclave = Enclave::Create(kernel_, cpus);
      return enclave.ok() || ExitCodeOf(enclave.status()) != ExitCode::kBusy;
    });
    return enclave;
  }

  // The agents of tasks' CPUs, and all that have nothing left to do. It is woken by its end alone.
  static void Sleep(Agent& agent) {
    while (!agent.finished()) {
      const int result = agent.run_request().LocalYield(agent.barrier());
      if (result != 0 && result != -ESTALE) return;
    }
  }

  void Measure(Agent& agent) {
    int64_t last_work_ns = Time::Now().ns();
    while (!agent.finished()) {
      const RoundTrips::Result result = trips_->Step(agent.status_word());
      if (result == RoundTrips::Result::kDone || result == RoundTrips::Result::kKernelGone) break;
      if (trips_->local()) continue;
      if (result == RoundTrips::Result::kCalled) {
        last_work_ns = Time::Now().ns();
      } else {
        Poll(agent, &last_work_ns);
      }
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(done_.get(), &one, sizeof(one));
    Sleep(agent);
  }

  void Poll(Agent& agent, int64_t* last_work_ns) {
    Pause();
    // Not at each look: what it does besides delays what it waits for.
    if (++polls_ % 64 != 0) return;
    if (agent.boosted_priority()) {
      trips_->Spoil();
      agent.run_request().LocalYield(agent.barrier(), RTLA_ON_IDLE);
    } else if (Time::Now().ns() - *last_work_ns > kPollNs) {
      trips_->Spoil();
      nanosleep(&kNap, nullptr);
      *last_work_ns = Time::Now().ns();
    }
  }

  absl::Status Wait() {
    const Time end = Time::Now() + options_.time_limit;
    int64_t last = -1;
    for (Time stuck = Time::Now() + kStuck;;) {
      const Time now = Time::Now();
      if (now >= end && trips_->rounds() > options_.warm_up) return absl::OkStatus();
      if (now >= stuck) {
        if (trips_->rounds() == last) {
          return WithHint(absl::DeadlineExceededError(absl::StrCat("no round in ", absl::FormatDuration(kStuck))),
                          "is the machine busy? does the kernel live? ghostctl doctor");
        }
        last = trips_->rounds();
        stuck = now + kStuck;
      }
      const int64_t wait_ms = absl::ToInt64Milliseconds(std::min(stuck - now, std::max(end - now, absl::Seconds(1))));
      pollfd wanted[2] = {{.fd = done_.get(), .events = POLLIN, .revents = 0},
                          {.fd = options_.interrupt, .events = POLLIN, .revents = 0}};
      if (poll(wanted, 2, static_cast<int>(wait_ms) + 1) <= 0) continue;
      if (wanted[1].revents != 0) return absl::CancelledError("interrupted");
      if (trips_->done()) return absl::OkStatus();
      return WithHint(absl::UnavailableError("the kernel has taken the enclave away"), "ghostctl doctor");
    }
  }

  void Stop() {
    tasks_.reset();
    for (const auto& agent : agents_) agent->TerminateBegin();
    for (const auto& agent : agents_) agent->TerminateComplete();
    agents_.clear();
  }

  Kernel* const kernel_;
  const GhostRowsOptions& options_;
  const int agent_cpu_;
  const CpuSet targets_;
  std::unique_ptr<TaskProcess> tasks_;
  std::unique_ptr<Enclave> enclave_;
  ScopedFd done_;
  std::unique_ptr<RoundTrips> trips_;
  std::vector<std::unique_ptr<Agent>> agents_;
  uint64_t polls_ = 0;  // the measuring agent's
};

}  // namespace

absl::Status MeasureGhostRows(Kernel* kernel, const GhostRowsOptions& options, Table3* table) {
  int64_t rounds = 0, spoiled = 0;
  const auto run = [&](int agent_cpu, const CpuSet& targets, RoundTrips::Figures* figures) {
    Session session(kernel, options, agent_cpu, targets);
    const absl::Status status = session.Run();
    if (!status.ok()) return status;
    *figures = session.trips().figures();
    rounds += session.trips().rounds();
    spoiled += session.trips().spoiled_rounds();
    return status;
  };
  if (options.targets.empty()) return absl::InvalidArgumentError("no CPU for tasks");
  const int first = options.targets.First();
  RoundTrips::Figures local, remote, group;
  GHOST_RETURN_IF_ERROR(run(first, {first}, &local));
  table->Set(Table3Row::kDeliveryLocal, local.delivery);
  table->Set(Table3Row::kLocalSchedule, local.end_to_end);
  if (first == options.agent_cpu) return absl::OkStatus();  // there is but one CPU
  GHOST_RETURN_IF_ERROR(run(options.agent_cpu, {first}, &remote));
  table->Set(Table3Row::kDeliveryGlobal, remote.delivery);
  table->Set(Table3Row::kRemoteAgent, remote.agent);
  table->Set(Table3Row::kRemoteTarget, remote.target);
  table->Set(Table3Row::kRemoteEndToEnd, remote.end_to_end);
  GHOST_RETURN_IF_ERROR(run(options.agent_cpu, options.targets, &group));
  table->group = options.targets.size();
  table->Set(Table3Row::kGroupAgent, group.agent);
  table->Set(Table3Row::kGroupTarget, group.target);
  table->Set(Table3Row::kGroupEndToEnd, group.end_to_end);
  table->notes.push_back(absl::StrCat(spoiled, " of ", rounds + spoiled,
                                      " rounds were disturbed (a preemption, a commit that failed) and don't count"));
  return absl::OkStatus();
}

}  // namespace ghost
