#include "kernel/usermode/core/core_harness.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <variant>

#include "absl/strings/str_cat.h"
#include "kernel/usermode/core/dialect.h"
#include "kernel/usermode/core/identity.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

int64_t Harness::Node(std::string_view path) {
  int64_t node = Core::kRootNode;
  while (!path.empty() && node > 0) {
    const std::string_view name = path.substr(0, path.find('/'));
    node = core.Lookup(static_cast<uint64_t>(node), name);
    path.remove_prefix(std::min(name.size() + 1, path.size()));
  }
  return node;
}

int64_t Harness::Open(std::string_view path, int flags) {
  const int64_t node = Node(path);
  return node < 0 ? node : core.Open(static_cast<uint64_t>(node), flags, root);
}

std::string Harness::Read(std::string_view path) {
  const int64_t handle = Open(path, O_RDONLY);
  if (handle < 0) return std::to_string(handle);
  std::string text;
  const int64_t result = core.Read(static_cast<uint64_t>(handle), 0, 1 << 20, &text);
  core.Release(static_cast<uint64_t>(handle));
  return result < 0 ? std::to_string(result) : text;
}

int64_t Harness::Write(std::string_view path, std::string_view text, Caller* caller) {
  const int64_t handle = Open(path, O_WRONLY);
  if (handle < 0) return handle;
  const int64_t result = core.Write(static_cast<uint64_t>(handle), text, caller == nullptr ? root : *caller);
  core.Release(static_cast<uint64_t>(handle));
  return result;
}

std::vector<std::string> Harness::List(std::string_view path) {
  std::vector<DirEntry> entries;
  GHOST_CHECK(core.ReadDir(static_cast<uint64_t>(Node(path)), &entries) == 0) << std::string(path);
  std::vector<std::string> names;
  for (const DirEntry& entry : entries) names.push_back(entry.name);
  return names;
}

void Harness::MakeEnclave(uint64_t id, std::string_view cpus, uint32_t abi) {
  GHOST_CHECK(Write("ctl", absl::StrCat("create ", id, " ", abi, "\n")) > 0);
  const std::string directory = absl::StrCat("enclave_", id);
  GHOST_CHECK(Write(directory + "/cpulist", std::string(cpus) + "\n") > 0) << std::string(cpus);
  GHOST_CHECK(Write(directory + "/ctl", "create sw_region 0 0") > 0);
}

int64_t Harness::IoctlBytes(uint64_t enclave, unsigned long command, std::span<std::byte> argument, Caller& caller,
                            uint64_t request, bool* pending) {
  const int64_t handle = Open(absl::StrCat("enclave_", enclave, "/ctl"), O_RDWR);
  if (handle < 0) return handle;
  const IoctlResult result =
      core.Ioctl(static_cast<uint64_t>(handle), static_cast<uint32_t>(command), argument, caller, request);
  core.Release(static_cast<uint64_t>(handle));
  if (pending != nullptr) *pending = result.pending;
  return result.result;
}

int64_t Harness::Enter(uint64_t enclave, Tid tid) {
  const int64_t result = Write(absl::StrCat("enclave_", enclave, "/tasks"), std::to_string(tid));
  if (result < 0) return result;
  const int64_t gtid = GtidOf(tid, enclave);
  core.OnTaskGated(gtid);
  return gtid;
}

int64_t Harness::GtidOf(Tid tid, uint64_t enclave) {
  ghostd_ioc_task_affinity ask = {.gtid = -tid, .mask = {}};
  const int64_t result = Ioctl(enclave, GHOSTD_IOC_TASK_AFFINITY, &ask, root);
  return result < 0 ? result : ask.gtid;
}

ghost_txn* Harness::Txn(uint64_t enclave, int cpu) {
  NodeAttr attr;
  GHOST_CHECK(core.GetAttr(static_cast<uint64_t>(Node(absl::StrCat("enclave_", enclave, "/cpu_data"))), &attr) == 0);
  return &reinterpret_cast<ghost_cpu_data*>(driver.Memory(attr.region))[cpu].txn;
}

ghost_status_word* Harness::Word(uint64_t enclave, const ghost_sw_info& info) {
  NodeAttr attr;
  const std::string path = absl::StrCat("enclave_", enclave, "/sw_regions/sw_", info.id);
  GHOST_CHECK(core.GetAttr(static_cast<uint64_t>(Node(path)), &attr) == 0) << path;
  std::byte* memory = driver.Memory(attr.region);
  return &reinterpret_cast<ghost_status_word*>(memory + sizeof(ghost_sw_region_header))[info.index];
}

