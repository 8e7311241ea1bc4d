#include "lib/testing/mock_kernel.h"

#include <time.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/logging.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr size_t kPage = 4096;

std::shared_ptr<std::byte> ZeroedPages(size_t size) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kPage, size));
  std::memset(memory, 0, size);
  return {memory, [](std::byte* p) { std::free(p); }};
}

// A barrier goes up; whoever waits for that (BlockingEnclave) wakes.
uint32_t Increment(uint32_t& barrier) {
  std::atomic_ref<uint32_t> word(barrier);
  const uint32_t value = word.fetch_add(1, std::memory_order_acq_rel) + 1;
  word.notify_all();
  return value;
}

size_t RoundUp(size_t size) { return (size + kPage - 1) / kPage * kPage; }

Region MakeRegion(size_t size) {
  std::shared_ptr<std::byte> memory = ZeroedPages(RoundUp(size));
  return {.data = memory.get(), .size = RoundUp(size), .owner = memory};
}

}  // namespace

MockQueue::MockQueue(int elems)
    : elems_(static_cast<uint32_t>(elems)),
      size_(RoundUp(sizeof(ghost_queue_header) + sizeof(ghost_ring) + elems_ * sizeof(ghost_msg))),
      memory_(ZeroedPages(size_)) {
  auto* header = new (memory_.get()) ghost_queue_header;
  *header = {.version = GHOST_QUEUE_VERSION, .start = sizeof(ghost_queue_header), .nelems = elems_};
  ring_ = reinterpret_cast<ghost_ring*>(memory_.get() + header->start);
  slots_ = memory_.get() + header->start + sizeof(ghost_ring);
}

KernelQueue MockQueue::Handle(int fd) {
  return {.fd = fd, .region = {.data = memory_.get(), .size = size_, .owner = memory_}, .owner = nullptr};
}

bool MockQueue::Produce(std::span<const std::byte> message) {
  const uint32_t slots = static_cast<uint32_t>((message.size() + sizeof(ghost_msg) - 1) / sizeof(ghost_msg));
  uint32_t head = ring_->head;
  const uint32_t used = head - __atomic_load_n(&ring_->tail, __ATOMIC_ACQUIRE);
  const uint32_t index = head % elems_;
  const uint32_t to_end = elems_ - index;
  const uint32_t padding = slots > to_end ? to_end : 0;
  if (used + padding + slots > elems_) {
    __atomic_add_fetch(&ring_->overflow, 1, __ATOMIC_RELAXED);
    return false;
  }
  if (padding != 0) {
    // As the kernel: the length may overflow, the seqnum is whatever was there.
    const ghost_msg nop = {
        .type = MSG_NOP, .length = static_cast<uint16_t>(padding * sizeof(ghost_msg)), .seqnum = 0xdeadbeef};
    std::memcpy(slots_ + index * sizeof(ghost_msg), &nop, sizeof(nop));
    head += padding;
  }
  std::memcpy(slots_ + (head % elems_) * sizeof(ghost_msg), message.data(), message.size());
  __atomic_store_n(&ring_->head, head + slots, __ATOMIC_RELEASE);
  return true;
}

MockEnclave::MockEnclave(int num_cpus, const CpuSet& cpus, const AbiVersion* abi, uint32_t capacity)
    : abi_(abi),
      num_cpus_(num_cpus),
      cpus_(cpus),
      capacity_(capacity),
      cpu_data_(MakeRegion(num_cpus * sizeof(ghost_cpu_data))),
      words_(MakeRegion(sizeof(ghost_sw_region_header) + capacity_ * sizeof(ghost_status_word))) {
  auto* header = reinterpret_cast<ghost_sw_region_header*>(words_.data);
  header->start = sizeof(ghost_sw_region_header);
  header->capacity = capacity_;
  header->available = capacity_;
  for (int cpu : cpus) {
    txn(cpu).cpu = cpu;
    txn(cpu).state = GHOST_TXN_COMPLETE;
    txn(cpu).sync_group_owner = GHOST_TXN_NO_OWNER;
  }
  files_["cpulist"] = ToCpuList(cpus) + "\n";
  files_["abi_version"] = absl::StrCat(abi->number, "\n");
}

ghost_status_word* MockEnclave::words() {
  return reinterpret_cast<ghost_status_word*>(words_.data + sizeof(ghost_sw_region_header));
}

