#include "kernel/usermode/sim/simulation.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost::sim {
namespace {

constexpr int64_t kUs = 1000;
constexpr int64_t kStartTimeoutNs = 1'000'000'000;
// How long a process of agents that could not start waits before the next attempt: its CPU may be offline.
constexpr int64_t kRetryNs = 100 * kUs;
constexpr int64_t kMostUntilRestartNs = 200 * kUs;
constexpr int64_t kOverlapOfUpgradeNs = 30 * kUs;
constexpr int kTinyQueue = 64;

// A CPU may idle so long beside a task that waits for its agent: the longest that a fault keeps an agent away, and
// more.
constexpr int64_t kIdleBoundNs = 2'000'000;

using WrapDriver = std::function<std::unique_ptr<usermode::Driver>(usermode::Driver*)>;

std::shared_ptr<const Topology> TopologyOf(const SimulationOptions& options, const Workload& workload) {
  if (options.topology != nullptr) return options.topology;
  if (workload.topology.has_value()) return MakeTopology(*workload.topology);
  return std::make_shared<const Topology>(Topology::Flat(options.num_cpus));
}

MachineOptions ToMachineOptions(const SimulationOptions& options, WrapDriver wrap) {
  return {.topology = options.topology,
          .abi_versions = {options.abi},
          .costs = options.costs,
          .wrap_driver = options.check_every == 0 ? nullptr : std::move(wrap)};
}

SimulationOptions Complete(SimulationOptions options, const Workload& workload) {
  options.topology = TopologyOf(options, workload);
  options.num_cpus = options.topology->num_cpus();
  if (options.agent_cpus.empty()) options.agent_cpus = options.topology->all_cpus();
  return options;
}

// CPU time of this thread.
double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

Simulation::Simulation(const SimulationOptions& options, const Workload& workload)
    : options_(Complete(options, workload)),
      workload_(workload),
      collector_(workload, options_.num_cpus),
      machine_(ToMachineOptions(options_, [this](usermode::Driver* driver) { return MakeChecker(driver); })),
      state_(&workload, &machine_, &collector_),
      seeds_(options.seed) {
  collector_.summary().seed = options_.seed;
  collector_.summary().abi = options_.abi;
  scheduler_options_.tunables = options_.tunables;
  scheduler_options_.global_cpu = options_.global_cpu;
  if (seeds_.Chance(options_.faults.tiny)) scheduler_options_.queue_elements = kTinyQueue;
  if (checker_ != nullptr) machine_.core().AddObserver(checker_);
  machine_.AddObserver(&collector_);
  machine_.AddObserver(this);
  machine_.on_answer = [this](uint64_t, Tid tid, int result) {
    const Tid tgid = machine_.threads().Find(tid)->tgid;
    for (auto process = agents_.rbegin(); process != agents_.rend(); ++process) {
      if ((*process)->tgid() == tgid) return (*process)->OnAnswer(tid, result);
    }
  };
  if (options_.trace != nullptr) options_.trace->Attach(&machine_);
  faults_ = std::make_unique<Faults>(&machine_, &state_, options_.faults, seeds_.Next(),
                                     Faults::Hooks{.kill = [this] { KillAgents(); },
                                                   .upgrade = [this] { UpgradeAgents(); },
                                                   .enclave = [this] { return state_.enclave; }});
}

std::unique_ptr<usermode::Driver> Simulation::MakeChecker(usermode::Driver* driver) {
  auto checker = std::make_unique<usermode::InvariantChecker>(
      driver, usermode::InvariantChecker::Options{.on_violation = [this](const std::string& what) { Broken(what); },
                                                  .full_check = static_cast<int>(options_.check_every),
                                                  .exact_time = true,
                                                  .max_idle_ns = kIdleBoundNs});
  checker_ = checker.get();
  return checker;
}

// Agents end while all that their end is reported to is still there.
Simulation::~Simulation() {
  for (auto& process : agents_) process->Kill();
}

// ---- Agents ----

void Simulation::StartAgents(const std::string& enclave) {
  agents_.push_back(
      std::make_unique<SchedulerProcess>(&machine_, SchedulerProcess::Options{.scheduler = options_.scheduler,
                                                                              .scheduler_options = scheduler_options_,
                                                                              .abi = options_.abi,
                                                                              .cpus = options_.agent_cpus,
                                                                              .enclave = enclave,
                                                                              .observer = this,
                                                                              .pnt = options_.pnt,
                                                                              .hints = &state_.hints()}));
}

void Simulation::EndAgents(SchedulerProcess& process, bool kill) {
  if (process.scheduler() != nullptr) lost_messages_ += process.scheduler()->runtime().TotalCounters().lost_messages;
  if (kill) {
    process.Kill();
  } else {
    process.Leave();
  }
}

void Simulation::KillAgents() {
  for (auto& process : agents_) {
    if (!process->ended()) EndAgents(*process, /*kill=*/true);
  }
  RestartAgents(1 + static_cast<int64_t>(seeds_.Below(kMostUntilRestartNs)));
}

void Simulation::RestartAgents(int64_t after_ns) {
  if (std::exchange(restart_due_, true)) return;
  ++restarts_;
  machine_.At(machine_.now_ns() + after_ns, [this] {
    restart_due_ = false;
    StartAgents(enclave_);
  });
}

void Simulation::UpgradeAgents() {
  if (restart_due_ || !agents_.back()->ready()) return;
  ++restarts_;
  SchedulerProcess* old = agents_.back().get();
  StartAgents(enclave_);
  machine_.At(machine_.now_ns() + kOverlapOfUpgradeNs, [this, old] {
    if (!old->ended()) EndAgents(*old, /*kill=*/false);
  });
}

absl::Status Simulation::WatchAgents() {
  SchedulerProcess& last = *agents_.back();
  if (last.start_status().ok() || last.killed()) return absl::OkStatus();
  // Under faults there are reasons for that, which pass.
  const absl::Status status = last.start_status();
  if (!under_faults_) return status;
  EndAgents(last, /*kill=*/true);
  RestartAgents(kRetryNs);
  return absl::OkStatus();
}

absl::Status Simulation::AwaitScheduler() {
  const int64_t deadline_ns = machine_.now_ns() + kStartTimeoutNs;
  while (!agents_.back()->ready()) {
    GHOST_RETURN_IF_ERROR(WatchAgents());
    if (machine_.now_ns() >= deadline_ns || !machine_.Step(deadline_ns)) {
      return absl::DeadlineExceededError("the agents do not start");
    }
  }
  return absl::OkStatus();
}

// ---- The workload ----

void Simulation::StartThread(int class_number) {
  Thread& thread = state_.Create(class_number, seeds_.Next());
  ++collector_.summary().classes[static_cast<size_t>(class_number)].threads;
  const bool in_ghost = workload_.classes[static_cast<size_t>(class_number)].in_ghost;
  if (!in_ghost || machine_.threads().enter(thread, thread.tid, state_.enclave) < 0) machine_.threads().Start(thread);
}

void Simulation::StartClass(int number, int count) {
  const WorkloadClass& c = workload_.classes[static_cast<size_t>(number)];
  for (int i = 0; i < count; ++i) {
    const int64_t delay_ns = c.start.Draw(seeds_);
    if (delay_ns <= 0) {
      StartThread(number);
    } else {
      machine_.At(machine_.now_ns() + delay_ns, [this, number] { StartThread(number); });
    }
  }
}

void Simulation::ScheduleEvents() {
  for (const MachineEvent& event : workload_.events) {
    machine_.At(machine_.now_ns() + event.at_ns, [this, &event] { Handle(event); });
  }
}

void Simulation::Handle(const MachineEvent& event) {
  using Kind = MachineEvent::Kind;
  const bool has_cpu = event.number < machine_.num_cpus();
  switch (event.kind) {
    case Kind::kOffline:
    case Kind::kOnline:
      if (has_cpu) machine_.SetOnline(event.number, event.kind == Kind::kOnline);
      return;
    case Kind::kBusy:
      if (!has_cpu) return;
      machine_.SetBusy(event.number, true);
      return machine_.At(machine_.now_ns() + event.for_ns, [this, &event] { machine_.SetBusy(event.number, false); });
    case Kind::kStart:
      return StartClass(event.number, event.count);
    case Kind::kKillAgents:
      return KillAgents();
    case Kind::kUpgradeAgents:
      return UpgradeAgents();
  }
}

// ---- The run ----

absl::Status Simulation::Step() {
  machine_.Step();
  for (auto& process : agents_) process->LookAtWorld();
  if (!broken_.empty()) return absl::InternalError(broken_);
  return WatchAgents();
}

absl::Status Simulation::RunUntil(int64_t when_ns) {
  while (machine_.events().NextTime() <= when_ns) GHOST_RETURN_IF_ERROR(Step());
  machine_.events().AdvanceTo(when_ns);
  return absl::OkStatus();
}

absl::Status Simulation::WarmUp() {
  early_.assign(workload_.streams.size(), 0);
  if (workload_.warmup_ns == 0) return absl::OkStatus();
  GHOST_RETURN_IF_ERROR(RunUntil(start_ns_ + workload_.warmup_ns));
  collector_.Begin(machine_.now_ns());
  for (size_t i = 0; i < early_.size(); ++i) early_[i] = state_.num_arrived(static_cast<int>(i));
  return absl::OkStatus();
}

absl::Status Simulation::Run() {
  const Time real_start = Time::Now();
  const double cpu_start = CpuSeconds();
  StartAgents("");
  GHOST_RETURN_IF_ERROR(AwaitScheduler());
  enclave_ = agents_.back()->enclave();
  state_.enclave = agents_.back()->enclave_id();
  start_ns_ = machine_.now_ns();
  const int64_t duration_ns = options_.duration_ns > 0 ? options_.duration_ns : workload_.duration_ns;
  collector_.Begin(start_ns_);
  for (size_t i = 0; i < workload_.classes.size(); ++i) StartClass(static_cast<int>(i), workload_.classes[i].count);
  ScheduleEvents();
  state_.StartStreams(seeds_.Next());
  under_faults_ = true;
  faults_->Start();
  GHOST_RETURN_IF_ERROR(WarmUp());
  const int64_t begin_ns = machine_.now_ns();
  const absl::Status status = RunUntil(begin_ns + duration_ns);
  collector_.End(machine_.now_ns());
  Summary& summary = collector_.summary();
  summary.duration_ns = machine_.now_ns() - begin_ns;
  for (size_t i = 0; i < summary.streams.size(); ++i) {
    summary.streams[i].arrived = state_.num_arrived(static_cast<int>(i)) - early_[i];
    summary.streams[i].missed += state_.CountOverdue(static_cast<int>(i));
  }
  GHOST_RETURN_IF_ERROR(status);
  summary.faults = faults_->count();
  faults_->Stop();
  if (options_.liveness_bound_ns > 0) GHOST_RETURN_IF_ERROR(CheckLiveness());
  summary.events = machine_.events().num_processed();
  summary.real_seconds = absl::ToDoubleSeconds(Time::Now() - real_start);
  summary.cpu_seconds = CpuSeconds() - cpu_start;
  summary.agent_restarts = restarts_;
  if (agents_.back()->scheduler() != nullptr) {
    lost_messages_ += agents_.back()->scheduler()->runtime().TotalCounters().lost_messages;
  }
  summary.lost_messages = lost_messages_;
  machine_.core().CheckInvariants();
  return absl::OkStatus();
}

bool Simulation::MustRun(const Thread& thread) {
  const WorkHint* hint = state_.hints().Find(thread.tid);
  return thread.gtid != 0 && (hint == nullptr || hint->has_work);
}

absl::Status Simulation::CheckLiveness() {
  const int64_t limit_ns = machine_.now_ns() + kStartTimeoutNs;
  while (!agents_.back()->ready() && machine_.events().NextTime() <= limit_ns) {
    if (agents_.back()->ended()) RestartAgents(kRetryNs);
    GHOST_RETURN_IF_ERROR(Step());
  }
  has_run_.assign(machine_.threads().all().size(), false);
  watches_runs_ = true;
  std::vector<Thread*> waiting;
  for (const auto& thread : machine_.threads().all()) {
    if (thread->state == Thread::State::kRunnable && MustRun(*thread)) waiting.push_back(thread.get());
  }
  const int64_t deadline_ns = machine_.now_ns() + options_.liveness_bound_ns;
  for (;;) {
    std::erase_if(waiting, [this](const Thread* thread) {
      return has_run_[static_cast<size_t>(thread->tid - Threads::kFirstTid)] || !MustRun(*thread);
    });
    if (waiting.empty()) return absl::OkStatus();
    if (machine_.events().NextTime() > deadline_ns) {
      return absl::InternalError(absl::StrCat(waiting.size(), " runnable tasks have not run within ",
                                              options_.liveness_bound_ns / 1000,
                                              " us after the faults, the first of them tid ", waiting.front()->tid));
    }
    GHOST_RETURN_IF_ERROR(RunUntil(std::min(deadline_ns, machine_.now_ns() + kRetryNs)));
  }
}

void Simulation::OnRun(const Thread& thread, int64_t) {
  const auto index = static_cast<size_t>(thread.tid - Threads::kFirstTid);
  if (watches_runs_ && index < has_run_.size()) has_run_[index] = true;
}

void Simulation::OnTransaction(int by, int cpu, int64_t gtid, int32_t state, int64_t now_ns) {
  collector_.OnTransaction(by, cpu, gtid, state, now_ns);
  if (state >= 0) Broken(absl::StrCat("the transaction of cpu ", cpu, " has no outcome"));
  if (options_.trace != nullptr) options_.trace->OnTransaction(by, cpu, gtid, state, now_ns);
}

}  // namespace ghost::sim
