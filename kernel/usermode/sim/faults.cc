#include "kernel/usermode/sim/faults.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

constexpr int64_t kUs = 1000;
constexpr double kNsPerMs = 1e6;
constexpr double kMaxRate = 1e4;

std::string FaultNames() {
  std::string names;
  for (const FaultName& fault : kFaults) absl::StrAppend(&names, names.empty() ? "" : ", ", fault.name);
  return names;
}

// A child of a fault: runs, sleeps, ends.
class ShortLife : public Program {
 public:
  explicit ShortLife(Random random) : random_(random) {}
  Action Next(const Thread&, int64_t) override {
    switch (turn_++) {
      case 0:
      case 2:
        return Action::Run(static_cast<int64_t>(random_.Below(30 * kUs)));
      case 1:
        return random_.Chance(0.5) ? Action::Sleep(static_cast<int64_t>(random_.Below(100 * kUs))) : Action::Yield();
      default:
        return Action::Exit();
    }
  }

 private:
  Random random_;
  int turn_ = 0;
};

}  // namespace

absl::StatusOr<FaultRates> ParseFaults(absl::string_view spec) {
  FaultRates rates;
  if (spec == "none" || spec.empty()) return rates;
  if (spec == "all") {
    for (const FaultName& fault : kFaults) rates.*fault.member = fault.usual;
    return rates;
  }
  for (const absl::string_view item : absl::StrSplit(spec, ',')) {
    const size_t equals = item.find('=');
    const absl::string_view name = item.substr(0, equals);
    bool found = false;
    for (const FaultName& fault : kFaults) {
      if (name != fault.name) continue;
      found = true;
      double rate = fault.usual;
      if (equals != absl::string_view::npos &&
          (!absl::SimpleAtod(item.substr(equals + 1), &rate) || !(rate >= 0) || rate > kMaxRate)) {
        return WithHint(absl::InvalidArgumentError(absl::StrCat("fault ", item, " has no valid rate")),
                        absl::StrCat("how often per ms (delay and tiny: how likely): ", name, "=", fault.usual));
      }
      rates.*fault.member = rate;
    }
    if (!found) {
      return WithHint(absl::InvalidArgumentError(absl::StrCat("there is no fault '", name, "'")),
                      absl::StrCat("all, none, or a list of ", FaultNames(), " with their rates: kill=0.1,hotplug"));
    }
  }
  return rates;
}

Faults::Faults(Machine* machine, WorkloadState* workload, const FaultRates& rates, uint64_t seed, Hooks hooks)
    : machine_(*machine),
      workload_(*workload),
      rates_(rates),
      hooks_(std::move(hooks)),
      delays_(seed),
      busy_(static_cast<size_t>(machine->num_cpus())) {
  const std::pair<double, Make> kKinds[] = {
      {rates_.kill, &Faults::Kill},         {rates_.upgrade, &Faults::Upgrade}, {rates_.hotplug, &Faults::Hotplug},
      {rates_.busy, &Faults::Busy},         {rates_.ping, &Faults::Ping},       {rates_.wake, &Faults::Wake},
      {rates_.affinity, &Faults::Affinity}, {rates_.nice, &Faults::Nice},       {rates_.depart, &Faults::Depart},
      {rates_.fork, &Faults::Fork},         {rates_.exit, &Faults::Exit}};
  Random seeds = delays_.Split();
  for (const auto& [rate, make] : kKinds) kinds_.push_back({.rate = rate, .make = make, .random = seeds.Split()});
}

void Faults::Start() {
  ++generation_;
  for (uint32_t kind = 0; kind < kinds_.size(); ++kind) ScheduleNext(kind);
}

void Faults::ScheduleNext(uint32_t index) {
  Kind& kind = kinds_[index];
  if (kind.rate <= 0) return;
  const double gap_ns = -std::log(1.0 - kind.random.Real()) * kNsPerMs / kind.rate;
  machine_.events().Schedule(machine_.now_ns() + static_cast<int64_t>(std::min(gap_ns, 1e15)), &fault_, index,
                             generation_);
}