uint32_t MockEnclave::AllocateWord(int64_t gtid, uint32_t flags) {
  for (uint32_t i = 0; i < capacity_; ++i) {
    const uint32_t index = next_word_;
    next_word_ = (next_word_ + 1) % capacity_;
    ghost_status_word& word = words()[index];
    if (word.flags != 0) continue;
    // Not the flags: others look at those of free words, too.
    word.barrier = 0;
    word.switch_time = 0;
    word.runtime = 0;
    word.gtid = static_cast<uint64_t>(gtid);
    __atomic_store_n(&word.flags, flags | GHOST_SW_F_ALLOCATED | GHOST_SW_F_INUSE, __ATOMIC_RELEASE);
    return index;
  }
  GHOST_CHECK(false) << "out of status words";
  return 0;
}

void MockEnclave::AddTask(int64_t gtid, bool runnable) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_[gtid] = {.word = AllocateWord(gtid, runnable ? GHOST_SW_TASK_RUNNABLE : 0),
                  .queue = default_queue_,
                  .affinity = CpuSet::FirstN(num_cpus_)};
}

bool MockEnclave::PostNew(int64_t gtid, bool runnable, int nice) {
  if (!HasTask(gtid)) AddTask(gtid, runnable);
  uint32_t word;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    word = tasks_.at(gtid).word;
  }
  return Post(TaskNew{.gtid = gtid, .runnable = runnable, .nice = nice, .sw_info = {.id = 0, .index = word}});
}

void MockEnclave::PostDead(int64_t gtid) {
  SetFlag(gtid, GHOST_SW_F_CANFREE, true);
  Post(TaskDead{.gtid = gtid, .cpu = std::nullopt});
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.erase(gtid);
}

void MockEnclave::RemoveAgent(int cpu) {
  std::lock_guard<std::mutex> lock(mutex_);
  __atomic_or_fetch(&words()[agents_.at(cpu).word].flags, GHOST_SW_F_CANFREE, __ATOMIC_RELEASE);
  agents_.erase(cpu);
}

void MockEnclave::BumpBarrier(int64_t gtid) { __atomic_add_fetch(&task_word(gtid).barrier, 1, __ATOMIC_RELEASE); }

void MockEnclave::SetFlag(int64_t gtid, uint32_t flag, bool on) {
  uint32_t& flags = task_word(gtid).flags;
  __atomic_store_n(&flags, on ? flags | flag : flags & ~flag, __ATOMIC_RELEASE);
}

void MockEnclave::SetAgentFlag(int cpu, uint32_t flag, bool on) {
  uint32_t& flags = agent_word(cpu).flags;
  __atomic_store_n(&flags, on ? flags | flag : flags & ~flag, __ATOMIC_RELEASE);
}

void MockEnclave::SetBoost(int cpu, bool on) { SetAgentFlag(cpu, GHOST_SW_BOOST_PRIO, on); }
void MockEnclave::SetAvailable(int cpu, bool on) { SetAgentFlag(cpu, GHOST_SW_CPU_AVAIL, on); }

void MockEnclave::CommitLater(int cpu) {
  std::lock_guard<std::mutex> lock(mutex_);
  GHOST_CHECK(txn(cpu).state == GHOST_TXN_READY) << "cpu " << cpu;
  __atomic_store_n(&txn(cpu).state, CommitOne(cpu), __ATOMIC_RELEASE);
}

void MockEnclave::SetAffinity(int64_t gtid, const CpuSet& cpus) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.at(gtid).affinity = cpus;
}

ghost_status_word& MockEnclave::task_word(int64_t gtid) {
  std::lock_guard<std::mutex> lock(mutex_);
  return words()[tasks_.at(gtid).word];
}

ghost_status_word& MockEnclave::agent_word(int cpu) {
  std::lock_guard<std::mutex> lock(mutex_);
  return words()[agents_.at(cpu).word];
}

int MockEnclave::queue_of_task(int64_t gtid) {
  std::lock_guard<std::mutex> lock(mutex_);
  return tasks_.at(gtid).queue;
}

int MockEnclave::queue_of_agent(int cpu) {
  std::lock_guard<std::mutex> lock(mutex_);
  return agents_.at(cpu).queue;
}

bool MockEnclave::HasTask(int64_t gtid) {
  std::lock_guard<std::mutex> lock(mutex_);
  return tasks_.count(gtid) != 0;
}

