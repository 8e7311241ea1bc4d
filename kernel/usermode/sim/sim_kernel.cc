#include "kernel/usermode/sim/sim_kernel.h"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernel/usermode/core/dialect.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

// How often a process that waits for agent_online looks.
constexpr int64_t kOnlinePollNs = 20'000;

// A program that takes the CPU whose event it is for a while.
class TimedProgram final : public usermode::BpfProgram {
 public:
  TimedProgram(std::unique_ptr<usermode::BpfProgram> program, SimDriver* driver)
      : program_(std::move(program)), driver_(*driver) {}
  bool Run(usermode::BpfHook hook, std::span<std::byte> context, int cpu, usermode::BpfHelpers& helpers,
           int32_t* result) override {
    driver_.ProgramRan(cpu);
    return program_->Run(hook, context, cpu, helpers, result);
  }
  usermode::BpfView* view() override { return program_->view(); }

 private:
  const std::unique_ptr<usermode::BpfProgram> program_;
  SimDriver& driver_;
};

absl::Status Failed(int64_t result, absl::string_view what) { return ErrnoStatus(static_cast<int>(-result), what); }

}  // namespace

absl::StatusOr<std::unique_ptr<SimEnclave>> SimEnclave::Open(AgentHost* host, Hooks* hooks, const std::string& name) {
  auto enclave = std::unique_ptr<SimEnclave>(new SimEnclave(host, hooks, name));
  GHOST_ASSIGN_OR_RETURN(const std::string version, enclave->ReadFile("abi_version"));
  uint32_t number = 0;
  if (absl::SimpleAtoi(version, &number)) enclave->abi_ = FindAbi(number);
  if (enclave->abi_ == nullptr) return absl::FailedPreconditionError(absl::StrCat(name, " has ABI ", version));
  GHOST_ASSIGN_OR_RETURN(const std::string id, enclave->ReadFile("ctl"));
  if (!absl::SimpleAtoi(id, &enclave->id_)) return absl::FailedPreconditionError(absl::StrCat(name, "/ctl reads ", id));
  enclave->ctl_ = host->machine().Open(host->caller(), enclave->Path("ctl"), O_RDWR);
  if (enclave->ctl_ < 0) return Failed(enclave->ctl_, absl::StrCat("cannot open ", enclave->Path("ctl")));
  enclave->charged_.resize(static_cast<size_t>(host->machine().num_cpus()));
  return enclave;
}

SimEnclave::~SimEnclave() {
  if (!host_.dead()) host_.machine().Close(host_.caller(), ctl_);
}

std::string SimEnclave::Path(absl::string_view name) const { return absl::StrCat(name_, "/", name); }

absl::StatusOr<std::string> SimEnclave::ReadFile(absl::string_view name) {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return ErrnoStatus(ENODEV, Path(name));
  const int fd = host_.machine().Open(host_.caller(), Path(name), O_RDONLY);
  if (fd < 0) return Failed(fd, absl::StrCat("cannot open ", Path(name)));
  std::string text;
  const int64_t result = host_.machine().Read(host_.caller(), fd, 0, size_t{1} << 20, &text);
  host_.machine().Close(host_.caller(), fd);
  if (result < 0) return Failed(result, absl::StrCat("cannot read ", Path(name)));
  return text;
}

absl::Status SimEnclave::WriteFile(absl::string_view name, absl::string_view text) {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return ErrnoStatus(ENODEV, Path(name));
  const int64_t result = host_.machine().WriteFile(host_.caller(), Path(name), std::string(text));
  return result < 0 ? Failed(result, absl::StrCat("cannot write ", Path(name))) : absl::OkStatus();
}

absl::StatusOr<Region> SimEnclave::MapFile(const std::string& path, int flags, int* fd) {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return ErrnoStatus(ENODEV, path);
  *fd = host_.machine().Open(host_.caller(), path, flags);
  if (*fd < 0) return Failed(*fd, absl::StrCat("cannot open ", path));
  const Machine::Mapping mapping = host_.machine().Map(host_.caller(), *fd);
  if (mapping.bytes.empty()) return ErrnoStatus(ENODEV, absl::StrCat("cannot map ", path));
  return Region{.data = mapping.bytes.data(), .size = mapping.bytes.size(), .owner = mapping.owner};
}

