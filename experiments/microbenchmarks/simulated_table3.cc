#include "experiments/microbenchmarks/simulated_table3.h"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "experiments/microbenchmarks/round_trips.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/sim/agent_host.h"
#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/sim_kernel.h"
#include "lib/base/status.h"
#include "lib/enclave.h"

namespace ghost {
namespace {

using sim::Action;

constexpr int64_t kWorkNs = 1'000;
constexpr int64_t kLimitNs = 60'000'000'000;

sim::CostModel Costs() {
  sim::CostModel costs;
  costs.pass_ns = 0;
  return costs;
}

// Stamps the time, works a little, stamps the time, yields.
class Yielder : public sim::Program {
 public:
  explicit Yielder(TaskStamps* stamps) : stamps_(stamps) {}
  Action Next(const sim::Thread&, int64_t now_ns) override {
    works_ = !works_;
    if (works_) {
      stamps_->ran_ns = now_ns;
      return Action::Run(kWorkNs);
    }
    stamps_->yielded_ns = now_ns;
    return Action::Yield();
  }

 private:
  TaskStamps* const stamps_;
  bool works_ = false;
};

// A machine, an agent process with its fibers, and tasks.
class World {
 public:
  World(int agent_cpu, const CpuSet& targets, int64_t rounds)
      : agent_cpu_(agent_cpu),
        targets_(targets),
        rounds_(rounds),
        machine_({.num_cpus = Table3::kPaperGroup + 1, .costs = Costs()}),
        host_(&machine_, &machine_.StartProcess()),
        kernel_(&host_, &hooks_, /*abi=*/91),
        stamps_(targets.size()) {
    machine_.on_answer = [this](uint64_t, sim::Tid tid, int result) { host_.OnAnswer(tid, result); };
  }
  ~World() { host_.CancelAll(); }

  absl::Status Run() {
    host_.StartThread(-1, [this] {
      status_ = Start();
      started_ = true;
    });
    GHOST_RETURN_IF_ERROR(RunUntil([this] { return started_; }));
    GHOST_RETURN_IF_ERROR(status_);
    sim::SimCaller& root = machine_.CallerOf(machine_.StartProcess().tgid);
    for (TaskStamps& stamps : stamps_) {
      sim::Thread& thread = machine_.threads().Create({}, std::make_unique<Yielder>(&stamps));
      stamps.tid = thread.tid;
      if (machine_.WriteFile(root, enclave_->directory() + "/tasks", std::to_string(thread.tid)) < 0) {
        return absl::InternalError("a simulated task can't enter its enclave");
      }
    }
    return RunUntil([this] { return trips_->done(); });
  }
  const RoundTrips::Figures& figures() const { return trips_->figures(); }
  const Latencies& syscall() const { return syscall_; }

 private:
  absl::Status RunUntil(const std::function<bool()>& condition) {
    while (!condition()) {
      if (machine_.now_ns() > kLimitNs || !machine_.Step()) return absl::InternalError("the simulation stands still");
      host_.LookAtWorld();
    }
    return absl::OkStatus();
  }

  absl::Status Start() {
    CpuSet cpus = targets_;
    cpus.Add(agent_cpu_);
    GHOST_ASSIGN_OR_RETURN(enclave_, Enclave::Create(&kernel_, cpus));
    enclave_->Keep();  // it goes with the machine
    trips_ =
        std::make_unique<RoundTrips>(enclave_.get(),
                                     RoundTrips::Options{.agent_cpu = agent_cpu_,
                                                         .targets = targets_,
                                                         .rounds = rounds_,
                                                         .warm_up = 10,
                                                         .clock = [this] { return machine_.now_ns(); },
                                                         .took_mail = [this] { host_.Charge(kernel_.MessageCost()); }},
                                     stamps_);
    GHOST_RETURN_IF_ERROR(trips_->CreateQueue());
    hooks_.global = !trips_->local();
    hooks_.messages = [this](int cpu) { return cpu == agent_cpu_ ? trips_->messages() : 0; };
    for (int cpu : cpus) {
      if (const int result = enclave_->kernel().BecomeAgent(cpu, trips_->queue()->fd()); result < 0) {
        return ErrnoStatus(-result, "a simulated agent");
      }
      GHOST_ASSIGN_OR_RETURN(words_[cpu], enclave_->status_words().OfAgent(cpu));
      host_.StartThread(cpu, [this, cpu] { cpu == agent_cpu_ ? Measure() : Sleep(cpu); });
    }
    return absl::OkStatus();
  }

  void Sleep(int cpu) {
    while (!host_.dead() && enclave_->run_request(cpu).LocalYield(words_[cpu].barrier()) != -ENODEV) {
    }
  }