void MockEnclave::ApplyFlags(ghost_status_word& word, const Payload& payload) {
  uint32_t flags = word.flags;
  if (std::holds_alternative<TaskBlocked>(payload)) flags &= ~(GHOST_SW_TASK_RUNNABLE | GHOST_SW_TASK_ONCPU);
  if (std::holds_alternative<TaskWakeup>(payload)) flags |= GHOST_SW_TASK_RUNNABLE;
  if (std::holds_alternative<TaskPreempt>(payload) || std::holds_alternative<TaskYield>(payload)) {
    flags &= ~GHOST_SW_TASK_ONCPU;
  }
  __atomic_store_n(&word.flags, flags, __ATOMIC_RELEASE);
}

void MockEnclave::WakeAgentOf(int queue) {
  const auto target = wakeups_.find(queue);
  if (target == wakeups_.end()) return;
  if (auto agent = agents_.find(target->second); agent != agents_.end()) {
    Increment(words()[agent->second.word].barrier);
  }
}

bool MockEnclave::Post(const Payload& payload) {
  std::lock_guard<std::mutex> lock(mutex_);
  return PostLocked(payload);
}

bool MockEnclave::PostLocked(const Payload& payload) {
  Message message = MakeMessage(0, payload);
  int queue;
  if (const int64_t gtid = GtidOf(message); gtid != 0) {
    TaskState& task = tasks_.at(gtid);
    ghost_status_word& word = words()[task.word];
    ApplyFlags(word, payload);
    message.seqnum = Increment(word.barrier);
    task.new_sent |= std::holds_alternative<TaskNew>(payload);
    queue = task.queue;
  } else {
    const AgentState& agent = agents_.at(CpuOf(message));
    message.seqnum = Increment(words()[agent.word].barrier);
    queue = agent.queue;
  }
  std::array<std::byte, kMaxMessageBytes> bytes;
  const size_t length = EncodeMessage(*abi_, message, bytes);
  const bool fits = queues_.at(queue)->Produce({bytes.data(), length});
  WakeAgentOf(queue);
  return fits;
}

absl::StatusOr<std::string> MockEnclave::ReadFile(absl::string_view name) {
  const auto file = files_.find(std::string(name));
  if (file == files_.end()) return ErrnoStatus(ENOENT, absl::StrCat("cannot open ", name));
  return file->second;
}

absl::Status MockEnclave::WriteFile(absl::string_view name, absl::string_view text) {
  files_[std::string(name)] = std::string(text);
  return absl::OkStatus();
}

absl::StatusOr<Region> MockEnclave::MapCpuData() { return cpu_data_; }
absl::Status MockEnclave::CreateStatusWords(uint32_t, int) { return absl::OkStatus(); }
absl::StatusOr<Region> MockEnclave::MapStatusWords(uint32_t) { return words_; }

absl::StatusOr<KernelQueue> MockEnclave::CreateQueue(int elems, int) {
  std::lock_guard<std::mutex> lock(mutex_);
  const int fd = next_fd_++;
  queues_[fd] = std::make_unique<MockQueue>(elems);
  return queues_[fd]->Handle(fd);
}

absl::StatusOr<KernelTimer> MockEnclave::CreateTimer() {
  std::lock_guard<std::mutex> lock(mutex_);
  return KernelTimer{.fd = next_fd_++};
}

