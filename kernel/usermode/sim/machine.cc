#include "kernel/usermode/sim/machine.h"

#include <fcntl.h>
#include <linux/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/logging.h"

namespace ghost::sim {
namespace {

usermode::CoreOptions ToCoreOptions(const MachineOptions& options, const Topology& topology) {
  usermode::CoreOptions core = options.limits;
  core.num_cpus = topology.num_cpus();
  core.num_nodes = topology.highest_numa_node() + 1;
  core.abi_versions = options.abi_versions;
  return core;
}

}  // namespace

Machine::Machine(const MachineOptions& options)
    : costs_(options.costs),
      topology_(options.topology != nullptr ? options.topology
                                            : std::make_shared<const Topology>(Topology::Flat(options.num_cpus))),
      events_(options.start_ns),
      driver_(topology_.get(), &events_, &costs_) {
  usermode::Driver* driver = &driver_;
  if (options.wrap_driver) {
    wrapper_ = options.wrap_driver(&driver_);
    driver = wrapper_.get();
  }
  core_ = std::make_unique<usermode::Core>(ToCoreOptions(options, *topology_), driver);
  driver_.set_core(core_.get());
  driver_.on_answer = [this](uint64_t request, Tid tid, int result) {
    if (on_answer) {
      on_answer(request, tid, result);
    } else {
      answers_[request] = result;
    }
  };
  driver_.on_kill_agent = [this](Tid tid) { OnKillAgent(tid); };
  threads().enter = [this](const Thread& by, Tid tid, uint64_t enclave) { return EnterEnclave(by, tid, enclave); };
}

Machine::~Machine() = default;

// ---- Time ----

bool Machine::Step(int64_t limit_ns) {
  const int64_t next_ns = events_.NextTime();
  if (next_ns == EventQueue::kNever || next_ns > limit_ns) return false;
  events_.RunNext();
  return true;
}

void Machine::RunFor(int64_t ns) {
  const int64_t end_ns = now_ns() + ns;
  while (Step(end_ns)) {
  }
  events_.AdvanceTo(end_ns);
}

bool Machine::RunUntil(const std::function<bool()>& condition, int64_t deadline_ns) {
  while (!condition()) {
    if (Step(deadline_ns)) continue;
    events_.AdvanceTo(deadline_ns);
    return condition();
  }
  return true;
}

void Machine::At(int64_t when_ns, std::function<void()> call) {
  if (free_calls_.empty()) {
    free_calls_.push_back(static_cast<uint32_t>(calls_.size()));
    calls_.emplace_back();
  }
  const uint32_t index = free_calls_.back();
  free_calls_.pop_back();
  calls_[index] = std::move(call);
  events_.Schedule(when_ns, &call_, index);
}

void Machine::OnCall(uint32_t index, uint32_t) {
  const std::function<void()> call = std::exchange(calls_[index], nullptr);
  free_calls_.push_back(index);
  call();
}

// ---- Processes ----

Process& Machine::StartProcess(const ProcessOptions& options) {
  auto process = std::make_unique<Process>();
  process->uid = options.uid;
  process->gid = options.gid;
  process->cap_sys_nice = options.cap_sys_nice;
  const Thread& main = threads().Create({.uid = options.uid, .scheduling_class = Thread::Class::kAgent}, nullptr);
  process->tgid = main.tid;
  Process& result = *process;
  callers_[main.tid] = std::make_unique<SimCaller>(&result, &main, &events_);
  processes_[main.tid] = std::move(process);
  return result;
}

SimCaller& Machine::StartAgentThread(Process& process) {
  const Thread& thread =
      threads().Create({.tgid = process.tgid, .uid = process.uid, .scheduling_class = Thread::Class::kAgent}, nullptr);
  callers_[thread.tid] = std::make_unique<SimCaller>(&process, &thread, &events_);
  return *callers_[thread.tid];
}

SimCaller& Machine::CallerOf(Tid tid) { return *callers_.at(tid); }

void Machine::PinAgentThread(SimCaller& caller, int cpu) {
  threads().Find(caller.tid())->affinity = std::make_shared<const CpuSet>(CpuSet{cpu});
}

void Machine::ExitAgentThread(Tid tid) { driver_.AgentExited(tid); }

Process* Machine::FindProcess(Tid tgid) {
  const auto found = processes_.find(tgid);
  return found == processes_.end() ? nullptr : found->second.get();
}

void Machine::Kill(Process& process) {
  if (std::exchange(process.exited, true)) return;
  // The main thread, by whose end the core knows that nobody reads the queues, goes first.
  for (const auto& [tid, caller] : callers_) {
    if (&caller->process() == &process) driver_.AgentExited(tid);
  }
  while (!process.descriptors.empty()) {
    const uint64_t handle = process.descriptors.begin()->second.handle;
    process.descriptors.erase(process.descriptors.begin());
    if (handle != 0) core_->Release(handle);
  }
}

void Machine::OnKillAgent(Tid tid) {
  const Tid tgid = threads().Find(tid)->tgid;
  At(now_ns(), [this, tgid] {
    Process& process = *processes_.at(tgid);
    if (process.on_kill) {
      process.on_kill();
    } else {
      Kill(process);
    }
  });
}

// ---- Files ----

int64_t Machine::Node(std::string_view path) {
  int64_t node = usermode::Core::kRootNode;
  while (!path.empty() && node > 0) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!name.empty()) node = core_->Lookup(static_cast<uint64_t>(node), name);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return node;
}

bool Machine::MayOpen(const Process& process, const usermode::NodeAttr& attr, int flags) const {
  if (process.uid == 0) return true;
  const int shift = process.uid == attr.uid ? 6 : process.gid == attr.gid ? 3 : 0;
  const uint32_t bits = attr.mode >> shift;
  const int access = flags & O_ACCMODE;
  return (access == O_WRONLY || (bits & 4) != 0) && (access == O_RDONLY || (bits & 2) != 0);
}

