#include "kernel/usermode/core/chaos.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernel/usermode/core/identity.h"
#include "lib/base/logging.h"

namespace ghost::usermode {
namespace {

constexpr int kCpus = 4;
constexpr int kFd = 5;

}  // namespace

std::byte* ChaosCaller::Find(uint64_t address, size_t size) const {
  if (address < kBase || address - kBase > memory_->size() || size > memory_->size() - (address - kBase)) {
    return nullptr;
  }
  return memory_->data() + (address - kBase);
}

bool ChaosCaller::ReadMemory(uint64_t address, std::span<std::byte> out) {
  const std::byte* from = Find(address, out.size());
  if (from != nullptr) std::memcpy(out.data(), from, out.size());
  return from != nullptr;
}

bool ChaosCaller::WriteMemory(uint64_t address, std::span<const std::byte> data) {
  std::byte* to = Find(address, data.size());
  if (to != nullptr) std::memcpy(to, data.data(), data.size());
  return to != nullptr;
}

CoreOptions Chaos::Options() {
  return {.num_cpus = kCpus, .abi_versions = {69, 91}, .max_enclaves = 3, .max_queues = 8, .max_tasks = 40};
}

Chaos::Chaos(Source source, bool programs)
    : source_(std::move(source)), programs_(programs), core_(Options(), &driver_), root_(1, 1, &memory_) {
  driver_.random.seed(source_(0));
}

template <typename T>
uint64_t Chaos::Place(const T& value) {
  static_assert(sizeof(value) <= sizeof(memory_));
  std::memcpy(memory_.data(), &value, sizeof(value));
  return ChaosCaller::kBase;
}

int64_t Chaos::Node(const std::string& path) {
  int64_t node = Core::kRootNode;
  for (std::string_view rest = path; !rest.empty() && node > 0;) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    node = core_.Lookup(static_cast<uint64_t>(node), name);
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
  }
  return node;
}

int64_t Chaos::Write(const std::string& path, const std::string& text, Caller& caller) {
  const int64_t node = Node(path);
  if (node < 0) return node;
  const int64_t handle = core_.Open(static_cast<uint64_t>(node), O_WRONLY, caller);
  if (handle < 0) return handle;
  const int64_t result = core_.Write(static_cast<uint64_t>(handle), text, caller);
  core_.Release(static_cast<uint64_t>(handle));
  return result;
}

template <typename Argument>
IoctlResult Chaos::Ioctl(uint64_t enclave, unsigned long command, Argument argument, Caller& caller, uint64_t request) {
  const int64_t node = Node(absl::StrCat("enclave_", enclave, "/ctl"));
  if (node < 0) return {.result = -ENOENT};
  const int64_t handle = core_.Open(static_cast<uint64_t>(node), O_RDWR, caller);
  IoctlResult result = core_.Ioctl(static_cast<uint64_t>(handle), static_cast<uint32_t>(command),
                                   std::as_writable_bytes(std::span(&argument, 1)), caller, request);
  core_.Release(static_cast<uint64_t>(handle));
  return result;
}

void Chaos::Step() {
  driver_.now_ns += Random(2'000'000);
  switch (Random(12)) {
    case 0:
      ControlFiles();
      break;
    case 1:
      BecomeAgent();
      break;
    case 2:
      QueueIoctls();
      break;
    case 3:
    case 4:
      RunAgents();
      break;
    case 5:
    case 6:
      FillTransactions();
      break;
    case 7:
      MachineEvents();
      break;
    case 8:
      Corrupt();
      break;
    default:
      ThreadEvents();
  }
  if (!reports_.empty() && OneIn(2)) Deliver();
  core_.CheckInvariants();
}