int MockEnclave::Ioctl(unsigned long number, void* argument) {
  if (on_ioctl) {
    if (std::optional<int> answer = on_ioctl(number, argument); answer.has_value()) return *answer;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  return DoIoctl(number, argument);
}

int MockEnclave::DoIoctl(unsigned long number, void* argument) {
  switch (number) {
    case GHOST_IOC_COMMIT_TXN:
      ++calls_.commits;
      return Commit(*static_cast<ghost_ioc_commit_txn*>(argument), false);
    case GHOST_IOC_SYNC_GROUP_TXN:
      ++calls_.sync_commits;
      return Commit(*static_cast<ghost_ioc_commit_txn*>(argument), true);
    case GHOST_IOC_RUN:
      return Run(*static_cast<ghost_ioc_run*>(argument));
    case GHOST_IOC_ASSOC_QUEUE:
      ++calls_.associates;
      return Associate(*static_cast<ghost_ioc_assoc_queue*>(argument));
    case GHOST_IOC_SW_FREE:
      ++calls_.frees;
      return FreeWord(*static_cast<ghost_sw_info*>(argument));
    case GHOST_IOC_SW_GET_INFO:
      ++calls_.others;
      return GetInfo(*static_cast<ghost_ioc_sw_get_info*>(argument));
    case GHOST_IOC_SET_DEFAULT_QUEUE:
      ++calls_.others;
      default_queue_ = static_cast<ghost_ioc_set_default_queue*>(argument)->fd;
      return 0;
    case GHOST_IOC_CONFIG_QUEUE_WAKEUP: {
      ++calls_.others;
      const auto& config = *static_cast<ghost_ioc_config_queue_wakeup*>(argument);
      wakeups_.erase(config.qfd);
      if (config.ninfo > 0) wakeups_[config.qfd] = reinterpret_cast<const ghost_agent_wakeup*>(config.w)[0].cpu;
      return 0;
    }
    case GHOST_IOC_TIMERFD_SETTIME: {
      ++calls_.others;
      const auto& settime = *static_cast<ghost_ioc_timerfd_settime*>(argument);
      const auto& value = reinterpret_cast<const itimerspec*>(settime.in_tmr)->it_value;
      timer_ = {.cpu = settime.timerfd_ghost.cpu, .when_ns = value.tv_sec * 1'000'000'000 + value.tv_nsec};
      return 0;
    }
    default:
      ++calls_.others;
      return -ENOTTY;
  }
}

int32_t MockEnclave::CommitOne(int cpu) {
  const ghost_txn& t = txn(cpu);
  if (on_commit) {
    if (std::optional<int32_t> state = on_commit(cpu, t); state.has_value()) return *state;
  }
  if (t.gtid > 0) {
    const auto task = tasks_.find(t.gtid);
    if (task == tasks_.end()) return GHOST_TXN_TARGET_NOT_FOUND;
    ghost_status_word& word = words()[task->second.word];
    if (word.barrier != t.task_barrier) return GHOST_TXN_TARGET_STALE;
    if ((word.flags & GHOST_SW_TASK_RUNNABLE) == 0) return GHOST_TXN_TARGET_NOT_RUNNABLE;
    if ((word.flags & GHOST_SW_TASK_ONCPU) != 0) return GHOST_TXN_TARGET_ONCPU;
  }
  const auto agent = agents_.find(cpu);
  if (agent == agents_.end()) return GHOST_TXN_NO_AGENT;
  if (t.gtid > 0) {
    if (!remote_commits && words()[agent->second.word].barrier != t.agent_barrier) return GHOST_TXN_AGENT_STALE;
    ghost_status_word& word = words()[tasks_.at(t.gtid).word];
    __atomic_store_n(&word.flags, word.flags | GHOST_SW_TASK_ONCPU, __ATOMIC_RELEASE);
  }
  return GHOST_TXN_COMPLETE;
}

int MockEnclave::Commit(const ghost_ioc_commit_txn& argument, bool sync) {
  CpuSet cpus = CpuSet::FromCpuSetT(*reinterpret_cast<const cpu_set_t*>(argument.mask_ptr));
  cpus &= cpus_;
  bool failed = false;
  for (int cpu : cpus) {
    if (txn(cpu).state != GHOST_TXN_READY) continue;
    if (remote_commits && (txn(cpu).commit_flags & COMMIT_AT_TXN_COMMIT) == 0) continue;
    const int32_t state = sync && failed ? int32_t{GHOST_TXN_POISONED} : CommitOne(cpu);
    failed |= state != GHOST_TXN_COMPLETE;
    __atomic_store_n(&txn(cpu).state, state, __ATOMIC_RELEASE);
  }
  if (!sync) return 0;
  for (int cpu : cpus) {
    if (!failed) txn(cpu).sync_group_owner = GHOST_TXN_NO_OWNER;
    if (failed && txn(cpu).state == GHOST_TXN_COMPLETE) txn(cpu).state = GHOST_TXN_POISONED;
  }
  return failed ? 0 : 1;
}

int MockEnclave::Run(const ghost_ioc_run& argument) {
  const auto agent = agents_.find(argument.run_cpu);
  if (agent == agents_.end()) return -EINVAL;
  ghost_status_word& word = words()[agent->second.word];
  if (argument.gtid == GHOST_AGENT_GTID) {
    ++calls_.pings;
    pinged_.push_back(argument.run_cpu);
    // The mock sees no thread end. Agents that are woken after their process went offline are those that are told to.
    if (!online_) __atomic_or_fetch(&word.flags, GHOST_SW_F_CANFREE, __ATOMIC_RELEASE);
    Increment(word.barrier);
    return 0;
  }
  ++calls_.yields;
  last_yield_flags_ = argument.run_flags;
  return word.barrier == argument.agent_barrier ? 0 : -ESTALE;
}

int MockEnclave::Associate(const ghost_ioc_assoc_queue& argument) {
  const auto task = tasks_.find(static_cast<int64_t>(argument.src.arg));
  if (task == tasks_.end()) return -ENOENT;
  if (queues_.count(argument.fd) == 0) return -EBADF;
  if (words()[task->second.word].barrier != argument.barrier) return -ESTALE;
  int bits = task->second.queue == argument.fd ? GHOST_ASSOC_SF_ALREADY : 0;
  if (!task->second.new_sent) bits |= GHOST_ASSOC_SF_BRAND_NEW;
  task->second.queue = argument.fd;
  return bits;
}

int MockEnclave::GetInfo(ghost_ioc_sw_get_info& argument) {
  if (argument.request.type == GHOST_AGENT) {
    const auto agent = agents_.find(static_cast<int>(argument.request.arg));
    if (agent == agents_.end()) return -EINVAL;
    argument.response = {.id = 0, .index = agent->second.word};
    return 0;
  }
  const auto task = tasks_.find(static_cast<int64_t>(argument.request.arg));
  if (task == tasks_.end()) return -ENOENT;
  argument.response = {.id = 0, .index = task->second.word};
  return 0;
}

int MockEnclave::FreeWord(const ghost_sw_info& info) {
  if (info.id != 0 || info.index >= capacity_) return -ENOENT;
  ghost_status_word& word = words()[info.index];
  if ((word.flags & GHOST_SW_F_CANFREE) == 0) return -EINVAL;
  word = {};
  return 0;
}

int MockEnclave::BecomeAgent(int cpu, int queue_fd) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!cpus_.Contains(cpu)) return -ENODEV;
  if (agents_.count(cpu) != 0) return -EBUSY;
  const uint32_t word = AllocateWord(GHOST_AGENT_GTID, GHOST_SW_TASK_IS_AGENT | GHOST_SW_TASK_RUNNABLE);
  agents_[cpu] = {.word = word, .queue = queue_fd < 0 ? default_queue_ : queue_fd};
  return 0;
}

