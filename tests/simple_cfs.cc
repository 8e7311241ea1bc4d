// simple_cfs: what a fair scheduler with balanced CPUs does for threads that compute.
//
//   SimpleNice           three threads on one CPU: each gets its share by its nice value
//   SimpleLoadBalancing  all CPUs: threads of one nice value get on alike, in four stages: as many as there are CPUs;
//                        as many again; when one of each two sleeps; when it has woken
//
// A client like any other, unless --create_enclave_and_agent is given: then it brings a scheduler of its own along.
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/futex.h"
#include "lib/base/spin.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghostfs.h"
#include "lib/per_cpu_runtime.h"
#include "lib/program/agent_body.h"
#include "lib/program/agent_process.h"
#include "lib/topology.h"
#include "schedulers/cfs/cfs_policy.h"
#include "schedulers/cfs/nice_weight.h"
#include "tests/simple_experiments.h"

ABSL_FLAG(bool, create_enclave_and_agent, false, "Bring a scheduler (that of agent_cfs) along, and use that.");
ABSL_DECLARE_FLAG(std::string, ghost_cpus);  // of agents (lib/program): with --create_enclave_and_agent
ABSL_FLAG(absl::Duration, window, absl::Milliseconds(500), "How long shares of CPU time are measured.");

namespace ghost {
namespace {

constexpr char kName[] = "simple_cfs";
constexpr int kNices[] = {0, 3, 6};
// A share may be off by this part of all: the kernel's tick comes 250 times a second.
constexpr double kShareError = 0.1;
// The slowest of equal threads is to get this part of what the fastest gets. Two on one CPU beside one that has its own
// would be 0.5.
constexpr double kAlike = 0.7;

// A thread that computes, unless it is told to sleep.
class Worker {
 public:
  void Run(Time deadline) {
    while (!over_ && Time::Now() < deadline) {
      while (mode_ == kSleeping) FutexWait(mode_, uint32_t{kSleeping});
      for (int i = 0; i < 1000; ++i) Pause();
      used_ns_ = absl::ToInt64Nanoseconds(ThreadCpuTime());
    }
  }
  int64_t used_ns() const { return used_ns_; }
  void Sleep(bool sleeps) {
    mode_ = sleeps ? kSleeping : kComputing;
    if (!sleeps) FutexWake(mode_);
  }
  void End() {
    over_ = true;
    Sleep(false);
  }

 private:
  static constexpr uint32_t kComputing = 0, kSleeping = 1;
  std::atomic<uint32_t> mode_ = kComputing;
  std::atomic<bool> over_ = false;
  std::atomic<int64_t> used_ns_ = 0;
};

using Workers = std::vector<std::unique_ptr<Worker>>;

// The CPU time that each worker gets in one window.
std::vector<double> Measure(const Workers& workers) {
  std::vector<double> used;
  for (const auto& worker : workers) used.push_back(-static_cast<double>(worker->used_ns()));
  absl::SleepFor(absl::GetFlag(FLAGS_window));
  for (size_t i = 0; i < workers.size(); ++i) used[i] += static_cast<double>(workers[i]->used_ns());
  return used;
}

// Measures until `fine` says so: a scheduler may take a moment to get there. False: not within an eighth of --timeout.
bool MeasureUntil(const Workers& workers, const std::function<bool(const std::vector<double>&)>& fine) {
  const Time deadline = Time::Now() + absl::GetFlag(FLAGS_timeout) / 8;
  do {
    if (fine(Measure(workers))) return true;
  } while (Time::Now() < deadline);
  return false;
}

class CfsExperiments {
 public:
  CfsExperiments(SimpleExperiments* experiments, CpuSet cpus) : experiments_(*experiments), cpus_(std::move(cpus)) {}

  absl::Status RunAll() {
    GHOST_RETURN_IF_ERROR(experiments_.Run("SimpleNice", [this] { return SimpleNice(); }));
    return experiments_.Run("SimpleLoadBalancing", [this] { return SimpleLoadBalancing(); });
  }