void Chaos::ControlFiles() {
  const std::string directory = absl::StrCat("enclave_", EnclaveId());
  switch (Random(8)) {
    case 0:
      Write("ctl", absl::StrCat("create ", EnclaveId(), OneIn(2) ? " 69" : " 91", OneIn(4) ? " ephemeral" : ""), root_);
      break;
    case 1:
      Write(directory + "/cpumask", absl::StrCat(absl::Hex(Random(16))), root_);
      break;
    case 2:
      Write(directory + "/ctl", "create sw_region 0 0", root_);
      if (programs_) {
        const auto hook = static_cast<BpfHook>(Random(kNumBpfHooks));
        core_.AttachProgram(EnclaveId(), hook, std::make_unique<ChaosProgram>(source_(0), &driver_));
      }
      break;
    case 3:
      if (OneIn(6)) Write(directory + "/ctl", "destroy", root_);
      break;
    case 4:
      Write(directory + "/ctl", "discover tasks", root_);
      break;
    case 5: {
      static constexpr const char* kFiles[] = {"commit_at_tick",
                                               "deliver_ticks",
                                               "wake_on_waker_cpu",
                                               "deliver_cpu_availability",
                                               "deliver_agent_runnability",
                                               "runnable_timeout"};
      Write(directory + "/" + kFiles[Random(6)], OneIn(2) ? "1" : "0", root_);
      break;
    }
    default:
      // A new thread, or one that is there.
      Write(directory + "/tasks", std::to_string(OneIn(4) ? TidBitsOf(AnyGtid()) : ++next_tid_), root_);
  }
}

void Chaos::BecomeAgent() {
  const Tid tid = ++next_tid_;
  AgentState agent{ChaosCaller(tid, OneIn(2) ? 500 : tid, &memory_), EnclaveId(), static_cast<int>(Random(kCpus))};
  agent.caller.cpu = agent.cpu;
  IoctlResult queue = Ioctl(agent.enclave, GHOST_IOC_CREATE_QUEUE,
                            ghost_ioc_create_queue{OneIn(2) ? 16 : 1024, 0, 0, 0, 0}, agent.caller);
  if (queue.result > 0) {
    NodeAttr attr;
    core_.GetAttr(static_cast<uint64_t>(Node(absl::StrCat("enclave_", agent.enclave, "/queue_", queue.result))), &attr);
    agent.caller.fds[kFd] = attr.region;
    regions_[attr.region] = {driver_.Memory(attr.region), attr.size};
    if (OneIn(2)) Ioctl(agent.enclave, GHOST_IOC_SET_DEFAULT_QUEUE, ghost_ioc_set_default_queue{kFd}, agent.caller);
  }
  const std::string ctl = absl::StrCat("enclave_", agent.enclave, "/ctl");
  const int fd = queue.result > 0 ? kFd : -1;
  if (Write(ctl, absl::StrCat("become agent ", agent.cpu, " ", fd), agent.caller) > 0 ||
      Write(ctl, absl::StrCat("become agent ", fd), agent.caller) > 0) {
    agents_.emplace(tid, agent);
  }
}

Chaos::AgentState* Chaos::AnyAgent() {
  if (agents_.empty()) return nullptr;
  return &std::next(agents_.begin(), Random(static_cast<uint32_t>(agents_.size())))->second;
}

int64_t Chaos::AnyGtid() {
  if (driver_.threads.empty() || OneIn(20)) return static_cast<int64_t>(Random(0)) << 20;
  return std::next(driver_.threads.begin(), Random(static_cast<uint32_t>(driver_.threads.size())))->first;
}

void Chaos::QueueIoctls() {
  AgentState* agent = AnyAgent();
  if (agent == nullptr) return;
  const uint64_t enclave = OneIn(4) ? EnclaveId() : agent->enclave;
  switch (Random(6)) {
    case 0: {
      ghost_agent_wakeup wakeups[2] = {{static_cast<int>(Random(kCpus)), 0}, {static_cast<int>(Random(kCpus + 1)), 0}};
      Ioctl(enclave, GHOST_IOC_CONFIG_QUEUE_WAKEUP,
            ghost_ioc_config_queue_wakeup{kFd, 0, Place(wakeups), static_cast<int>(Random(3)), 0}, agent->caller);
      break;
    }
    case 1:
      Ioctl(enclave, GHOST_IOC_ASSOC_QUEUE,
            ghost_ioc_assoc_queue{kFd, 0, {GHOST_TASK, 0, static_cast<uint64_t>(AnyGtid())}, Random(4), 0},
            agent->caller);
      break;
    case 2:
    case 3:
      Ioctl(enclave, GHOST_IOC_SW_FREE, ghost_sw_info{0, Random(200)}, agent->caller);
      break;
    case 4: {
      const itimerspec value = {{0, OneIn(2) ? 1000 : 0}, {0, static_cast<long>(Random(3)) * 1'000'000}};
      agent->caller.fds[8] = 0;
      Ioctl(enclave, GHOST_IOC_TIMERFD_SETTIME,
            ghost_ioc_timerfd_settime{8, 0, Place(value), 0, {static_cast<int>(Random(kCpus)), OneIn(4) ? 0 : 1, 7, 9}},
            agent->caller);
      break;
    }
    default:
      Ioctl(enclave, GHOST_IOC_GET_CPU_TIME, ghost_ioc_get_cpu_time{AnyGtid(), 0}, agent->caller);
  }
}