absl::StatusOr<Region> SimEnclave::MapCpuData() {
  int fd = -1;
  GHOST_ASSIGN_OR_RETURN(Region region, MapFile(Path("cpu_data"), O_RDWR, &fd));
  cpu_data_ = reinterpret_cast<ghost_cpu_data*>(region.data);
  num_cpu_data_ = static_cast<int>(region.size / sizeof(ghost_cpu_data));
  return region;
}

absl::Status SimEnclave::CreateStatusWords(uint32_t region_id, int numa_node) {
  absl::Status status = WriteFile("ctl", absl::StrCat("create sw_region ", region_id, " ", numa_node));
  return ErrnoOf(status) == EEXIST ? absl::OkStatus() : status;
}

absl::StatusOr<Region> SimEnclave::MapStatusWords(uint32_t region_id) {
  int fd = -1;
  return MapFile(Path(absl::StrCat("sw_regions/sw_", region_id)), O_RDONLY, &fd);
}

absl::StatusOr<KernelQueue> SimEnclave::CreateQueue(int elems, int numa_node) {
  ghost_ioc_create_queue create = {.elems = elems, .node = numa_node, .flags = 0, .pad = 0, .mapsize = 0};
  const int result = Ioctl(GHOST_IOC_CREATE_QUEUE, &create);
  if (result < 0) return Failed(result, absl::StrCat("cannot create a queue of ", elems, " elements"));
  KernelQueue queue;
  GHOST_ASSIGN_OR_RETURN(queue.region, MapFile(Path(absl::StrCat("queue_", result)), O_RDWR, &queue.fd));
  const auto* header = reinterpret_cast<const ghost_queue_header*>(queue.region.data);
  host_.Watch(&reinterpret_cast<const ghost_ring*>(queue.region.data + header->start)->head);
  queue.owner = queue.region.owner;
  return queue;
}

absl::StatusOr<KernelTimer> SimEnclave::CreateTimer() {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return ErrnoStatus(ENODEV, "timerfd_create");
  return KernelTimer{.fd = host_.machine().TimerfdCreate(host_.caller())};
}

int64_t SimEnclave::ExtraPercent(int cpu, int other) const {
  const Topology& topology = *host_.machine().topology();
  return topology.cpu(cpu).numa_node() == topology.cpu(other).numa_node() ? 0 : host_.machine().costs().remote_percent;
}

int64_t SimEnclave::MessageCost() {
  const int cpu = host_.current_cpu();
  if (cpu < 0 || !hooks_.messages) return 0;
  const CostModel& costs = host_.machine().costs();
  const uint64_t handled = hooks_.messages(cpu);
  const auto fresh = static_cast<int64_t>(handled - std::exchange(charged_[static_cast<size_t>(cpu)], handled));
  if (fresh == 0) return 0;
  int64_t ns = costs.message_ns + (fresh - 1) * costs.message_next_ns;
  if (!hooks_.global || host_.machine().topology()->num_numa_nodes() <= 1) return ns;
  // Some of them are of threads that stopped, or were woken, on other nodes.
  int64_t reports = 0;
  for (int other = 0; other < host_.machine().num_cpus(); ++other) {
    if (ExtraPercent(cpu, other) > 0) reports += host_.machine().threads().reports(other);
  }
  const int64_t remote = std::clamp<int64_t>(reports - charged_remote_, 0, fresh);
  charged_remote_ += remote;
  return ns + ns * remote / fresh * costs.remote_percent / 100;
}

namespace {

bool IsCommit(unsigned long number) { return number == GHOST_IOC_COMMIT_TXN || number == GHOST_IOC_SYNC_GROUP_TXN; }

// Calls visit(cpu) for each CPU of a commit's mask.
template <typename Visit>
void ForEachCpu(const ghost_ioc_commit_txn& commit, Visit visit) {
  const auto* words = reinterpret_cast<const uint64_t*>(commit.mask_ptr);
  for (uint32_t i = 0; i < commit.mask_len / sizeof(uint64_t); ++i) {
    for (uint64_t word = words[i]; word != 0; word &= word - 1) {
      visit(static_cast<int>(i) * 64 + std::countr_zero(word));
    }
  }
}

}  // namespace