 private:
  // So many workers in the enclave; `prepare` is what each does first.
  absl::Status With(size_t count, const std::function<void(size_t)>& prepare,
                    const std::function<absl::Status(Workers&)>& experiment) {
    Workers workers;
    for (size_t i = 0; i < count; ++i) workers.push_back(std::make_unique<Worker>());
    std::atomic<size_t> next = 0;
    const Time deadline = Time::Now() + absl::GetFlag(FLAGS_timeout);
    return experiments_.RunThreads(
        static_cast<int>(count),
        [&] {
          const size_t i = next++;
          prepare(i);
          workers[i]->Run(deadline);
        },
        [&](const SimpleExperiments::Threads&) {
          const absl::Status status = experiment(workers);
          for (auto& worker : workers) worker->End();
          return status;
        });
  }

  absl::StatusOr<std::string> SimpleNice();
  absl::StatusOr<std::string> SimpleLoadBalancing();
  absl::Status ExpectAlike(const Workers& workers, bool every_second, const char* stage);

  SimpleExperiments& experiments_;
  const CpuSet cpus_;
};

absl::StatusOr<std::string> CfsExperiments::SimpleNice() {
  const CpuSet one({cpus_.First()});
  const cpu_set_t mask = one.ToCpuSetT();
  double total = 0;
  for (const int nice : kNices) total += static_cast<double>(NiceWeight(nice));
  std::string shares;
  std::atomic<int> failed = 0;
  const auto prepare = [&](size_t i) {
    if (sched_setaffinity(0, sizeof(mask), &mask) != 0 || setpriority(PRIO_PROCESS, 0, kNices[i]) != 0) ++failed;
  };
  const auto as_weights_are = [&](const std::vector<double>& used) {
    double all = 0;
    for (const double ns : used) all += ns;
    bool fine = all > 0;
    shares.clear();
    for (size_t i = 0; i < used.size(); ++i) {
      const double fair = static_cast<double>(NiceWeight(kNices[i])) / total;
      fine = fine && std::abs(used[i] / all - fair) <= kShareError;
      absl::StrAppendFormat(&shares, "%snice %d: %.0f %% (%.0f)", i == 0 ? "" : ", ", kNices[i], 100 * used[i] / all,
                            100 * fair);
    }
    return fine;
  };
  GHOST_RETURN_IF_ERROR(With(std::size(kNices), prepare, [&](Workers& workers) {
    if (MeasureUntil(workers, as_weights_are)) return absl::OkStatus();
    if (failed > 0) return absl::InternalError("threads could not set their nice value and affinity");
    return WithHint(absl::InternalError(absl::StrCat("shares are not by nice values: ", shares)),
                    "is the enclave's agent agent_cfs?");
  }));
  return absl::StrFormat("shares of cpu %d: %s", cpus_.First(), shares);
}

absl::Status CfsExperiments::ExpectAlike(const Workers& workers, bool every_second, const char* stage) {
  double least = 0, most = 0;
  const bool fine = MeasureUntil(workers, [&](std::vector<double> used) {
    for (size_t i = used.size(); every_second && i-- > 0;) {
      if (i % 2 == 1) used.erase(used.begin() + static_cast<ptrdiff_t>(i));
    }
    least = *std::min_element(used.begin(), used.end());
    most = *std::max_element(used.begin(), used.end());
    return least >= kAlike * most && most > 0;
  });
  if (!fine) {
    return absl::InternalError(absl::StrFormat("%s: one thread got %.1f ms of CPU time while another got %.1f ms",
                                               stage, least / 1e6, most / 1e6));
  }
  printf("  %s: each got at least %.0f %% of what another got\n", stage, 100 * least / most);
  return absl::OkStatus();
}

absl::StatusOr<std::string> CfsExperiments::SimpleLoadBalancing() {
  const auto num_cpus = static_cast<size_t>(cpus_.size());
  const auto nothing = [](size_t) {};
  GHOST_RETURN_IF_ERROR(With(num_cpus, nothing, [&](Workers& workers) {
    return ExpectAlike(workers, /*every_second=*/false, "one thread per CPU");
  }));
  GHOST_RETURN_IF_ERROR(With(2 * num_cpus, nothing, [&](Workers& workers) {
    GHOST_RETURN_IF_ERROR(ExpectAlike(workers, false, "two per CPU"));
    for (size_t i = 1; i < workers.size(); i += 2) workers[i]->Sleep(true);
    GHOST_RETURN_IF_ERROR(ExpectAlike(workers, true, "one of each two sleeps"));
    for (size_t i = 1; i < workers.size(); i += 2) workers[i]->Sleep(false);
    return ExpectAlike(workers, false, "all have woken");
  }));
  return absl::StrFormat("threads on %d CPUs got on alike", cpus_.size());
}

// The scheduler that --create_enclave_and_agent brings along. Ends with its destruction, and its enclave with it.
class OwnAgent {
 public:
  static absl::StatusOr<std::unique_ptr<OwnAgent>> Start() {
    auto agent = std::make_unique<OwnAgent>();
    GHOST_ASSIGN_OR_RETURN(agent->kernel_, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
    GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::OfKernel(agent->kernel_.get()));
    CpuSet cpus = topology.all_cpus();
    if (const std::string text = absl::GetFlag(FLAGS_ghost_cpus); text != "all") {
      GHOST_ASSIGN_OR_RETURN(cpus, topology.ParseCpus(text));
    }
    const RuntimeBody::Options options = {
        .program = kName,
        .enclave = "",
        .cpus = cpus,
        .claim = nullptr,
        .handover_timeout = absl::ZeroDuration(),
        .make_runtime = [](Enclave* enclave, RuntimeOptions runtime) -> std::unique_ptr<Runtime> {
          return std::make_unique<PerCpuRuntime<CfsPolicy>>(enclave, std::move(runtime), CfsPolicy::Options{});
        }};
    Kernel* kernel = agent->kernel_.get();
    GHOST_ASSIGN_OR_RETURN(agent->process_,
                           AgentProcess::Fork([&] { return std::make_unique<RuntimeBody>(kernel, options); }));
    GHOST_ASSIGN_OR_RETURN(const AgentReport report, agent->process_->TakeReport());
    absl::SetFlag(&FLAGS_enclave, report.enclave);
    return agent;
  }
  absl::Status Stop() {
    process_->RequestStop();
    const absl::Status status = process_->Wait();
    return absl::IsCancelled(status) ? absl::OkStatus() : status;
  }