  void Measure() {
    for (int64_t i = 0; i < rounds_; ++i) {
      const int64_t before_ns = machine_.now_ns();
      enclave_->kernel().Ioctl(GHOST_IOC_NULL, nullptr);
      syscall_.Add(machine_.now_ns() - before_ns);
    }
    while (!host_.dead()) {
      const uint64_t calls = host_.calls(), world = host_.World();
      const RoundTrips::Result result = trips_->Step(words_[agent_cpu_]);
      if (result == RoundTrips::Result::kDone || result == RoundTrips::Result::kKernelGone) return;
      if (host_.calls() != calls) continue;
      host_.Charge(machine_.costs().poll_ns);
      host_.WaitForWorld(world, sim::EventQueue::kNever);
    }
  }

  const int agent_cpu_;
  const CpuSet targets_;
  const int64_t rounds_;
  sim::Machine machine_;
  sim::AgentHost host_;
  sim::SimEnclave::Hooks hooks_;
  sim::SimKernel kernel_;
  std::vector<TaskStamps> stamps_;
  std::unique_ptr<Enclave> enclave_;
  std::unique_ptr<RoundTrips> trips_;
  std::map<int, StatusWord> words_;
  Latencies syscall_;
  absl::Status status_;
  bool started_ = false;
};

// What two ordinary threads on one CPU do in turn, and how long it takes from one to the other.
struct Pair {
  enum class How { kYield, kWake } how = How::kYield;
  int64_t left_ns = 0;  // when the last one left; 0: nobody has
  Latencies latencies = {};
  sim::Tid tids[2] = {};
};

class OneOfTwo : public sim::Program {
 public:
  OneOfTwo(Pair* pair, int index) : pair_(pair), index_(index) {}
  Action Next(const sim::Thread&, int64_t now_ns) override {
    // The second one begins asleep: a wake-up that came before would be kept.
    if (!std::exchange(begun_, true) && index_ == 1 && pair_->how == Pair::How::kWake) return Action::Wait();
    switch (step_++) {
      case 0:
        if (pair_->left_ns != 0) pair_->latencies.Add(now_ns - pair_->left_ns);
        return Action::Run(kWorkNs);
      case 1:
        if (pair_->how == Pair::How::kWake) return Action::Wake(pair_->tids[1 - index_]);
        [[fallthrough]];
      default:
        step_ = 0;
        pair_->left_ns = now_ns;
        return pair_->how == Pair::How::kWake ? Action::Wait() : Action::Yield();
    }
  }

 private:
  Pair* const pair_;
  const int index_;
  int step_ = 0;
  bool begun_ = false;
};

absl::StatusOr<Latencies> SimulateSwitch(Pair::How how, int64_t rounds) {
  Pair pair = {.how = how};
  sim::Machine machine({.num_cpus = 1, .costs = Costs()});
  for (int i = 0; i < 2; ++i) {
    pair.tids[i] = machine.threads().Create({}, std::make_unique<OneOfTwo>(&pair, i)).tid;
  }
  for (sim::Tid tid : {pair.tids[1], pair.tids[0]}) machine.threads().Start(*machine.threads().Find(tid));
  const auto enough = [&] { return pair.latencies.count() >= static_cast<uint64_t>(rounds); };
  if (!machine.RunUntil(enough, kLimitNs)) return absl::InternalError("the simulation stands still");
  return pair.latencies;
}

}  // namespace

absl::StatusOr<Table3> SimulateTable3(int64_t rounds) {
  constexpr int kAgentCpu = 0;
  CpuSet group = CpuSet::FirstN(Table3::kPaperGroup + 1);
  group.Remove(kAgentCpu);
  Table3 table;
  table.where = "the simulation (its cost model, and no policy: pass=0)";
  World local(kAgentCpu, {kAgentCpu}, rounds), remote(kAgentCpu, {1}, rounds), ten(kAgentCpu, group, rounds);
  for (World* world : {&local, &remote, &ten}) GHOST_RETURN_IF_ERROR(world->Run());
  table.Set(Table3Row::kDeliveryLocal, local.figures().delivery);
  table.Set(Table3Row::kLocalSchedule, local.figures().end_to_end);
  table.Set(Table3Row::kDeliveryGlobal, remote.figures().delivery);
  table.Set(Table3Row::kRemoteAgent, remote.figures().agent);
  table.Set(Table3Row::kRemoteTarget, remote.figures().target);
  table.Set(Table3Row::kRemoteEndToEnd, remote.figures().end_to_end);
  table.Set(Table3Row::kGroupAgent, ten.figures().agent);
  table.Set(Table3Row::kGroupTarget, ten.figures().target);
  table.Set(Table3Row::kGroupEndToEnd, ten.figures().end_to_end);
  table.Set(Table3Row::kSyscall, remote.syscall());
  GHOST_ASSIGN_OR_RETURN(const Latencies yields, SimulateSwitch(Pair::How::kYield, rounds));
  table.Set(Table3Row::kPthreadSwitch, yields);
  GHOST_ASSIGN_OR_RETURN(const Latencies wakes, SimulateSwitch(Pair::How::kWake, rounds));
  table.Set(Table3Row::kCfsSwitch, wakes);
  table.notes.push_back("figures are virtual time, the same in every run");
  return table;
}

}  // namespace ghost