int Machine::Stat(std::string_view path, usermode::NodeAttr* attr) {
  const int64_t node = Node(path);
  return node < 0 ? static_cast<int>(node) : core_->GetAttr(static_cast<uint64_t>(node), attr);
}

int Machine::List(std::string_view path, std::vector<std::string>* names) {
  names->clear();
  const int64_t node = Node(path);
  if (node < 0) return static_cast<int>(node);
  std::vector<usermode::DirEntry> entries;
  const int result = core_->ReadDir(static_cast<uint64_t>(node), &entries);
  for (const usermode::DirEntry& entry : entries) names->push_back(entry.name);
  return result;
}

int Machine::Open(SimCaller& caller, std::string_view path, int flags) {
  const int64_t node = Node(path);
  if (node < 0) return static_cast<int>(node);
  usermode::NodeAttr attr;
  if (const int result = core_->GetAttr(static_cast<uint64_t>(node), &attr); result < 0) return result;
  if (!MayOpen(caller.process(), attr, flags)) return -EACCES;
  if (attr.type == usermode::NodeType::kRegion) return caller.process().Install({.region = attr.region});
  const int64_t handle = core_->Open(static_cast<uint64_t>(node), flags, caller);
  if (handle < 0) return static_cast<int>(handle);
  return caller.process().Install({.handle = static_cast<uint64_t>(handle)});
}

namespace {

uint64_t HandleOf(SimCaller& caller, int fd) {
  const auto found = caller.process().descriptors.find(fd);
  return found == caller.process().descriptors.end() ? 0 : found->second.handle;
}

}  // namespace

int64_t Machine::Read(SimCaller& caller, int fd, uint64_t offset, size_t size, std::string* out) {
  return core_->Read(HandleOf(caller, fd), offset, size, out);
}

int64_t Machine::Write(SimCaller& caller, int fd, std::string_view text) {
  return core_->Write(HandleOf(caller, fd), text, caller);
}

int Machine::Close(SimCaller& caller, int fd) {
  const auto found = caller.process().descriptors.find(fd);
  if (found == caller.process().descriptors.end()) return -EBADF;
  const uint64_t handle = found->second.handle;
  caller.process().descriptors.erase(found);
  if (handle != 0) core_->Release(handle);
  return 0;
}

uint32_t Machine::Poll(SimCaller& caller, int fd) { return core_->Poll(HandleOf(caller, fd)); }

Machine::Mapping Machine::Map(SimCaller& caller, int fd) {
  const auto found = caller.process().descriptors.find(fd);
  if (found == caller.process().descriptors.end()) return {};
  const SimDriver::Memory memory = driver_.MemoryOf(found->second.region);
  return {.owner = memory.data, .bytes = {memory.data.get(), memory.size}};
}

int Machine::TimerfdCreate(SimCaller& caller) { return caller.process().Install({.timer = Process::Timerfd()}); }

std::string Machine::ReadFile(SimCaller& caller, std::string_view path) {
  const int fd = Open(caller, path, O_RDONLY);
  if (fd < 0) return std::to_string(fd);
  std::string text;
  const int64_t result = Read(caller, fd, 0, size_t{1} << 20, &text);
  Close(caller, fd);
  return result < 0 ? std::to_string(result) : text;
}

int64_t Machine::WriteFile(SimCaller& caller, std::string_view path, std::string_view text) {
  const int fd = Open(caller, path, O_WRONLY);
  if (fd < 0) return fd;
  const int64_t result = Write(caller, fd, text);
  Close(caller, fd);
  return result;
}

// ---- Requests ----

Machine::IoctlResult Machine::Ioctl(SimCaller& caller, int fd, unsigned long command, void* argument) {
  const uint64_t request = next_request_++;
  std::span<std::byte> bytes;
  if (argument != nullptr) bytes = {static_cast<std::byte*>(argument), _IOC_SIZE(command)};
  driver_.set_origin(driver_.AgentCpu(caller.tid()));
  const usermode::IoctlResult result =
      core_->Ioctl(HandleOf(caller, fd), static_cast<uint32_t>(command), bytes, caller, request);
  driver_.set_origin(-1);
  if (result.pending) driver_.RequestPending(request, caller.tid());
  return {.result = result.result, .pending = result.pending, .request = request};
}

std::optional<int> Machine::Answer(uint64_t request) {
  const auto found = answers_.find(request);
  if (found == answers_.end()) return std::nullopt;
  const int result = found->second;
  answers_.erase(found);
  return result;
}

int64_t Machine::EnterEnclave(const Thread& by, Tid tid, uint64_t enclave) {
  Process process{.tgid = by.tgid, .uid = by.uid, .cap_sys_nice = false, .descriptors = {}, .on_kill = nullptr};
  SimCaller caller(&process, &by, &events_);
  return WriteFile(caller, absl::StrCat("enclave_", enclave, "/tasks"), std::to_string(tid));
}

// ---- Threads ----

Thread& Machine::StartThread(std::unique_ptr<Program> program, const Threads::Options& options) {
  Thread& thread = threads().Create(options, std::move(program));
  threads().Start(thread);
  return thread;
}

void Machine::Do(Thread& puppet, Action action) {
  static_cast<Puppet&>(*puppet.program).Do(std::move(action));
  threads().Poke(puppet);
}

void Machine::SetAffinity(Thread& thread, const CpuSet& cpus) {
  threads().SetAffinity(thread, std::make_shared<const CpuSet>(cpus));
}

}  // namespace ghost::sim