void Chaos::RunAgents() {
  AgentState* agent = AnyAgent();
  if (agent == nullptr) return;
  if (OneIn(30)) return AgentEnds(agent->caller.tid());
  const bool parked = agent->pending && !driver_.completed.contains(agent->request);
  if (parked) {
    if (OneIn(4)) core_.Interrupt(agent->request);
    return;
  }
  if (OneIn(10)) return core_.OnAgentBlocked(agent->caller.tid());
  if (OneIn(10)) return core_.OnAgentWoken(agent->caller.tid());
  agent->request = next_request_++;
  IoctlResult result;
  if (OneIn(2)) {
    const int64_t gtid = OneIn(3) ? GHOST_AGENT_GTID : GHOST_NULL_GTID;
    result = Ioctl(agent->enclave, GHOST_IOC_RUN,
                   ghost_ioc_run{gtid, BarrierOf(agent->enclave, GHOST_AGENT, static_cast<uint64_t>(agent->cpu)), 0,
                                 gtid == 0 ? agent->cpu : static_cast<int>(Random(kCpus)),
                                 gtid == 0 && OneIn(2) ? RTLA_ON_IDLE : 0},
                   agent->caller, agent->request);
  } else {
    const uint64_t mask = Random(1 << kCpus);
    result = Ioctl(agent->enclave, OneIn(3) ? GHOST_IOC_SYNC_GROUP_TXN : GHOST_IOC_COMMIT_TXN,
                   ghost_ioc_commit_txn{Place(mask), sizeof(mask), 0}, agent->caller, agent->request);
  }
  agent->pending = result.pending;
}

// The barrier that a status word shows; usually the truth.
uint32_t Chaos::BarrierOf(uint64_t enclave, uint32_t type, uint64_t arg) {
  ghost_ioc_sw_get_info get = {{type, 0, arg}, {}};
  const int64_t ctl = Node(absl::StrCat("enclave_", enclave, "/ctl"));
  const int64_t region = Node(absl::StrCat("enclave_", enclave, "/sw_regions/sw_0"));
  if (ctl < 0 || region < 0) return 0;
  const auto handle = static_cast<uint64_t>(core_.Open(static_cast<uint64_t>(ctl), O_RDWR, root_));
  const IoctlResult result = core_.Ioctl(handle, static_cast<uint32_t>(GHOST_IOC_SW_GET_INFO),
                                         std::as_writable_bytes(std::span(&get, 1)), root_, 0);
  core_.Release(handle);
  if (result.result != 0) return 0;
  NodeAttr attr;
  core_.GetAttr(static_cast<uint64_t>(region), &attr);
  std::byte* memory = driver_.Memory(attr.region) + sizeof(ghost_sw_region_header);
  return reinterpret_cast<ghost_status_word*>(memory)[get.response.index].barrier;
}

void Chaos::FillTransaction(ghost_txn& txn, uint64_t enclave, int cpu) {
  static constexpr uint16_t kRunFlags[] = {0,
                                           0,
                                           RTLA_ON_IDLE,
                                           RTLA_ON_PREEMPT,
                                           RTLA_ON_BLOCKED,
                                           RTLA_ON_YIELD,
                                           SEND_TASK_ON_CPU,
                                           ELIDE_PREEMPT,
                                           DO_NOT_PREEMPT,
                                           DEFER_LATCHED_PREEMPTION_BY_AGENT,
                                           NEED_CPU_NOT_IDLE};
  static constexpr uint8_t kCommitFlags[] = {0,
                                             COMMIT_AT_TXN_COMMIT,
                                             COMMIT_AT_TXN_COMMIT,
                                             COMMIT_AT_SCHEDULE,
                                             COMMIT_AT_TXN_COMMIT | ALLOW_TASK_ONCPU,
                                             COMMIT_AT_TXN_COMMIT | INC_AGENT_BARRIER_ON_FAILURE};
  txn.version = 0;
  txn.cpu = cpu;
  txn.gtid = OneIn(6) ? -static_cast<int64_t>(Random(4)) : AnyGtid();
  txn.agent_barrier = OneIn(8) ? Random(30) : BarrierOf(enclave, GHOST_AGENT, static_cast<uint64_t>(cpu));
  txn.task_barrier = OneIn(8) ? Random(6) : BarrierOf(enclave, GHOST_TASK, static_cast<uint64_t>(txn.gtid));
  txn.run_flags = kRunFlags[Random(11)];
  txn.commit_flags = kCommitFlags[Random(6)];
  txn.state = GHOST_TXN_READY;
}