int64_t SimEnclave::CommitCost(const ghost_ioc_commit_txn& commit) {
  const CostModel& costs = host_.machine().costs();
  const int self = host_.current_cpu();
  int64_t ns = costs.syscall_ns + costs.pass_ns;
  int64_t next_ns = costs.commit_ns;
  bool ipi = false;
  ForEachCpu(commit, [&](int cpu) {
    if (cpu >= num_cpu_data_ || cpu_data_[cpu].txn.state != GHOST_TXN_READY) return;
    ns += next_ns * (self < 0 ? 100 : 100 + ExtraPercent(self, cpu)) / 100;
    next_ns = costs.commit_next_ns;
    ipi |= cpu != self;
  });
  if (ipi) ns += costs.ipi_send_ns;
  if (hooks_.observer != nullptr) ns += hooks_.observer->CommitDelay();
  return ns;
}

int SimEnclave::GroupSize(unsigned long number, const void* argument) const {
  if (!IsCommit(number)) return 1;
  int size = 0;
  ForEachCpu(*static_cast<const ghost_ioc_commit_txn*>(argument),
             [&](int cpu) { size += cpu < num_cpu_data_ && cpu_data_[cpu].txn.state == GHOST_TXN_READY; });
  return std::max(size, 1);
}

int64_t SimEnclave::CostOf(unsigned long number, const void* argument) {
  const CostModel& costs = host_.machine().costs();
  if (IsCommit(number)) {
    return MessageCost() + CommitCost(*static_cast<const ghost_ioc_commit_txn*>(argument));
  }
  if (number != GHOST_IOC_RUN) return costs.syscall_ns;
  const auto& run = *static_cast<const ghost_ioc_run*>(argument);
  if (run.gtid == GHOST_AGENT_GTID) return costs.syscall_ns + costs.ipi_send_ns;
  return MessageCost() + costs.syscall_ns + costs.pass_ns;
}

void SimEnclave::ReportTransactions(const ghost_ioc_commit_txn& commit) {
  const int by = host_.current_cpu();
  ForEachCpu(commit, [&](int cpu) {
    if (cpu >= num_cpu_data_) return;
    const ghost_txn& txn = cpu_data_[cpu].txn;
    hooks_.observer->OnTransaction(by, cpu, txn.gtid, txn.state, host_.machine().now_ns());
  });
}

int SimEnclave::Ioctl(unsigned long number, void* argument) {
  if (host_.dead()) return -ENODEV;
  host_.Charge(CostOf(number, argument));
  if (host_.dead()) return -ENODEV;
  host_.machine().driver().set_group(GroupSize(number, argument));
  const int result = host_.Ioctl(ctl_, number, argument);
  if (IsCommit(number) && hooks_.observer != nullptr && !host_.dead()) {
    ReportTransactions(*static_cast<const ghost_ioc_commit_txn*>(argument));
  }
  return result;
}

int SimEnclave::BecomeAgent(int cpu, int queue_fd) {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return -ENODEV;
  SimCaller& thread = host_.ReserveThread(cpu);
  const std::string command = abi_->become_agent_takes_cpu ? absl::StrCat("become agent ", cpu, " ", queue_fd)
                                                           : absl::StrCat("become agent ", queue_fd);
  const int64_t result = host_.machine().Write(thread, ctl_, command);
  return result < 0 ? static_cast<int>(result) : 0;
}

absl::Status SimEnclave::AttachProgram(usermode::BpfHook hook, std::unique_ptr<usermode::BpfProgram> program) {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return ErrnoStatus(ENODEV, Path("ctl"));
  const uint64_t handle = host_.process().descriptors.at(ctl_).handle;
  auto timed = std::make_unique<TimedProgram>(std::move(program), &host_.machine().driver());
  const int result = host_.machine().core().AttachProgram(id_, hook, std::move(timed), handle);
  return result < 0 ? Failed(result, absl::StrCat("cannot attach a program to ", name_)) : absl::OkStatus();
}

