#include "kernel/usermode/core/ioctls.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {
namespace {

// Calls `handle` with a copy of the argument, and copies it back if it is an in-and-out one.
template <typename Argument, typename Handler>
int WithArgument(uint32_t command, std::span<std::byte> bytes, Handler handle) {
  Argument argument;
  if (bytes.size() < sizeof(argument)) return -EFAULT;
  std::memcpy(&argument, bytes.data(), sizeof(argument));
  const int result = handle(&argument);
  if ((_IOC_DIR(command) & _IOC_READ) != 0 && result >= 0) std::memcpy(bytes.data(), &argument, sizeof(argument));
  return result;
}

}  // namespace

Ioctls::Ioctls(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

int Ioctls::Handle(Enclave& enclave, uint64_t handle, uint32_t command, std::span<std::byte> bytes, Caller& caller,
                   uint64_t request, bool* parked) {
  switch (command) {
    case GHOST_IOC_NULL:
      return 0;
    case GHOST_IOC_SW_GET_INFO:
      return WithArgument<ghost_ioc_sw_get_info>(command, bytes,
                                                 [&](auto* get) { return GetInfo(enclave, caller, get); });
    case GHOST_IOC_SW_FREE:
      return WithArgument<ghost_sw_info>(command, bytes, [&](auto* info) { return FreeWord(enclave, *info); });
    case GHOST_IOC_CREATE_QUEUE:
      return WithArgument<ghost_ioc_create_queue>(
          command, bytes, [&](auto* create) { return kernel_.queues.Create(enclave, caller, create); });
    case GHOST_IOC_ASSOC_QUEUE:
      return WithArgument<ghost_ioc_assoc_queue>(command, bytes,
                                                 [&](auto* assoc) { return kernel_.queues.Associate(caller, *assoc); });
    case GHOST_IOC_SET_DEFAULT_QUEUE:
      return WithArgument<ghost_ioc_set_default_queue>(
          command, bytes, [&](auto* set) { return kernel_.queues.SetDefault(enclave, caller, *set); });
    case GHOST_IOC_CONFIG_QUEUE_WAKEUP:
      return WithArgument<ghost_ioc_config_queue_wakeup>(
          command, bytes, [&](auto* config) { return kernel_.queues.ConfigureWakeup(caller, *config); });
    case GHOST_IOC_GET_CPU_TIME:
      return WithArgument<ghost_ioc_get_cpu_time>(command, bytes, [&](auto* get) { return GetCpuTime(caller, get); });
    case GHOST_IOC_COMMIT_TXN:
    case GHOST_IOC_SYNC_GROUP_TXN:
      return WithArgument<ghost_ioc_commit_txn>(command, bytes, [&](auto* commit) {
        return Commit(caller, *commit, command == GHOST_IOC_SYNC_GROUP_TXN, request, parked);
      });
    case GHOST_IOC_TIMERFD_SETTIME:
      return WithArgument<ghost_ioc_timerfd_settime>(
          command, bytes, [&](auto* settime) { return kernel_.ticker.TimerfdSettime(caller, *settime); });
    case GHOST_IOC_RUN:
      return WithArgument<ghost_ioc_run>(command, bytes,
                                         [&](auto* run) { return kernel_.agents.Run(*run, caller, request, parked); });
    case GHOSTD_IOC_TASK_AFFINITY:
      return WithArgument<ghostd_ioc_task_affinity>(command, bytes,
                                                    [&](auto* ask) { return TaskAffinity(enclave, ask); });
    case GHOSTD_IOC_BPF_ATTACH:
      return WithArgument<ghostd_ioc_bpf_attach>(
          command, bytes, [&](auto* attach) { return kernel_.programs.Attach(enclave, handle, *attach, caller); });
    default:
      return -ENOTTY;
  }
}

int Ioctls::GetInfo(Enclave& enclave, Caller& caller, ghost_ioc_sw_get_info* get) {
  StatusWord word;
  Enclave* owner = nullptr;
  if (get->request.type == GHOST_AGENT) {
    if (get->request.arg >= state_.cpus.size()) return -EINVAL;
    const Cpu& cpu = state_.cpus[get->request.arg];
    if (cpu.enclave != &enclave) return -ENODEV;
    if (cpu.agent == nullptr) return -EINVAL;
    word = cpu.agent->word;
    owner = cpu.agent->enclave;
  } else if (get->request.type == GHOST_TASK) {
    Task* task = nullptr;
    Agent* agent = nullptr;
    state_.FindSource(static_cast<int64_t>(get->request.arg), caller, &task, &agent);
    if (task != nullptr) {
      word = task->word;
      owner = task->enclave;
    } else if (agent != nullptr) {
      word = agent->word;
      owner = agent->enclave;
    }
  } else {
    return -EINVAL;
  }
  if (owner != &enclave) return -ENOENT;
  get->response = word.info();
  return 0;
}

int Ioctls::FreeWord(Enclave& enclave, const ghost_sw_info& info) {
  StatusWord word = enclave.words.Find(info);
  if (!word) return -ENOENT;
  if ((word.flags() & GHOST_SW_F_CANFREE) == 0) return -EINVAL;
  const bool gated = (word.flags() & GHOST_SW_TASK_MSG_GATED) != 0;
  const int64_t gtid = word.gtid();
  enclave.words.Free(word);
  if (!gated) return 0;
  if (Identity* identity = state_.identities.FindGtid(gtid); identity != nullptr) kernel_.tasks.Uninhibit(*identity);
  return 0;
}

int Ioctls::GetCpuTime(Caller& caller, ghost_ioc_get_cpu_time* get) {
  std::optional<uint64_t> runtime;
  if (get->gtid == 0) {
    runtime = state_.driver->RuntimeNsOfTid(caller.tid());
  } else if (state_.FindTask(get->gtid) != nullptr) {
    runtime = state_.driver->RuntimeNs(get->gtid);
  } else if (Identity* identity = state_.identities.FindGtid(get->gtid); identity != nullptr && identity->tid != 0) {
    runtime = state_.driver->RuntimeNsOfTid(identity->tid);
  }
  if (!runtime.has_value()) return -ESRCH;
  get->runtime = *runtime;
  return 0;
}

int Ioctls::Commit(Caller& caller, const ghost_ioc_commit_txn& commit, bool group, uint64_t request, bool* parked) {
  if (commit.flags != 0) return -EINVAL;
  std::array<uint64_t, CpuSet::kWords> words = {};
  const size_t size = std::min<size_t>(commit.mask_len, sizeof(words));
  if (size > 0 && !caller.ReadMemory(commit.mask_ptr, std::as_writable_bytes(std::span(words)).first(size))) {
    return -EFAULT;
  }
  CpuSet mask;
  for (size_t i = 0; i < words.size(); ++i) {
    for (uint64_t word = words[i]; word != 0; word &= word - 1) {
      mask.Add(static_cast<int>(i) * 64 + std::countr_zero(word));
    }
  }
  Committer::Committing by{.agent = state_.FindAgent(caller.tid())};
  if (by.agent != nullptr && by.agent->parked) return -EBUSY;  // it has a request under way: no thread can
  if (by.agent != nullptr) {                                   // the usual case asks the driver nothing
    by.tgid = by.agent->tgid;
    by.cpu = by.agent->cpu->id;
  } else {
    by.tgid = caller.tgid();
    by.cpu = state_.ValidCpu(caller.Cpu()) ? caller.Cpu() : 0;
  }
  bool leaves_cpu = false;
  int result = 0;
  if (group) {
    bool all = false;
    leaves_cpu = kernel_.committer.CommitGroup(mask, by, &all);
    result = all ? 1 : 0;
  } else {
    leaves_cpu = kernel_.committer.Commit(mask, by);
  }
  if (leaves_cpu) {
    kernel_.agents.Park(*by.agent, request, result);
    *parked = true;
  }
  return result;
}

int Ioctls::TaskAffinity(Enclave& enclave, ghostd_ioc_task_affinity* ask) {
  Task* task = nullptr;
  if (ask->gtid > 0) {
    task = state_.FindTask(ask->gtid);
    if (task == nullptr || task->enclave != &enclave) return -ESRCH;
  } else {
    if (ask->gtid == 0 || ask->gtid < -INT32_MAX) return -ESRCH;
    const int64_t tid = -ask->gtid;
    if (!state_.driver->RuntimeNsOfTid(static_cast<Tid>(tid)).has_value()) return -ESRCH;
    auto found = state_.tasks_by_tid.find(static_cast<Tid>(tid));
    if (found != state_.tasks_by_tid.end()) task = found->second;
    ask->gtid = task != nullptr ? task->gtid : state_.IdentityOf(static_cast<Tid>(tid))->gtid;
  }
  std::memset(ask->mask, 0, sizeof(ask->mask));
  if (task == nullptr) return 0;
  std::optional<CpuSet> affinity = state_.driver->Affinity(task->gtid);
  if (!affinity.has_value()) return -ESRCH;
  for (size_t i = 0; i < affinity->words().size(); ++i) ask->mask[i] = affinity->words()[i];
  return 0;
}

}  // namespace ghost::usermode