void Chaos::FillTransactions() {
  const uint64_t enclave = EnclaveId();
  NodeAttr attr;
  const int64_t node = Node(absl::StrCat("enclave_", enclave, "/cpu_data"));
  if (node < 0) return;
  core_.GetAttr(static_cast<uint64_t>(node), &attr);
  auto* data = reinterpret_cast<ghost_cpu_data*>(driver_.Memory(attr.region));
  for (int cpu = 0; cpu < kCpus; ++cpu) {
    if (OneIn(2)) FillTransaction(data[cpu].txn, enclave, cpu);
  }
  if (!OneIn(4)) RunAgents();
}

void Chaos::Report(int64_t gtid, ChaosDriver::Life life, std::function<void()> report) {
  ChaosDriver::Thread& thread = driver_.threads[gtid];
  thread.reported = true;
  reports_.push_back([this, gtid, life, report = std::move(report)] {
    auto found = driver_.threads.find(gtid);
    if (found != driver_.threads.end() && found->second.reported) {
      if (found->second.cpu >= 0) driver_.on_cpu.erase(found->second.cpu);
      found->second = {.life = life};
    }
    report();  // also if the core has let go of it meanwhile
  });
  if (OneIn(2)) Deliver();
}

void Chaos::ThreadEvents() {
  using Life = ChaosDriver::Life;
  const int64_t gtid = AnyGtid();
  auto found = driver_.threads.find(gtid);
  if (found == driver_.threads.end() || found->second.reported) return;
  const ChaosDriver::Thread thread = found->second;
  const bool on_cpu = thread.life == Life::kRunning || thread.life == Life::kEntering;
  const uint32_t what = Random(17);
  if (what == 0) {
    core_.OnTaskAffinityChanged(gtid);
  } else if (what == 1) {
    core_.OnTaskPriorityChanged(gtid, static_cast<int>(Random(40)) - 20);
  } else if (what == 2) {
    driver_.Gone(gtid);
    core_.OnTaskExited(gtid);
  } else if (what == 3) {
    core_.OnTaskDeparted(gtid);
  } else if (what == 5 && OneIn(4)) {
    core_.OnTaskTidChanged(gtid, OneIn(2) ? TidBitsOf(AnyGtid()) : ++next_tid_);
  } else if (what == 4 && on_cpu) {
    const Tid child = ++next_tid_;
    const int64_t child_gtid = core_.OnTaskForked(gtid, child, 0, 0);
    if (child_gtid != 0) driver_.threads[child_gtid].life = Life::kHeld;
    core_.OnTaskForkTaken(child_gtid);
  } else if (thread.life == Life::kBlocked) {
    Report(gtid, Life::kHeld,
           [this, gtid, waker = static_cast<int>(Random(6)) - 1] { core_.OnTaskReady(gtid, {.waker_cpu = waker}); });
  } else if (on_cpu && (thread.preempt_asked || what % 3 == 0)) {
    Report(gtid, Life::kHeld, [this, gtid] { core_.OnTaskGated(gtid); });
  } else if (on_cpu && what % 3 == 1) {
    Report(gtid, Life::kBlocked, [this, gtid] { core_.OnTaskBlocked(gtid); });
  } else if (on_cpu) {
    Report(gtid, Life::kHeld, [this, gtid] { core_.OnTaskYielded(gtid); });
  }
}

void Chaos::Deliver() {
  auto report = std::move(reports_.front());
  reports_.pop_front();
  report();
  for (Tid tid : std::exchange(driver_.killed, {})) AgentEnds(tid);
}