 private:
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<AgentProcess> process_;
};

absl::Status RunExperiments() {
  GHOST_ASSIGN_OR_RETURN(const std::unique_ptr<SimpleExperiments> experiments,
                         SimpleExperiments::Create({.program = kName}));
  GHOST_ASSIGN_OR_RETURN(const std::string list, ReadFile(absl::StrCat(experiments->enclave(), "/cpulist")));
  CpuSet cpus;
  if (ParseCpuList(list, &cpus) != CpuParseError::kOk || cpus.empty()) {
    return absl::InternalError(absl::StrCat(experiments->enclave(), "/cpulist: no CPUs: ", list));
  }
  return CfsExperiments(experiments.get(), cpus).RunAll();
}

absl::Status Main() {
  if (absl::GetFlag(FLAGS_window) < absl::Milliseconds(50) || absl::GetFlag(FLAGS_window) > absl::Minutes(1)) {
    return WithHint(absl::InvalidArgumentError("--window must be between 50ms and 1m"), "as --window 500ms");
  }
  if (!absl::GetFlag(FLAGS_create_enclave_and_agent)) return RunExperiments();
  GHOST_ASSIGN_OR_RETURN(const std::unique_ptr<OwnAgent> agent, OwnAgent::Start());
  const absl::Status status = RunExperiments();
  const absl::Status stopped = agent->Stop();
  return status.ok() ? stopped : status;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line =
      ghost::ParseCommandLine({.name = ghost::kName,
                               .summary = "checks a fair scheduler: shares by nice values, and CPUs that are balanced",
                               .examples = {"agent_cfs --ghost_cpus 0-1 &",
                                            "simple_cfs                 # in the first enclave that has an agent",
                                            "simple_cfs --create_enclave_and_agent --ghost_cpus 1-5"},
                               .notes = "Exit code 0: every experiment did what it should.\n"},
                              argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  setvbuf(stdout, nullptr, _IOLBF, 0);  // a line is seen when it is said, also by a file
  const absl::Status status = ghost::Main();
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