absl::Status MockEnclave::AdvertiseOnline() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (online_) return ErrnoStatus(EBUSY, "agent_online");
  online_ = true;
  return absl::OkStatus();
}

void MockEnclave::WithdrawOnline() {
  std::lock_guard<std::mutex> lock(mutex_);
  online_ = false;
}

absl::Status MockEnclave::WaitAgentOnline(bool online, absl::Duration) {
  std::lock_guard<std::mutex> lock(mutex_);
  return online == online_ ? absl::OkStatus() : absl::DeadlineExceededError("agent_online");
}

absl::StatusOr<CpuSet> MockEnclave::TaskAffinity(int64_t gtid) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto task = tasks_.find(gtid);
  if (task == tasks_.end()) return ErrnoStatus(ESRCH, "affinity");
  return task->second.affinity;
}

absl::StatusOr<int64_t> MockEnclave::TaskGtid(pid_t tid) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [gtid, state] : tasks_) {
    if (gtid >> 41 == tid) return gtid;
  }
  return ErrnoStatus(ESRCH, "gtid");
}

MockKernel::MockKernel(int num_cpus, uint32_t abi) : num_cpus_(num_cpus), versions_({abi}) {}

absl::StatusOr<std::vector<EnclaveInfo>> MockKernel::ListEnclaves() { return std::vector<EnclaveInfo>(); }

absl::StatusOr<std::unique_ptr<KernelEnclave>> MockKernel::CreateEnclave(const CpuSet& cpus) {
  std::unique_ptr<MockEnclave> enclave = MakeEnclave(num_cpus_, cpus);
  enclave_ = enclave.get();
  return enclave;
}

std::unique_ptr<MockEnclave> MockKernel::MakeEnclave(int num_cpus, const CpuSet& cpus) {
  return std::make_unique<MockEnclave>(num_cpus, cpus, &abi());
}

absl::StatusOr<std::unique_ptr<KernelEnclave>> MockKernel::AttachEnclave(absl::string_view directory) {
  return ErrnoStatus(ENOENT, absl::StrCat("no enclave ", directory));
}

}  // namespace ghost
