#include "kernel/usermode/sim/scheduler_process.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "kernel/usermode/sim/sim_pnt.h"
#include "lib/base/status.h"
#include "lib/tunable.h"

namespace ghost::sim {
namespace {

constexpr int64_t kLeastPollNs = 10;

}  // namespace

SchedulerProcess::SchedulerProcess(Machine* machine, Options options)
    : machine_(*machine),
      options_(std::move(options)),
      process_(machine->StartProcess()),
      host_(std::make_unique<AgentHost>(machine, &process_)),
      hooks_{.messages = nullptr, .observer = options_.observer},
      kernel_(host_.get(), &hooks_, options_.abi) {
  process_.on_kill = [this] { Kill(); };
  host_->StartThread(-1, [this] {
    start_status_ = Start();
    failed_ = !start_status_.ok();
    ready_ = !failed_;
  });
}

SchedulerProcess::~SchedulerProcess() {
  Kill();
  process_.on_kill = nullptr;
}

absl::Status SchedulerProcess::Start() {
  if (options_.enclave.empty()) {
    GHOST_ASSIGN_OR_RETURN(enclave_, Enclave::Create(&kernel_, options_.cpus));
    enclave_->Keep();  // only whoever runs the simulation destroys it
  } else {
    GHOST_ASSIGN_OR_RETURN(enclave_, Enclave::Attach(&kernel_, options_.enclave));
  }
  enclave_name_ = enclave_->directory();
  enclave_id_ = enclave_->id();
  SchedulerOptions options = options_.scheduler_options;
  if (options.topology == nullptr) options.topology = machine_.topology();
  if (options_.hints != nullptr) {
    options.hints = std::make_shared<SimHintSource>(options_.hints);
    host_->Watch(options_.hints->changes());
  }
  if (options_.pnt) options.pnt = std::make_shared<SimPntPrograms>();
  scheduler_ = options_.scheduler(enclave_.get(), options);
  GHOST_RETURN_IF_ERROR(SetTunables());
  GHOST_RETURN_IF_ERROR(scheduler_->Start());
  hooks_.global = scheduler_->global_cpu() >= 0;
  hooks_.messages = [this](int cpu) { return scheduler_->Messages(cpu); };
  for (int cpu : enclave_->cpus()) host_->StartThread(cpu, [this, cpu] { AgentMain(cpu); });
  return absl::OkStatus();
}

absl::Status SchedulerProcess::SetTunables() {
  for (const auto& [name, value] : options_.scheduler_options.tunables) {
    GHOST_ASSIGN_OR_RETURN(Tunable * tunable, FindTunable(scheduler_->runtime().Tunables(), name, "the policy"));
    GHOST_RETURN_IF_ERROR(tunable->Set(value));
  }
  return absl::OkStatus();
}

void SchedulerProcess::AgentMain(int cpu) {
  AgentHost& host = *host_;
  const CostModel& costs = machine_.costs();
  while (!host.dead()) {
    const uint64_t calls = host.calls();
    const uint64_t world = host.World();
    const SteppedScheduler::Outcome outcome = scheduler_->Step(cpu, Time::FromNanoseconds(machine_.now_ns()));
    if (outcome.kernel_gone) return;
    if (host.calls() != calls) continue;
    // It polled, and found nothing that the kernel is to do.
    host.Charge(costs.poll_ns + kernel_.MessageCost());
    // Time passes: who waits for something that takes time waits in vain otherwise, where a look costs nothing.
    host.WaitForWorld(world,
                      std::max(outcome.look_again.ns(), machine_.now_ns() + (costs.poll_ns == 0 ? kLeastPollNs : 0)));
  }
}

void SchedulerProcess::Kill() {
  if (std::exchange(killed_, true)) return;
  host_->CancelAll();
  machine_.Kill(process_);
  // As the process's memory goes: none of these may reach the kernel any more, which their host sees to.
  hooks_.messages = nullptr;
  scheduler_.reset();
  enclave_.reset();
  ready_ = false;
}

void SchedulerProcess::Leave() {
  if (killed_) return;
  if (enclave_ != nullptr) enclave_->WithdrawOnline();
  Kill();
}

}  // namespace ghost::sim