absl::Status SimEnclave::AdvertiseOnline() {
  host_.Charge(host_.machine().costs().syscall_ns);
  if (host_.dead()) return ErrnoStatus(ENODEV, Path("agent_online"));
  online_ = host_.machine().Open(host_.caller(), Path("agent_online"), O_RDWR);
  return online_ < 0 ? Failed(online_, Path("agent_online")) : absl::OkStatus();
}

void SimEnclave::WithdrawOnline() {
  if (online_ >= 0 && !host_.dead()) host_.machine().Close(host_.caller(), online_);
  online_ = -1;
}

absl::Status SimEnclave::WaitAgentOnline(bool online, absl::Duration timeout) {
  const int64_t deadline_ns = host_.machine().now_ns() + absl::ToInt64Nanoseconds(timeout);
  for (;;) {
    GHOST_ASSIGN_OR_RETURN(const std::string value, ReadFile("agent_online"));
    if (absl::StartsWith(value, "1") == online) return absl::OkStatus();
    if (host_.machine().now_ns() >= deadline_ns || !host_.in_fiber()) break;
    host_.Charge(kOnlinePollNs);
  }
  return absl::DeadlineExceededError(absl::StrCat(Path("agent_online"), " is ", online ? 0 : 1));
}

absl::StatusOr<CpuSet> SimEnclave::TaskAffinity(int64_t gtid) {
  ghostd_ioc_task_affinity ask = {.gtid = gtid, .mask = {}};
  if (const int result = Ioctl(GHOSTD_IOC_TASK_AFFINITY, &ask); result < 0) return Failed(result, "affinity");
  cpu_set_t mask;
  static_assert(sizeof(mask) == sizeof(ask.mask));
  std::memcpy(&mask, ask.mask, sizeof(mask));
  return CpuSet::FromCpuSetT(mask);
}

absl::StatusOr<int64_t> SimEnclave::TaskGtid(pid_t tid) {
  ghostd_ioc_task_affinity ask = {.gtid = -int64_t{tid}, .mask = {}};
  if (const int result = Ioctl(GHOSTD_IOC_TASK_AFFINITY, &ask); result < 0) return Failed(result, "gtid");
  return ask.gtid;
}

SimKernel::SimKernel(AgentHost* host, SimEnclave::Hooks* hooks, uint32_t abi)
    : host_(*host), hooks_(*hooks), versions_({abi}) {}

absl::StatusOr<std::vector<EnclaveInfo>> SimKernel::ListEnclaves() {
  std::vector<std::string> names;
  if (const int result = host_.machine().List("", &names); result < 0) return Failed(result, "cannot list enclaves");
  std::vector<EnclaveInfo> enclaves;
  for (const std::string& name : names) {
    EnclaveInfo info{.name = name, .directory = name};
    if (absl::StartsWith(name, "enclave_") && absl::SimpleAtoi(name.substr(8), &info.id)) enclaves.push_back(info);
  }
  return enclaves;
}

absl::StatusOr<std::unique_ptr<KernelEnclave>> SimKernel::CreateEnclave(const CpuSet& cpus) {
  Machine& machine = host_.machine();
  for (uint64_t id = 1;; ++id) {
    host_.Charge(machine.costs().syscall_ns);
    const int64_t result = machine.WriteFile(host_.caller(), "ctl", absl::StrCat("create ", id, " ", abi().number));
    if (result == -EEXIST) continue;
    if (result < 0) return Failed(result, "cannot create an enclave");
    GHOST_ASSIGN_OR_RETURN(auto enclave, SimEnclave::Open(&host_, &hooks_, absl::StrCat("enclave_", id)));
    if (absl::Status status = enclave->WriteFile("cpulist", ToCpuList(cpus)); !status.ok()) {
      enclave->WriteFile("ctl", "destroy").IgnoreError();
      return status;
    }
    enclave_ = enclave.get();
    return enclave;
  }
}

absl::StatusOr<std::unique_ptr<KernelEnclave>> SimKernel::AttachEnclave(absl::string_view directory) {
  GHOST_ASSIGN_OR_RETURN(auto enclave, SimEnclave::Open(&host_, &hooks_, std::string(directory)));
  enclave_ = enclave.get();
  return enclave;
}

}  // namespace ghost::sim
