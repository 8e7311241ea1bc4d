#include "lib/runtime_base.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {

RuntimeBase::RuntimeBase(Enclave* enclave, RuntimeOptions options)
    : enclave_(enclave), options_(std::move(options)), dump_texts_(enclave->cpus().Last() + 1) {}

absl::Status RuntimeBase::Prepare() {
  for (int cpu : cpus()) cpu_base(cpu)->request = &enclave_->run_request(cpu);
  return PrepareQueues();
}

absl::Status RuntimeBase::WaitForOldAgent() {
  return options_.wait_for_old_agent ? options_.wait_for_old_agent()
                                     : enclave_->WaitForOldAgent(options_.old_agent_timeout);
}

absl::Status RuntimeBase::StartAgents() {
  for (int cpu : cpus()) {
    Cpu& c = *cpu_base(cpu);
    c.agent = std::make_unique<Agent>(enclave_, cpu, agent_queue(cpu), [this](Agent& agent) { AgentBody(agent); });
    c.agent->StartBegin();
  }
  absl::Status first_failure;
  for (int cpu : cpus()) {
    Cpu& c = *cpu_base(cpu);
    absl::Status status = c.agent->StartComplete();
    if (status.ok()) c.agent_word = c.agent->status_word();
    if (first_failure.ok()) first_failure = std::move(status);
  }
  return first_failure;
}

absl::Status RuntimeBase::BecomeAgents() {
  for (int cpu : cpus()) {
    Cpu& c = *cpu_base(cpu);
    if (int result = enclave_->kernel().BecomeAgent(cpu, agent_queue(cpu)->fd()); result < 0) {
      return ErrnoStatus(-result, absl::StrCat("cannot become the agent of cpu ", cpu));
    }
    GHOST_ASSIGN_OR_RETURN(c.agent_word, enclave_->status_words().OfAgent(cpu));
  }
  return absl::OkStatus();
}

absl::Status RuntimeBase::TakeOver() {
  GHOST_RETURN_IF_ERROR(ConfigureEnclave());
  Channel* channel = default_queue();
  GHOST_RETURN_IF_ERROR(channel->SetDefault());
  bool adopted = false;
  GHOST_RETURN_IF_ERROR(enclave_->Discover(channel, [&](const Enclave::DiscoveredTask& task) {
    adopted = true;
    AdoptTask(task);
  }));
  return adopted && wants_nice() ? enclave_->kernel().WriteFile("ctl", "discover tasks") : absl::OkStatus();
}

absl::Status RuntimeBase::Start() {
  started_ = true;
  absl::Status status = Prepare();
  if (status.ok()) status = WaitForOldAgent();
  if (status.ok()) status = StartAgents();
  if (status.ok()) status = TakeOver();
  if (status.ok()) {
    for (int cpu : cpus()) cpu_base(cpu)->agent->Release();
    status = enclave_->AdvertiseOnline();
  }
  if (!status.ok()) Stop();
  return status;
}

absl::Status RuntimeBase::StartStepped() {
  GHOST_RETURN_IF_ERROR(Prepare());
  GHOST_RETURN_IF_ERROR(WaitForOldAgent());
  GHOST_RETURN_IF_ERROR(BecomeAgents());
  GHOST_RETURN_IF_ERROR(TakeOver());
  return enclave_->AdvertiseOnline();
}

void RuntimeBase::Stop() {
  if (!std::exchange(started_, false)) return;
  // A successor waits for this: it then waits for each agent to leave its CPU.
  enclave_->WithdrawOnline();
  stopping_.store(true, std::memory_order_release);
  for (int cpu : cpus()) {
    // Whoever reads its barrier after the ping must look up before it sleeps.
    cpu_base(cpu)->upkeep_due.store(true, std::memory_order_release);
    if (Agent* agent = cpu_base(cpu)->agent.get(); agent != nullptr) agent->TerminateBegin();
  }
  // They look at each other's to the end: none goes before all threads have ended.
  for (int cpu : cpus()) {
    if (Agent* agent = cpu_base(cpu)->agent.get(); agent != nullptr) agent->TerminateComplete();
  }
  for (int cpu : cpus()) cpu_base(cpu)->agent.reset();
}

// It does not wait for run queues to empty before it ends: one task that never sleeps would keep it for ever. Tasks
// stay in the enclave, in the kernel's hands.
void RuntimeBase::AgentBody(Agent& agent) {
  while (!agent.finished() && !stopping()) {
    if (Step(agent.cpu(), Time::Now()) == StepResult::kKernelGone) return;
  }
}

void RuntimeBase::ReportKernelGone(int cpu, const char* what, int error) {
  if (kernel_gone_.exchange(true) || !options_.on_kernel_gone) return;
  const Agent* agent = cpu_base(cpu)->agent.get();
  if (agent != nullptr && agent->finished()) return;
  absl::Status status =
      ErrnoStatus(error, absl::StrCat(enclave_->directory(), " is not served any more: ", what, " on cpu ", cpu));
  options_.on_kernel_gone(
      WithHint(std::move(status), "the enclave was destroyed, or ghostd ended: start this agent again"));
}

RuntimeCounters RuntimeBase::Counters(int cpu) const {
  RuntimeCounters result;
  const Cpu* c = cpu_base(cpu);
  if (c == nullptr) return result;
  const AgentCounters& from = c->counters;
  const auto read = [](const Counter& counter) { return static_cast<uint64_t>(counter.value()); };
  result.passes = read(from.passes);
  result.messages = read(from.messages);
  result.corrupt_messages = read(from.corrupt_messages);
  result.lost_messages = read(from.lost_messages);
  result.unknown_tasks = read(from.unknown_tasks);
  result.illegal_changes = read(from.illegal_changes);
  result.commits = read(from.commits);
  result.commits_failed = read(from.commits_failed);
  result.yields = read(from.yields);
  result.preempted = read(from.preempted);
  result.blocked = read(from.blocked);
  result.yielded = read(from.yielded);
  result.woken = read(from.woken);
  result.placed = read(from.placed);
  result.moved = read(from.moved);
  result.deferred = read(from.deferred);
  result.handoffs = read(from.handoffs);
  return result;
}

void RuntimeBase::ServeDump(int cpu) {
  {
    std::lock_guard<std::mutex> lock(dump_mutex_);
    if (!dump_wanted_.Contains(cpu)) return;
  }
  std::string text;
  DescribeCpu(cpu, &text);
  std::lock_guard<std::mutex> lock(dump_mutex_);
  dump_texts_[cpu] = std::move(text);
  dump_wanted_.Remove(cpu);
  dump_changed_.notify_all();
}

void RuntimeBase::AskForUpkeep(int cpu) {
  Cpu& c = *cpu_base(cpu);
  c.upkeep_due.store(true, std::memory_order_release);
  // Without agents (stepped) the next Step sees it.
  if (c.agent != nullptr) c.request->Ping();
}

std::string RuntimeBase::DumpState(absl::Duration timeout) {
  const CpuSet asked = describers();
  {
    std::lock_guard<std::mutex> lock(dump_mutex_);
    dump_wanted_ = asked;
  }
  for (int cpu : asked) AskForUpkeep(cpu);
  std::unique_lock<std::mutex> lock(dump_mutex_);
  dump_changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [this] { return dump_wanted_.empty(); });
  std::string text;
  for (int cpu : asked) {
    absl::StrAppend(&text, dump_wanted_.Contains(cpu) ? absl::StrCat("cpu ", cpu, ": its agent does not answer\n")
                                                      : dump_texts_[cpu]);
  }
  dump_wanted_.Clear();
  return text;
}

}  // namespace ghost
