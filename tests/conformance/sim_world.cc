#include "tests/conformance/sim_world.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernel/usermode/core/invariant_checker.h"
#include "kernel/usermode/sim/machine.h"
#include "lib/base/cpu_set.h"
#include "tests/conformance/sim_actor.h"

namespace ghost::conformance {
namespace {

constexpr std::string_view kRoot = "/ghost/";
constexpr int kCpus = 4;
constexpr int kCpuNumbers = 64;
constexpr int64_t kPatienceNs = 20'000'000'000;
// Where threads compute while they are ordinary ones: away from the CPUs that cases give to enclaves.
const CpuSet kOrdinaryCpus{3};

class SimWorld : public World, public SimHost {
 public:
  explicit SimWorld(uint32_t abi) : abi_(abi) {
    traits_ = {.name = "sim",
               .root = std::string(kRoot.substr(0, kRoot.size() - 1)),
               .user_mode = true,
               .simulated = true,
               .num_cpus = kCpus,
               .nr_cpus = kCpuNumbers,
               .agent_cpus = kCpus};
    StartMachine();
  }

  const Traits& traits() const override { return traits_; }
  Actor& Self() override { return *self_; }
  Actor* NewProcess() override {
    Process& process = machine_->StartProcess();
    process.descriptors = self_->owner().descriptors;
    processes_.push_back(&process);
    return &Start(*actors_.emplace_back(std::make_unique<SimActor>(this, &process, process.tgid)));
  }
  // If nothing was made, the case has failed before.
  Actor* Child() override { return last_child_ != nullptr ? last_child_ : self_; }
  void Kill(Actor& actor, int signal) override {
    if (signal != 9) return;
    KillProcess(static_cast<SimActor&>(actor).owner());
  }
  bool Await(absl::FunctionRef<bool()> done) override {
    return machine_->RunUntil([&] { return done(); }, machine_->now_ns() + kPatienceNs);
  }
  int64_t NowNs() override { return machine_->now_ns(); }
  void* Scratch(size_t size) override {
    scratch_.push_back(std::make_unique<uint64_t[]>(size / sizeof(uint64_t) + 1));
    return scratch_.back().get();
  }
  std::byte* Map(int fd, size_t size, bool /*writable*/) override {
    Machine::Mapping mapping = machine_->Map(self_->caller(), fd);
    if (mapping.bytes.size() != size) return nullptr;
    mappings_.push_back(mapping);
    return mapping.bytes.data();
  }
  std::optional<FileInfo> Stat(const std::string& path) override;
  std::vector<std::string> List(const std::string& path) override {
    std::vector<std::string> names;
    machine_->List(path, &names);
    std::sort(names.begin(), names.end());
    return names;
  }
  void SetOnline(int cpu, bool online) override { machine_->SetOnline(cpu, online); }
  void SetOtherClass(int cpu, bool wants_cpu, pid_t next) override {
    machine_->core().OnOtherClass(cpu, wants_cpu, next);
  }
  std::string EndCase() override;

 private:
  Machine& machine() override { return *machine_; }
  std::optional<int64_t> Perform(SimActor& actor, const Call& call, uint64_t* request) override;
  SimActor& MakeChild(SimActor& maker, bool fork, std::unique_ptr<sim::Program>* program) override;

  // A thread in a process of the machine's, asleep.
  SimActor& MakeThread(Process& process);
  std::unique_ptr<usermode::Driver> MakeChecker(usermode::Driver* driver);
  void StartMachine();
  // The thread, one of those that the machine makes for agents, has yet to become one: it follows its program.
  SimActor& Start(SimActor& actor);
  SimActor* ActorOf(pid_t tid);
  int64_t Ioctl(SimActor& actor, const Call& call, uint64_t* request);
  int64_t Write(SimActor& actor, const Call& call);
  int64_t PerformOnThread(const Call& call, SimActor& actor);
  void Drop(Process& process, int fd);
  void KillProcess(Process& process);