void Faults::OnFault(uint32_t index, uint32_t generation) {
  if (generation != generation_) return;
  ++count_;
  random_ = &kinds_[index].random;
  (this->*kinds_[index].make)();
  ScheduleNext(index);
}

void Faults::Stop() {
  ++generation_;
  for (int cpu = 0; cpu < machine_.num_cpus(); ++cpu) {
    machine_.SetOnline(cpu, true);
    for (; busy_[static_cast<size_t>(cpu)] > 0; --busy_[static_cast<size_t>(cpu)]) machine_.SetBusy(cpu, false);
  }
}

int64_t Faults::CommitDelay() {
  if (rates_.delay <= 0 || generation_ != 1 || !delays_.Chance(rates_.delay)) return 0;
  return static_cast<int64_t>(delays_.Below(50 * kUs));
}

Thread* Faults::AnyThread() {
  const auto& all = machine_.threads().all();
  for (int attempt = 0; attempt < 8; ++attempt) {
    Thread& thread = *all[random_->Below(all.size())];
    if (thread.state != Thread::State::kDead && thread.scheduling_class != Thread::Class::kAgent) return &thread;
  }
  return nullptr;
}

void Faults::Hotplug() {
  const int cpu = AnyCpu();
  machine_.SetOnline(cpu, false);
  machine_.At(Soon(300 * kUs), [this, cpu] { machine_.SetOnline(cpu, true); });
}

void Faults::Busy() {
  const int cpu = AnyCpu();
  ++busy_[static_cast<size_t>(cpu)];
  machine_.SetBusy(cpu, true);
  machine_.At(Soon(200 * kUs), [this, cpu] {
    if (busy_[static_cast<size_t>(cpu)] == 0) return;
    --busy_[static_cast<size_t>(cpu)];
    machine_.SetBusy(cpu, false);
  });
}

void Faults::Ping() {
  const std::vector<uint64_t> pending = machine_.driver().PendingRequests();
  if (!pending.empty()) machine_.Interrupt(pending[random_->Below(pending.size())]);
}

void Faults::Wake() {
  if (Thread* thread = AnyThread(); thread != nullptr && thread->state == Thread::State::kSleeping) {
    machine_.threads().Wake(*thread, AnyCpu(), /*spurious=*/true);
  }
}

void Faults::Affinity() {
  Thread* thread = AnyThread();
  if (thread == nullptr) return;
  CpuSet cpus;
  for (uint64_t i = random_->Below(4); i < 4; ++i) cpus.Add(AnyCpu());
  machine_.SetAffinity(*thread, cpus);
}

void Faults::Nice() {
  if (Thread* thread = AnyThread(); thread != nullptr) {
    machine_.threads().SetNice(*thread, static_cast<int>(random_->Below(40)) - 20);
  }
}

void Faults::Depart() {
  Thread* thread = AnyThread();
  if (thread == nullptr || thread->gtid == 0) return;
  machine_.threads().Depart(*thread);
  machine_.At(Soon(300 * kUs), [this, tid = thread->tid] { Return(tid); });
}

void Faults::Return(Tid tid) {
  const Thread* thread = machine_.threads().Find(tid);
  if (thread->state != Thread::State::kDead && thread->gtid == 0)
    machine_.threads().enter(*thread, tid, hooks_.enclave());
}

void Faults::Fork() {
  Thread* thread = AnyThread();
  auto* script = thread == nullptr ? nullptr : dynamic_cast<ScriptProgram*>(thread->program.get());
  if (script == nullptr) return;
  for (uint64_t i = random_->Below(8); i < 8; ++i) {
    script->Inject(Action::Fork(std::make_unique<ShortLife>(random_->Split())));
  }
}

void Faults::Exit() {
  if (Thread* thread = AnyThread(); thread != nullptr) machine_.threads().Exit(*thread);
}

}  // namespace ghost::sim