void Chaos::AgentEnds(Tid tid) {
  agents_.erase(tid);
  if (OneIn(2)) driver_.ended.insert(tid);
  core_.OnAgentExited(tid);
}

void Chaos::MachineEvents() {
  switch (Random(4)) {
    case 0:
      core_.OnOtherClass(static_cast<int>(Random(kCpus)), OneIn(2), static_cast<Tid>(Random(3)));
      break;
    case 1:
      core_.OnCpuOnline(static_cast<int>(Random(kCpus)), !OneIn(4));
      break;
    case 2:
      core_.OnTimerfdExpired(static_cast<int>(Random(kCpus)), 1, 2);
      break;
    default:
      if (!driver_.timers.empty()) {
        const uint64_t id =
            std::next(driver_.timers.begin(), Random(static_cast<uint32_t>(driver_.timers.size())))->first;
        driver_.timers.erase(id);
        core_.OnTimer(id);
      }
  }
  for (Tid tid : std::exchange(driver_.killed, {})) AgentEnds(tid);
}

// Agents can write queues and transactions; root even status words.
void Chaos::Corrupt() {
  if (driver_.region_names.empty()) return;
  const uint64_t region =
      std::next(driver_.region_names.begin(), Random(static_cast<uint32_t>(driver_.region_names.size())))->first;
  std::byte* memory = driver_.Memory(region);
  const bool is_queue = driver_.region_names[region].find("queue_") != std::string::npos;
  if (is_queue && OneIn(2)) {
    auto* ring = reinterpret_cast<ghost_ring*>(memory + sizeof(ghost_queue_header));
    ring->tail = OneIn(2) ? ring->head : Random(0);
    return;
  }
  for (int i = 0; i < 16; ++i) memory[Random(4096)] = std::byte(Random(0));
}

void Chaos::WriteText(const std::string& path, const std::string& text) {
  AgentState* agent = OneIn(2) ? AnyAgent() : nullptr;
  if (agent != nullptr) {
    Write(path, text, agent->caller);
  } else {
    const Tid tid = ++next_tid_;
    AgentState newcomer{ChaosCaller(tid, tid, &memory_), EnclaveId(), static_cast<int>(Random(kCpus))};
    newcomer.caller.cpu = newcomer.cpu;
    if (!regions_.empty()) newcomer.caller.fds[kFd] = regions_.begin()->first;
    const int64_t result = Write(path, text, newcomer.caller);
    if (result > 0 && text.starts_with("become")) agents_.emplace(tid, newcomer);
  }
  core_.CheckInvariants();
}

void Chaos::RawIoctl(uint32_t command, std::span<std::byte> argument) {
  AgentState* agent = OneIn(4) ? nullptr : AnyAgent();
  if (agent != nullptr && agent->pending && !driver_.completed.contains(agent->request)) return;  // it is in the kernel
  const int64_t ctl = Node(absl::StrCat("enclave_", agent != nullptr ? agent->enclave : EnclaveId(), "/ctl"));
  if (ctl < 0) return;
  ChaosCaller& caller = agent != nullptr ? agent->caller : root_;
  const auto handle = static_cast<uint64_t>(core_.Open(static_cast<uint64_t>(ctl), O_RDWR, caller));
  const uint64_t request = next_request_++;
  const IoctlResult result = core_.Ioctl(handle, command, argument, caller, request);
  GHOST_CHECK(!result.pending || agent != nullptr) << "only an agent can wait";
  if (agent != nullptr) {
    agent->request = request;
    agent->pending = result.pending;
  }
  core_.Release(handle);
  core_.CheckInvariants();
}

void Chaos::End() {
  while (!reports_.empty()) Deliver();
  std::vector<DirEntry> entries;
  GHOST_CHECK(core_.ReadDir(Core::kRootNode, &entries) == 0);
  for (const DirEntry& entry : entries) {
    if (entry.type == NodeType::kDirectory) Write(entry.name + "/ctl", "destroy", root_);
  }
  while (!agents_.empty()) AgentEnds(agents_.begin()->first);
  core_.CheckInvariants();
  GHOST_CHECK(driver_.threads.empty()) << driver_.threads.size() << " threads are still held";
  GHOST_CHECK(driver_.region_names.empty()) << driver_.region_names.size() << " regions are still allocated";
  GHOST_CHECK(core_.num_tasks() == 0) << core_.num_tasks();
}

}  // namespace ghost::usermode