namespace {

// What follows "NAME tid seq=n".
struct Fields {
  std::string operator()(const TaskNew& m) { return absl::StrCat(" runnable=", m.runnable); }
  std::string operator()(const TaskWakeup& m) {
    return absl::StrCat(" deferrable=", m.deferrable, " last=", m.last_ran_cpu, " wake=", m.wake_up_cpu,
                        " waker=", m.waker_cpu);
  }
  std::string operator()(const TaskBlocked& m) { return OffCpu(m); }
  std::string operator()(const TaskYield& m) { return OffCpu(m); }
  std::string operator()(const TaskPreempt& m) { return OffCpu(m) + (m.was_latched ? " latched" : ""); }
  std::string operator()(const TaskDeparted& m) { return absl::StrCat(OffCpu(m), " was_current=", m.was_current); }
  std::string operator()(const TaskOnCpu& m) { return OffCpu(m) + (m.latched_preempt ? " lost" : ""); }
  std::string operator()(const TaskPriorityChanged& m) { return absl::StrCat(" nice=", m.nice); }
  std::string operator()(const TaskLatchFailure& m) { return absl::StrCat(" errno=", m.error); }
  std::string operator()(const CpuTick& m) { return absl::StrCat(" agent=", m.is_agent); }
  std::string operator()(const CpuTimerExpired& m) { return absl::StrCat(" type=", m.type, " cookie=", m.cookie); }
  std::string operator()(const CpuNotIdle& m) { return absl::StrCat(" next=", m.next_gtid); }
  template <typename Other>
  std::string operator()(const Other&) {
    return "";
  }

  template <typename M>
  static std::string OffCpu(const M& m) {
    return absl::StrCat(" cpu=", m.cpu, " cpu_seq=", m.cpu_seqnum);
  }
};

}  // namespace

std::string Brief(const Message& message) {
  std::string name = MessageTypeName(message.type);
  const bool of_task = name.starts_with("TASK_");
  if (of_task) name = name.substr(5);
  const int source = of_task ? TidBitsOf(ghost::GtidOf(message)) : CpuOf(message);
  return absl::StrCat(name, " ", source, " seq=", message.seqnum, std::visit(Fields(), message.payload));
}

TestQueue::TestQueue(Harness* harness, uint64_t enclave, FakeCaller* caller, int fd, int elems)
    : elems_(static_cast<uint32_t>(elems)) {
  ghost_ioc_create_queue create = {.elems = elems, .node = 0, .flags = 0, .pad = 0, .mapsize = 0};
  id_ = static_cast<int>(harness->Ioctl(enclave, GHOST_IOC_CREATE_QUEUE, &create, *caller));
  GHOST_CHECK(id_ > 0) << id_;
  NodeAttr attr;
  const std::string path = absl::StrCat("enclave_", enclave, "/queue_", id_);
  GHOST_CHECK(harness->core.GetAttr(static_cast<uint64_t>(harness->Node(path)), &attr) == 0) << path;
  GHOST_CHECK(attr.size == create.mapsize && attr.type == NodeType::kRegion);
  region_ = attr.region;
  caller->fds[fd] = region_;
  memory_ = harness->driver.Memory(region_);
  ring_ = reinterpret_cast<ghost_ring*>(memory_ + reinterpret_cast<ghost_queue_header*>(memory_)->start);
}

std::vector<Message> TestQueue::Take(uint32_t abi) {
  std::vector<Message> messages;
  while (ring_->tail != ring_->head) {
    const uint32_t index = ring_->tail % elems_;
    const std::byte* slot = reinterpret_cast<std::byte*>(ring_) + sizeof(ghost_ring) + index * size_t{8};
    ghost_msg header;
    std::memcpy(&header, slot, sizeof(header));
    if (header.type == MSG_NOP) {
      ring_->tail += elems_ - index;
      continue;
    }
    Message message;
    const DecodeError error = DecodeMessage(*FindAbi(abi), {slot, (elems_ - index) * size_t{8}}, &message);
    GHOST_CHECK(error == DecodeError::kOk) << DecodeErrorName(error);
    messages.push_back(message);
    ring_->tail += (header.length + 7u) / 8u;
  }
  return messages;
}