  const uint32_t abi_;
  Traits traits_;
  std::string violations_;                         // of the kernel's invariants, in this case
  usermode::InvariantChecker* checker_ = nullptr;  // the machine's
  std::unique_ptr<Machine> machine_;
  std::vector<std::unique_ptr<SimActor>> actors_;
  std::vector<std::unique_ptr<Process>> forked_;
  std::vector<Process*> processes_;
  std::vector<std::unique_ptr<uint64_t[]>> scratch_;
  std::vector<Machine::Mapping> mappings_;
  SimActor* self_ = nullptr;
  SimActor* last_child_ = nullptr;
};

// ---- The world ----

std::unique_ptr<usermode::Driver> SimWorld::MakeChecker(usermode::Driver* driver) {
  auto checker = std::make_unique<usermode::InvariantChecker>(
      driver, usermode::InvariantChecker::Options{
                  .on_violation = [this](const std::string& what) { absl::StrAppend(&violations_, what, "; "); },
                  .exact_time = true});
  checker_ = checker.get();
  return checker;
}

void SimWorld::StartMachine() {
  usermode::CoreOptions limits;
  limits.nr_cpus = kCpuNumbers;
  machine_ = std::make_unique<Machine>(
      sim::MachineOptions{.num_cpus = kCpus,
                          .abi_versions = {abi_},
                          .costs = sim::CostModel::Zero(),
                          .limits = limits,
                          .wrap_driver = [this](usermode::Driver* driver) { return MakeChecker(driver); }});
  machine_->core().AddObserver(checker_);
  machine_->driver().on_kill_agent = [this](sim::Tid tid) {
    machine_->At(machine_->now_ns(), [this, tid] { KillProcess(ActorOf(tid)->owner()); });
  };
  Process& process = machine_->StartProcess();
  processes_.push_back(&process);
  last_child_ = nullptr;
  self_ = actors_.emplace_back(std::make_unique<SimActor>(this, &process, process.tgid)).get();
}

SimActor* SimWorld::ActorOf(pid_t tid) {
  for (const auto& actor : actors_) {
    if (actor->tid() == tid) return actor.get();
  }
  return nullptr;
}

SimActor& SimWorld::Start(SimActor& actor) {
  Thread& thread = *actor.thread();
  thread.scheduling_class = Thread::Class::kOrdinary;
  thread.affinity = std::make_shared<const CpuSet>(kOrdinaryCpus);
  thread.program = std::make_unique<SimActor::Program>(&actor);
  machine_->threads().Start(thread);
  Await([&] { return actor.Asleep(); });
  return actor;
}

SimActor& SimWorld::MakeThread(Process& process) {
  const pid_t tid = machine_->StartAgentThread(process).tid();
  last_child_ = &Start(*actors_.emplace_back(std::make_unique<SimActor>(this, &process, tid)));
  return *last_child_;
}

SimActor& SimWorld::MakeChild(SimActor& maker, bool fork, std::unique_ptr<sim::Program>* program) {
  // The next thread that there is.
  const auto tid = static_cast<sim::Tid>(sim::Threads::kFirstTid + machine_->threads().all().size());
  Process* process = &maker.owner();
  if (fork) {
    process = forked_.emplace_back(std::make_unique<Process>(maker.owner())).get();
    process->tgid = tid;
    processes_.push_back(process);
  }
  last_child_ = actors_.emplace_back(std::make_unique<SimActor>(this, process, tid)).get();
  *program = std::make_unique<SimActor::Program>(last_child_);
  return *last_child_;
}

std::optional<FileInfo> SimWorld::Stat(const std::string& path) {
  usermode::NodeAttr attr;
  if (machine_->Stat(path, &attr) != 0) return std::nullopt;
  const uint32_t type = attr.type == usermode::NodeType::kDirectory ? S_IFDIR : S_IFREG;
  return FileInfo{.mode = type | attr.mode, .uid = attr.uid, .gid = attr.gid, .size = attr.size};
}

void SimWorld::Drop(Process& process, int fd) {
  const auto found = process.descriptors.find(fd);
  if (found == process.descriptors.end()) return;
  const uint64_t handle = found->second.handle;
  process.descriptors.erase(found);
  if (handle == 0) return;
  // Open files are shared by descriptors that were copied.
  for (const Process* other : processes_) {
    for (const auto& [number, descriptor] : other->descriptors) {
      if (descriptor.handle == handle) return;
    }
  }
  machine_->core().Release(handle);
}

void SimWorld::KillProcess(Process& process) {
  process.exited = true;
  for (const auto& actor : actors_) {
    if (&actor->owner() != &process || actor->thread() == nullptr) continue;
    if (actor->is_agent()) {
      machine_->driver().AgentExited(actor->tid());
    } else {
      machine_->threads().Exit(*actor->thread());
    }
  }
  while (!process.descriptors.empty()) Drop(process, process.descriptors.begin()->first);
}

std::string SimWorld::EndCase() {
  std::string problem;
  for (Process* process : processes_) {
    if (process != &self_->owner()) KillProcess(*process);
  }
  std::vector<std::string> names;
  machine_->List("", &names);
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "enclave_")) machine_->WriteFile(self_->caller(), name + "/ctl", "destroy");
  }
  Await([&] {
    machine_->List("", &names);
    return std::none_of(names.begin(), names.end(), [](auto& name) { return absl::StartsWith(name, "enclave_"); });
  });
  KillProcess(self_->owner());
  machine_->List("", &names);
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "enclave_")) absl::StrAppend(&problem, name, " does not go away; ");
  }
  problem += std::exchange(violations_, "");
  if (const size_t left = machine_->driver().num_regions(); left > 0) {
    absl::StrAppend(&problem, left, " regions of memory are left; ");
  }
  actors_.clear();
  processes_.clear();
  mappings_.clear();
  StartMachine();
  forked_.clear();
  scratch_.clear();
  return problem;
}

