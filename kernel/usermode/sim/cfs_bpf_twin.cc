#include "kernel/usermode/sim/cfs_bpf_twin.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kernel/ghost_uapi.h"

namespace ghost::sim {
namespace {

using usermode::BpfHelpers;

// As in the programs.
constexpr int kAttempts = 8;
constexpr int kQueuesToTry = 4;
constexpr uint64_t kGreatestRunNs = uint64_t{1} << 42;
constexpr int64_t kNice0Weight = 1024;
// schedulers/cfs/nice_weight.h's rule: a factor of 1.25 for each step.
constexpr auto kWeights = [] {
  std::array<uint32_t, 40> weights = {};
  double up = kNice0Weight, down = kNice0Weight;
  for (size_t i = 0; i <= 20; ++i, up *= 1.25) weights[20 - i] = static_cast<uint32_t>(up + 0.5);
  for (size_t i = 20; i < 40; ++i, down /= 1.25) weights[i] = static_cast<uint32_t>(down + 0.5);
  return weights;
}();

uint32_t WeightOf(int32_t nice) { return kWeights[static_cast<size_t>(std::clamp(nice, -20, 19) + 20)]; }

int64_t Weighted(int64_t ns, int64_t weight) { return ns * kNice0Weight / weight; }

}  // namespace

CfsBpfTwin::CfsBpfTwin(Options options)
    : options_(std::move(options)),
      latency_("latency", "the period in which each task of a CPU is to run once", Tunable::Unit::kNanoseconds,
               options_.latency_ns, 10'000, 10'000'000'000),
      min_granularity_("min_granularity", "the shortest slice", Tunable::Unit::kNanoseconds,
                       options_.min_granularity_ns, 10'000, 100'000'000),
      wakeup_granularity_("wakeup_granularity", "how far behind one that wakes must be to get the CPU at once",
                          Tunable::Unit::kNanoseconds, options_.wakeup_granularity_ns, 0, 10'000'000'000),
      idle_balancing_("idle_load_balancing", "a CPU that runs out of tasks takes over one of another's",
                      Tunable::Unit::kBool, 1, 0, 1) {}

// ---- Queues ----

CfsBpfTwin::Task* CfsBpfTwin::FirstOf(const Cpu& cpu) {
  Task* free = First(cpu.free);
  Task* bound = First(cpu.bound);
  if (free == nullptr || bound == nullptr) return free != nullptr ? free : bound;
  return Earlier()(bound, free) ? bound : free;
}

void CfsBpfTwin::Join(Task* task, int cpu) {
  task->order = joined_++;
  task->queued = true;
  Cpu& its = cpus_[cpu];
  if (Waiting(its) == 0 || its.rightmost < task->vruntime) its.rightmost = task->vruntime;
  QueueOf(its, *task).insert(task);
  its.weight += task->weight;
}

void CfsBpfTwin::Quit(Task* task) {
  if (!task->queued) return;
  task->queued = false;
  QueueOf(cpus_[task->home], *task).erase(task);
  cpus_[task->home].weight -= task->weight;
}

void CfsBpfTwin::ForgetCpu(Task* task) {
  if (task->cpu >= 0 && cpus_[task->cpu].current == task) cpus_[task->cpu].current = nullptr;
  task->cpu = -1;
}

// ---- Time ----

int64_t CfsBpfTwin::Slice(int64_t weight, int64_t total, int64_t count) const {
  const int64_t period = std::max(latency_.Get(), count * min_granularity_.Get());
  return std::max(min_granularity_.Get(), period * weight / total);
}

int64_t CfsBpfTwin::VruntimeNow(const Cpu& cpu, int64_t now) {
  return cpu.current->vruntime + Weighted(std::max<int64_t>(now - cpu.since_ns, 0), cpu.current->weight);
}

void CfsBpfTwin::AdvanceToLeast(Cpu& cpu, int64_t vruntime) {
  const Task* first = FirstOf(cpu);
  Advance(cpu, first == nullptr ? vruntime : std::min(first->vruntime, vruntime));
}

void CfsBpfTwin::Charge(Task* task, uint64_t runtime_ns) {
  if (runtime_ns <= task->charged_ns) return;
  task->vruntime +=
      Weighted(static_cast<int64_t>(std::min(runtime_ns - task->charged_ns, kGreatestRunNs)), task->weight);
  task->charged_ns = runtime_ns;
}

int64_t CfsBpfTwin::StartOf(const Cpu& cpu, int64_t weight, int64_t now) const {
  int64_t last = cpu.min_vruntime;
  if (Waiting(cpu) > 0) last = std::max(last, cpu.rightmost);
  if (cpu.current != nullptr) last = std::max(last, VruntimeNow(cpu, now));
  const int64_t slice_ns = Slice(weight, WeightOn(cpu) + weight, Load(cpu) + 1);
  return std::min(cpu.min_vruntime + Weighted(slice_ns, weight), last);
}

void CfsBpfTwin::Enter(Task* task, int cpu, Comes comes, int64_t now) {
  Cpu& its = cpus_[cpu];
  int64_t vruntime = task->vruntime;
  if (task->home < 0) {
    vruntime = StartOf(its, task->weight, now);
  } else if (task->home != cpu) {
    vruntime = its.min_vruntime + std::max<int64_t>(vruntime - cpus_[task->home].min_vruntime, 0);
  }
  vruntime = std::max(vruntime, its.min_vruntime - latency_.Get() / 2);
  if (comes == Comes::kYielded && Waiting(its) > 0) {
    vruntime = std::max(vruntime, std::min(its.rightmost, vruntime + latency_.Get()));
  }
  task->vruntime = vruntime;
  task->home = cpu;
}

bool CfsBpfTwin::Challenges(const Task& task, const Cpu& cpu, int64_t now) const {
  if (cpu.current == nullptr || cpu.kicked) return false;
  return task.vruntime + Weighted(wakeup_granularity_.Get(), task.weight) < VruntimeNow(cpu, now);
}

CfsBpfTwin::Found CfsBpfTwin::QueueUp(Task* task, int cpu, Comes comes, int64_t now, uint64_t went_idle) {
  Cpu& its = cpus_[cpu];
  Found found;
  if (!task->runnable || task->cpu >= 0 || task->queued) return found;
  if (its.current != nullptr) AdvanceToLeast(its, VruntimeNow(its, now));
  Enter(task, cpu, comes, now);
  Join(task, cpu);
  if (idle_.Contains(cpu)) {
    idle_.Remove(cpu);
    found.idle = true;
    return found;
  }
  found.look_again = went_idle_ != went_idle;
  if ((comes == Comes::kNew || comes == Comes::kWoken) && Challenges(*task, its, now)) {
    its.kicked = true;
    found.must = true;
  }
  return found;
}

// ---- Placement ----

int CfsBpfTwin::BestFor(const Task& task, int from) const {
  const CpuSet& allowed = task.affinity == Affinity::kSomeCpus ? task.allowed : options_.cpus;
  for (const CpuSet& set : {allowed & idle_, allowed - taken_, allowed}) {
    if (set.empty()) continue;
    const int next = from <= 0 ? set.First() : set.Next(from - 1);
    return next >= 0 ? next : set.First();
  }
  return -1;
}

int CfsBpfTwin::Choose(const Task& task, int last) {
  last &= CpuSet::kMaxCpus - 1;
  const int best = BestFor(task, last);
  if (best < 0 || idle_.Contains(best)) return best;
  const int other = BestFor(task, cpus_[last].look_from);
  cpus_[last].look_from = other + 1;
  return Load(cpus_[other]) + 1 < Load(cpus_[best]) ? other : best;
}

void CfsBpfTwin::CallIdle(const Task& task, int cpu, BpfHelpers& helpers) {
  if (idle_.empty()) return;
  const int chosen = Choose(task, cpu);
  if (chosen < 0 || !idle_.Contains(chosen)) return;
  idle_.Remove(chosen);
  KickCpu(chosen, false, helpers);
}

void CfsBpfTwin::Place(Task* task, int last, Comes comes, BpfHelpers& helpers) {
  const uint64_t went_idle = went_idle_;
  const int cpu = Choose(*task, last);
  if (cpu < 0) return;
  const Found found = QueueUp(task, cpu, comes, options_.now_ns(), went_idle);
  if (!initialized()) return;
  if (found.idle) KickCpu(cpu, false, helpers);
  if (found.must) KickCpu(cpu, true, helpers);
  if (found.look_again) CallIdle(*task, cpu, helpers);
}

// ---- Taking over ----

// Of those below *below the one with most weight, -1: none; *below is that one then.
int CfsBpfTwin::BusiestQueue(Queue Cpu::*which, int cpu, std::pair<int64_t, int>* below) {
  std::pair<int64_t, int> busiest = {-1, -1};
  for (const auto& [other, its] : cpus_) {
    if (other == cpu || (its.*which).empty()) continue;
    const std::pair score(its.weight, other);
    if (score > busiest && score < *below) busiest = score;
  }
  *below = busiest;
  return busiest.second;
}

CfsBpfTwin::Task* CfsBpfTwin::TakeOver(Queue Cpu::*which, int from, int cpu, bool idle) {
  Cpu& theirs = cpus_[from];
  Cpu& its = cpus_[cpu];
  Task* taken = First(theirs.*which);
  if (taken == nullptr || !MayRun(*taken, cpu)) return nullptr;
  if (!idle && !taken_.Contains(from) && WeightOn(its) + taken->weight >= WeightOn(theirs)) return nullptr;
  Quit(taken);
  Enter(taken, cpu, Comes::kBack, 0);
  if (idle) {
    taken->cpu = cpu;
    Advance(its, taken->vruntime);
  } else {
    Join(taken, cpu);
  }
  return taken;
}

CfsBpfTwin::Task* CfsBpfTwin::Pull(int cpu, bool idle) {
  constexpr std::pair<int64_t, int> kAll(INT64_MAX, INT32_MAX);
  std::pair<int64_t, int> below = kAll;
  if (const int from = BusiestQueue(&Cpu::free, cpu, &below); from >= 0) {
    if (Task* taken = TakeOver(&Cpu::free, from, cpu, idle); taken != nullptr) return taken;
  }
  below = kAll;
  for (int i = 0; i < kQueuesToTry; ++i) {
    const int from = BusiestQueue(&Cpu::bound, cpu, &below);
    if (from < 0) return nullptr;
    if (Task* taken = TakeOver(&Cpu::bound, from, cpu, idle); taken != nullptr) return taken;
  }
  return nullptr;
}

// ---- Pick next task ----

void CfsBpfTwin::PassOn(int cpu, BpfHelpers& helpers) {
  idle_.Remove(cpu);
  const Task* free = First(cpus_[cpu].free);
  const Task* bound = First(cpus_[cpu].bound);
  if (free != nullptr) CallIdle(*free, cpu, helpers);
  if (bound != nullptr) CallIdle(*bound, cpu, helpers);
}

CfsBpfTwin::Task* CfsBpfTwin::TakeFirst(int cpu) {
  Task* taken = FirstOf(cpus_[cpu]);
  if (taken == nullptr) return nullptr;
  Quit(taken);
  taken->cpu = cpu;
  Advance(cpus_[cpu], taken->vruntime);
  return taken;
}

void CfsBpfTwin::AskAffinity(Task* task, int cpu) {
  if (task->affinity != Affinity::kNotAsked) return;
  const std::optional<CpuSet> affinity = options_.affinity(task->gtid);
  if (!affinity.has_value()) return;
  const CpuSet allowed = *affinity & options_.cpus;
  task->affinity = allowed == options_.cpus ? Affinity::kAnywhere : Affinity::kSomeCpus;
  // It stays among 64 CPUs: this one's, if it may, or else the first that there are.
  const auto word_of = [&](int word) {
    CpuSet cpus;
    for (int each : allowed) {
      if (each / 64 == word) cpus.Add(each);
    }
    return cpus;
  };
  task->allowed = word_of(cpu / 64);
  if (task->allowed.empty() && !allowed.empty()) task->allowed = word_of(allowed.First() / 64);
}

CfsBpfTwin::Outcome CfsBpfTwin::TryToRun(Task* task, int cpu, BpfHelpers& helpers) {
  const uint32_t barrier = task->barrier;
  AskAffinity(task, cpu);
  if (!MayRun(*task, cpu)) {
    ForgetCpu(task);
    Place(task, cpu, Comes::kBack, helpers);
    return Outcome::kGoOn;
  }
  const int error = helpers.RunGtid(task->gtid, barrier, SEND_TASK_ON_CPU);
  if (error == 0) {
    ++picks_;
    Cpu& its = cpus_[cpu];
    if (task->cpu == cpu) {
      its.current = task;
      its.since_ns = options_.now_ns();
      its.kicked = false;
    }
    return Outcome::kRuns;
  }
  const bool message_comes = error == -ENOENT || error == -ESTALE || error == -EINVAL;
  ForgetCpu(task);
  if (!message_comes || task->barrier != barrier) {
    QueueUp(task, cpu, Comes::kBack, options_.now_ns(), went_idle_);
  }
  return message_comes ? Outcome::kGoOn : Outcome::kWaits;
}

void CfsBpfTwin::PickNextTask(bpf_ghost_sched* context, int cpu, BpfHelpers& helpers) {
  if (!initialized()) return;
  const bool taken = context->agent_runnable != 0 || context->might_yield != 0;
  if (taken) {
    taken_.Add(cpu);
  } else {
    taken_.Remove(cpu);
  }
  if (taken || context->next_gtid != 0) {
    return PassOn(cpu, helpers);
  }
  for (int i = 0; i < kAttempts; ++i) {
    const uint64_t joined = joined_;
    Task* task = TakeFirst(cpu);
    if (task == nullptr && idle_balancing_.Get() != 0) task = Pull(cpu, true);
    if (task == nullptr) {
      if (joined_ != joined) break;
      idle_.Add(cpu);
      ++went_idle_;
      return;
    }
    const Outcome outcome = TryToRun(task, cpu, helpers);
    if (outcome == Outcome::kRuns) return;
    if (outcome == Outcome::kWaits) break;
  }
  context->dont_idle = 1;
}

int32_t CfsBpfTwin::SelectRq(const bpf_ghost_select_rq& context) {
  const auto task_cpu = static_cast<int32_t>(context.task_cpu);
  auto found = tasks_.find(static_cast<int64_t>(context.gtid));
  if (found == tasks_.end()) return task_cpu;
  const int chosen = Choose(*found->second, task_cpu);
  return chosen < 0 ? task_cpu : chosen;
}

// ---- Messages ----

void CfsBpfTwin::Note(Task* task, uint32_t barrier, bool runnable, uint64_t runtime_ns) {
  task->barrier = barrier;
  task->runnable = runnable;
  Quit(task);
  Charge(task, runtime_ns);
  if (task->cpu >= 0 && cpus_[task->cpu].current == task) AdvanceToLeast(cpus_[task->cpu], task->vruntime);
  ForgetCpu(task);
}

void CfsBpfTwin::NoteWeight(Task* task, uint32_t barrier, uint32_t weight) {
  const int64_t now = options_.now_ns();
  task->barrier = barrier;
  if (task->cpu >= 0) {
    Cpu& its = cpus_[task->cpu];
    if (its.current == task && now > its.since_ns) {
      Charge(task, task->charged_ns + static_cast<uint64_t>(now - its.since_ns));
      its.since_ns = now;
    }
  }
  if (task->queued) cpus_[task->home].weight += int64_t{weight} - task->weight;
  task->weight = weight;
}

void CfsBpfTwin::ChangeAffinity(Task* task, uint32_t barrier, BpfHelpers& helpers) {
  Quit(task);
  task->barrier = barrier;
  task->affinity = Affinity::kNotAsked;
  if (task->runnable && task->cpu < 0) {
    Place(task, task->home, Comes::kBack, helpers);
  } else if (task->cpu >= 0) {
    KickCpu(task->cpu, true, helpers);
  }
}

void CfsBpfTwin::BecomesRunnable(Task* task, const bpf_ghost_msg& message, uint64_t runtime_ns, int cpu, Comes comes,
                                 BpfHelpers& helpers) {
  Note(task, message.seqnum, true, runtime_ns);
  Place(task, cpu, comes, helpers);
}

int32_t CfsBpfTwin::Arrive(const bpf_ghost_msg& message, int cpu, BpfHelpers& helpers) {
  const auto gtid = static_cast<int64_t>(message.newt.gtid);
  if (message.newt.sw_info.id != 0) return 0;
  std::unique_ptr<Task>& task = tasks_[gtid];
  if (task == nullptr) {
    task = std::make_unique<Task>();
    task->gtid = gtid;
    task->charged_ns = message.newt.runtime;
    task->weight = WeightOf(message.newt.nice);
  }
  const bool runnable = message.newt.runnable != 0;
  Note(task.get(), message.seqnum, runnable, message.newt.runtime);
  if (runnable) Place(task.get(), cpu, Comes::kNew, helpers);
  return 1;
}

void CfsBpfTwin::Leave(Task* task) {
  ForgetCpu(task);
  Quit(task);
  tasks_.erase(task->gtid);
}

void CfsBpfTwin::Tick(int cpu, BpfHelpers& helpers) {
  Cpu& its = cpus_[cpu];
  const int64_t now = options_.now_ns();
  if (its.current == nullptr || !initialized()) return;
  if (now >= its.balanced_ns + latency_.Get()) {
    its.balanced_ns = now;
    Pull(cpu, false);
  }
  const int64_t vruntime = VruntimeNow(its, now);
  const Task* first = FirstOf(its);
  bool over = false;
  if (first != nullptr && first->vruntime <= vruntime) {
    const int64_t weight = its.current->weight;
    const int64_t slice_ns = Slice(weight, its.weight + weight, Load(its));
    over = its.kicked || now >= its.since_ns + slice_ns;
    its.kicked = over;
  }
  AdvanceToLeast(its, vruntime);
  if (over) KickCpu(cpu, true, helpers);
}

int32_t CfsBpfTwin::SendMessage(bpf_ghost_msg* message, int cpu, BpfHelpers& helpers) {
  if (message->type == MSG_TASK_NEW) return Arrive(*message, cpu, helpers);
  if (message->type == MSG_CPU_TICK) {
    Tick(message->cpu_tick.cpu, helpers);
    return 1;
  }
  if (message->type < MSG_TASK_DEAD || message->type > MSG_TASK_LATCH_FAILURE) return 1;
  auto found = tasks_.find(static_cast<int64_t>(message->dead.gtid));
  if (found == tasks_.end()) return 0;
  Task* task = found->second.get();
  switch (message->type) {
    case MSG_TASK_WAKEUP:
      BecomesRunnable(task, *message, 0, message->wakeup.wake_up_cpu, Comes::kWoken, helpers);
      break;
    case MSG_TASK_PREEMPT:
      BecomesRunnable(task, *message, message->preempt.runtime, message->preempt.cpu, Comes::kBack, helpers);
      break;
    case MSG_TASK_YIELD:
      BecomesRunnable(task, *message, message->yield.runtime, message->yield.cpu, Comes::kYielded, helpers);
      break;
    case MSG_TASK_LATCH_FAILURE:
      BecomesRunnable(task, *message, 0, cpu, Comes::kBack, helpers);
      break;
    case MSG_TASK_BLOCKED:
    case MSG_TASK_SWITCHTO:
      Note(task, message->seqnum, false, message->blocked.runtime);
      break;
    case MSG_TASK_DEAD:
    case MSG_TASK_DEPARTED:
      Leave(task);
      break;
    case MSG_TASK_ON_CPU:
      task->barrier = message->seqnum;
      if (cpus_[message->on_cpu.cpu].current == task) cpus_[message->on_cpu.cpu].since_ns = options_.now_ns();
      break;
    case MSG_TASK_PRIORITY_CHANGED:
      NoteWeight(task, message->seqnum, WeightOf(message->priority.nice));
      break;
    case MSG_TASK_AFFINITY_CHANGED:
      ChangeAffinity(task, message->seqnum, helpers);
      break;
    default:
      task->barrier = message->seqnum;
  }
  return 1;
}

}  // namespace ghost::sim