TestAgent::TestAgent(Harness* harness, uint64_t enclave, int cpu, Tid tid, uint32_t abi, Tid tgid)
    : caller(tid, tgid == 0 ? tid : tgid),
      queue(harness, enclave, &caller, kQueueFd),
      harness_(harness),
      enclave_(enclave),
      cpu_(cpu),
      abi_(abi) {
  ghost_ioc_set_default_queue set = {.fd = kQueueFd};
  if (queue.id() == 1) GHOST_CHECK(harness->Ioctl(enclave, GHOST_IOC_SET_DEFAULT_QUEUE, &set, caller) == 0);
  caller.cpu = cpu;
  const std::string command = FindAbi(abi)->become_agent_takes_cpu ? absl::StrCat("become agent ", cpu, " ", kQueueFd)
                                                                   : absl::StrCat("become agent ", kQueueFd);
  const int64_t result = harness->Write(absl::StrCat("enclave_", enclave, "/ctl"), command, &caller);
  GHOST_CHECK(result > 0) << result;
  ghost_agent_wakeup wakeup = {.cpu = cpu, .prio = 0};
  ghost_ioc_config_queue_wakeup config = {
      .qfd = kQueueFd, .pad = 0, .w = reinterpret_cast<uint64_t>(&wakeup), .ninfo = 1, .flags = 0};
  GHOST_CHECK(harness->Ioctl(enclave, GHOST_IOC_CONFIG_QUEUE_WAKEUP, &config, caller) == 0);
  ghost_ioc_sw_get_info get = {.request = {.type = GHOST_AGENT, .pad = 0, .arg = static_cast<uint64_t>(cpu)},
                               .response = {}};
  GHOST_CHECK(harness->Ioctl(enclave, GHOST_IOC_SW_GET_INFO, &get, caller) == 0);
  word_ = harness->Word(enclave, get.response);
}

std::vector<std::string> TestAgent::Drain() {
  std::vector<std::string> lines;
  for (const Message& message : Take()) lines.push_back(Brief(message));
  return lines;
}

uint32_t TestAgent::barrier() const { return word_->barrier; }
uint32_t TestAgent::flags() const { return word_->flags; }

ghost_txn* TestAgent::Prepare(int cpu, int64_t gtid, uint8_t commit_flags, uint16_t run_flags) {
  ghost_txn* txn = harness_->Txn(enclave_, cpu);
  txn->version = 0;
  txn->cpu = cpu;
  txn->agent_barrier = barrier();
  txn->task_barrier = 0;
  txn->gtid = gtid;
  txn->run_flags = run_flags;
  txn->commit_flags = commit_flags;
  if (gtid > 0) {
    ghost_ioc_sw_get_info get = {.request = {.type = GHOST_TASK, .pad = 0, .arg = static_cast<uint64_t>(gtid)},
                                 .response = {}};
    if (harness_->Ioctl(enclave_, GHOST_IOC_SW_GET_INFO, &get, caller) == 0) {
      txn->task_barrier = harness_->Word(enclave_, get.response)->barrier;
    }
  }
  txn->state = GHOST_TXN_READY;
  return txn;
}

int64_t TestAgent::Commit(const CpuSet& cpus, bool group) {
  const cpu_set_t mask = cpus.ToCpuSetT();
  ghost_ioc_commit_txn commit = {.mask_ptr = reinterpret_cast<uint64_t>(&mask), .mask_len = sizeof(mask), .flags = 0};
  request_ = harness_->next_request++;
  return harness_->Ioctl(enclave_, group ? GHOST_IOC_SYNC_GROUP_TXN : GHOST_IOC_COMMIT_TXN, &commit, caller, request_,
                         &pending_);
}

int32_t TestAgent::CommitLocal(int64_t gtid, uint16_t run_flags) {
  return CommitRemote(cpu_, gtid, COMMIT_AT_TXN_COMMIT, run_flags);
}

int32_t TestAgent::CommitRemote(int cpu, int64_t gtid, uint8_t commit_flags, uint16_t run_flags) {
  ghost_txn* txn = Prepare(cpu, gtid, commit_flags, run_flags);
  GHOST_CHECK(Commit(CpuSet{cpu}) == 0);
  return txn->state;
}

int64_t TestAgent::Yield(int run_flags) {
  ghost_ioc_run run = {
      .gtid = 0, .agent_barrier = barrier(), .task_barrier = 0, .run_cpu = cpu_, .run_flags = run_flags};
  request_ = harness_->next_request++;
  return harness_->Ioctl(enclave_, GHOST_IOC_RUN, &run, caller, request_, &pending_);
}

int64_t TestAgent::Ping(int cpu) {
  ghost_ioc_run run = {.gtid = -1, .agent_barrier = 0, .task_barrier = 0, .run_cpu = cpu, .run_flags = 0};
  bool pending = false;
  return harness_->Ioctl(enclave_, GHOST_IOC_RUN, &run, caller, harness_->next_request++, &pending);
}

bool TestAgent::parked() const { return pending_ && !harness_->driver.completed.contains(request_); }

}  // namespace ghost::usermode