// ---- Calls of threads that are no ghost tasks ----

std::optional<int64_t> SimWorld::Perform(SimActor& actor, const Call& call, uint64_t* request) {
  SimCaller& caller = actor.caller();
  const auto fd = static_cast<int>(call.a[0]);
  switch (call.op) {
    case Op::kOpen: {
      std::string_view path = reinterpret_cast<const char*>(call.a[0]);
      if (!path.starts_with(kRoot)) return -ENOENT;
      return machine_->Open(caller, path.substr(kRoot.size()), static_cast<int>(call.a[1]));
    }
    case Op::kClose:
      if (!actor.owner().descriptors.contains(fd)) return -EBADF;
      Drop(actor.owner(), fd);
      return 0;
    case Op::kRead: {
      std::string text;
      const int64_t result = machine_->Read(caller, fd, call.a[3], call.a[2], &text);
      if (result > 0) std::memcpy(reinterpret_cast<void*>(call.a[1]), text.data(), text.size());
      return result;
    }
    case Op::kWrite:
      return Write(actor, call);
    case Op::kIoctl: {
      const int64_t result = Ioctl(actor, call, request);
      if (*request != 0) return std::nullopt;
      return result;
    }
    case Op::kPoll:
      return machine_->Poll(caller, fd);
    case Op::kTimerfd:
      return machine_->TimerfdCreate(caller);
    case Op::kFork: {
      Actor* child = NewProcess();
      last_child_ = static_cast<SimActor*>(child);
      return child->tid();
    }
    case Op::kThread:
      MakeThread(actor.owner());
      return 0;
    case Op::kNap:
      if (!actor.is_agent()) return -ENOSYS;
      machine_->driver().AgentSleeps(actor.tid(), true);
      machine_->RunFor(static_cast<int64_t>(call.a[0]));
      machine_->driver().AgentSleeps(actor.tid(), false);
      return 0;
    default:
      return PerformOnThread(call, actor);
  }
}

int64_t SimWorld::PerformOnThread(const Call& call, SimActor& actor) {
  const pid_t tid = call.a[0] == 0 ? actor.tid() : static_cast<pid_t>(call.a[0]);
  Thread* thread = machine_->threads().Find(tid);
  if (thread == nullptr) return -ESRCH;
  switch (call.op) {
    case Op::kSetAffinity:
      machine_->SetAffinity(*thread, CpusOf(call.a[1]));
      return 0;
    case Op::kSetNice:
      machine_->threads().SetNice(*thread, static_cast<int>(call.a[1]));
      return 0;
    case Op::kSetPolicy:
      machine_->threads().Depart(*thread);
      return 0;
    case Op::kSignal:
      if (const uint64_t request = ActorOf(tid)->pending_request(); request != 0) machine_->Interrupt(request);
      return 0;
    case Op::kExec:
      return 0;
    case Op::kExit:
      if (actor.is_agent()) {
        machine_->driver().AgentExited(tid);
      } else {
        machine_->threads().Exit(*thread);
      }
      return 0;
    default:
      return -ENOSYS;
  }
}

int64_t SimWorld::Write(SimActor& actor, const Call& call) {
  const std::string_view text(reinterpret_cast<const char*>(call.a[1]), call.a[2]);
  Thread& thread = *actor.thread();
  const bool becomes = text.starts_with("become agent") && thread.scheduling_class == Thread::Class::kOrdinary;
  // The machine's agents are of a class of their own from the start.
  if (becomes && thread.gtid == 0) thread.scheduling_class = Thread::Class::kAgent;
  const int64_t result = machine_->Write(actor.caller(), static_cast<int>(call.a[0]), text);
  if (becomes && thread.gtid == 0 && result < 0) thread.scheduling_class = Thread::Class::kOrdinary;
  return result;
}

int64_t SimWorld::Ioctl(SimActor& actor, const Call& call, uint64_t* request) {
  const auto number = static_cast<unsigned long>(call.a[1]);
  std::byte byte;
  // As a kernel copies it: the argument must be there.
  const bool readable = _IOC_SIZE(number) == 0 || actor.caller().ReadMemory(call.a[2], std::span(&byte, 1));
  const Machine::IoctlResult result = machine_->Ioctl(actor.caller(), static_cast<int>(call.a[0]), number,
                                                      readable ? reinterpret_cast<void*>(call.a[2]) : nullptr);
  if (result.pending) *request = result.request;
  return result.result;
}

}  // namespace

std::unique_ptr<World> MakeSimWorld(uint32_t abi) { return std::make_unique<SimWorld>(abi); }

}  // namespace ghost::conformance
