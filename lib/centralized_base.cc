#include "lib/centralized_base.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr int kNumaNode = 0;
// An agent that is pinged is awake within microseconds, but where CPUs are shared, within milliseconds.
constexpr int64_t kOfferTimeoutNs = 20'000'000;
// An heir that is not let in for this long sleeps again; it is pinged when it is its turn.
constexpr int64_t kHeirPatienceNs = 1'000'000;

}  // namespace

CentralizedBase::CentralizedBase(Enclave* enclave, RuntimeOptions options)
    : RuntimeBase(enclave, std::move(options)),
      available_(enclave->cpus()),
      topology_(TopologyFor(enclave->cpus(), this->options())),
      idle_poll_("idle_poll", "how long the global agent polls an empty queue before it sleeps",
                 Tunable::Unit::kNanoseconds, absl::ToInt64Nanoseconds(this->options().idle_poll), 0, INT64_MAX),
      global_cpu_(this->options().global_cpu >= 0 ? this->options().global_cpu : enclave->cpus().First()) {}

absl::Status CentralizedBase::PrepareQueues() {
  if (cpus().size() < 2) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("one CPU (", ToCpuList(cpus()),
                                                            ") is not enough: the global agent has one for itself")),
                    "give it at least two");
  }
  if (!cpus().Contains(global_cpu())) {
    return WithHint(absl::InvalidArgumentError(
                        absl::StrCat("cpu ", global_cpu(), " cannot be the global CPU: it is not in the enclave")),
                    absl::StrCat("one of ", ToCpuList(cpus())));
  }
  if (PntPrograms* pnt = options().pnt.get(); pnt != nullptr) {
    if (!shows_waiting()) return absl::InvalidArgumentError("this policy does not say who waits: it can't have --pnt");
    GHOST_RETURN_IF_ERROR(pnt->Load(*enclave()));
    ring_ = std::make_unique<PntRing>(pnt->memory(), cpus(), *topology_);
  }
  GHOST_RETURN_IF_ERROR(timer_.Create(&enclave()->kernel()));
  GHOST_ASSIGN_OR_RETURN(queue_, enclave()->CreateChannel(options().queue_elements, kNumaNode, CpuSet({global_cpu()})));
  return absl::OkStatus();
}

absl::Status CentralizedBase::ConfigureEnclave() {
  if (ring_ != nullptr) {
    GHOST_RETURN_IF_ERROR(options().pnt->Attach(*enclave()));
    ring_->Activate(global_cpu());
  }
  // Older kernels say it in the agents' status words only.
  if (!enclave()->abi().cpu_availability) return absl::OkStatus();
  return enclave()->SetTunable("deliver_cpu_availability", true);
}

// Nobody takes tasks any more before agents end, and the programs have gone before a successor's come.
void CentralizedBase::Stop() {
  if (ring_ != nullptr) ring_->Deactivate();
  RuntimeBase::Stop();
  if (ring_ != nullptr) options().pnt->Detach();
}

RuntimeCounters CentralizedBase::Counters(int cpu) const {
  RuntimeCounters result = RuntimeBase::Counters(cpu);
  if (cpu != global_cpu()) return result;
  if (ring_ != nullptr) {
    result.ring_published = ring_->published();
    result.ring_taken = ring_->taken();
    result.ring_revoked = ring_->revoked();
    result.ring_failed = ring_->failed();
  }
  result.tasks = static_cast<uint64_t>(tasks_.value());
  result.runnable = static_cast<uint64_t>(runnable_.value());
  return result;
}

void CentralizedBase::AskForUpkeep(int) {
  upkeep_due_.store(true, std::memory_order_release);
  // If it moves meanwhile, the next one looks before it sleeps.
  Cpu& c = *cpu_base(global_cpu());
  if (c.agent != nullptr) c.request->Ping();
}

StepResult CentralizedBase::SatelliteStep(Cpu& c, Time now) {
  // Whoever stops it, or makes it an heir, pings it afterwards: the barrier must be older than these looks.
  const uint32_t barrier = c.agent_word.barrier();
  if (stopping() || global_cpu() == c.cpu) return StepResult::kYielded;
  int offer = c.cpu;
  if (offer_.compare_exchange_strong(offer, c.cpu | kAwake, std::memory_order_acq_rel)) c.waits_since = now;
  if ((offer == c.cpu || offer == (c.cpu | kAwake)) && Time::NanosecondsBetween(c.waits_since, now) < kHeirPatienceNs) {
    if (c.agent == nullptr) look_again_ = now;  // stepped: one thread for all
    return StepResult::kPolled;
  }
  return YieldCpu(c, barrier, 0, "a satellite agent cannot yield") ? StepResult::kYielded : StepResult::kKernelGone;
}

int CentralizedBase::Nearest(int cpu, const CpuSet& candidates, const CpuSet& preferred) const {
  const Topology::Cpu here = topology_->cpu(cpu);
  const auto best_of = [&](const CpuSet& near) {
    const CpuSet both = candidates & near;
    const int best = (both & preferred).First();
    return best >= 0 ? best : both.First();
  };
  if (here.valid()) {
    for (const CpuSet* near : {&here.siblings(), &here.l3_siblings(), &topology_->CpusOnNode(here.numa_node())}) {
      if (const int best = best_of(*near); best >= 0) return best;
    }
  }
  return best_of(cpus());
}

void CentralizedBase::OfferTo(int cpu, Time now) {
  heir_ = cpu;
  offered_at_ = now;
  offer_.store(cpu, std::memory_order_release);
  cpu_base(cpu)->request->Ping();
}

CentralizedBase::Answer CentralizedBase::HeirsAnswer(Time now) const {
  if (offer_.load(std::memory_order_acquire) == (heir_ | kAwake)) return Answer::kAwake;
  return Time::NanosecondsBetween(offered_at_, now) > kOfferTimeoutNs ? Answer::kTooLate : Answer::kNone;
}

bool CentralizedBase::Withdraw() {
  int offer = heir_;
  if (!offer_.compare_exchange_strong(offer, kNobody, std::memory_order_acq_rel)) return false;
  heir_ = kNobody;
  return true;
}

void CentralizedBase::HandOver(Cpu& c) {
  c.counters.handoffs.Add(1);
  Cpu& next = *cpu_base(std::exchange(heir_, kNobody));
  NeedUpkeep();
  offer_.store(kNobody, std::memory_order_relaxed);
  global_cpu_.store(next.cpu, std::memory_order_release);
  // Nothing of the global agent's is this thread's any more. An heir that has become tired of waiting sleeps.
  next.request->Ping();
}

void CentralizedBase::ClaimWakeup(Cpu& c) {
  // It fails if the kernel is gone only, which the next call reports.
  queue_.ConfigureWakeup(CpuSet({c.cpu})).IgnoreError();
}

StepResult CentralizedBase::Sleep(Cpu& c, uint32_t barrier, Time now, Time until, int run_flags) {
  // After the barrier was read: whoever stops it, or wants something of it, pings it.
  if (stopping() || upkeep_due() || until <= now) return StepResult::kYielded;
  // Without a timer that wakes it, it cannot sleep but until the next message.
  if (until != Time::Infinite() && !timer_.Set(c.cpu, until) && run_flags == 0) return StepResult::kPolled;
  loop_meter_.Pause();
  return YieldCpu(c, barrier, run_flags, "the global agent cannot yield") ? StepResult::kYielded
                                                                          : StepResult::kKernelGone;
}

}  // namespace ghost
