#include "kernel/usermode/core/ghostfs_files.h"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>

#include "kernel/usermode/core/kernel.h"
#include "kernel/usermode/core/stats.h"
#include "kernel/usermode/core/text.h"

namespace ghost::usermode {
namespace {

constexpr size_t kMaxWrite = 4096;
constexpr uint64_t kMaxCpuTextOffset = 4096;

// What a file of an enclave is; those that only some ABI versions have say which.
struct FileType {
  const char* name;
  uint32_t mode;
  FileKind kind;
  bool Tunables::*tunable = nullptr;
  bool AbiVersion::*only_with = nullptr;
};

constexpr FileType kEnclaveFiles[] = {
    {"abi_version", 0444, FileKind::kAbiVersion},
    {"agent_online", 0664, FileKind::kAgentOnline},
    {"commit_at_tick", 0664, FileKind::kTunable, &Tunables::commit_at_tick},
    {"cpulist", 0664, FileKind::kCpuList},
    {"cpumask", 0664, FileKind::kCpuMask},
    {"ctl", 0664, FileKind::kCtl},
    {"deliver_agent_runnability", 0664, FileKind::kTunable, &Tunables::deliver_agent_runnability,
     &AbiVersion::agent_runnability},
    {"deliver_cpu_availability", 0664, FileKind::kTunable, &Tunables::deliver_cpu_availability,
     &AbiVersion::cpu_availability},
    {"deliver_ticks", 0664, FileKind::kTunable, &Tunables::deliver_ticks},
    {"live_dangerously", 0664, FileKind::kTunable, &Tunables::live_dangerously},
    {"runnable_timeout", 0664, FileKind::kRunnableTimeout},
    {"status", 0444, FileKind::kStatus},
    {"switchto_disabled", 0664, FileKind::kTunable, &Tunables::switchto_disabled},
    {"tasks", 0666, FileKind::kTasks},
    {"wake_on_waker_cpu", 0664, FileKind::kTunable, &Tunables::wake_on_waker_cpu},
};

bool CanRead(const Node& node) {
  return (node.mode & 0444) != 0 && node.kind != FileKind::kRootCtl && node.kind != FileKind::kDirectory;
}

bool CanWrite(const Node& node) { return (node.mode & 0222) != 0 && node.kind != FileKind::kDirectory; }

int ParseErrno(CpuParseError error) {
  switch (error) {
    case CpuParseError::kOk:
      return 0;
    case CpuParseError::kSyntax:
      return -EINVAL;
    case CpuParseError::kRange:
      return -ERANGE;
    case CpuParseError::kOverflow:
      return -EOVERFLOW;
  }
  return -EINVAL;
}

}  // namespace

GhostfsFiles::GhostfsFiles(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

void GhostfsFiles::AddRoot() {
  const Node* root = kernel_.tree.Find(Core::kRootNode);
  const uid_t uid = root->uid;
  const gid_t gid = root->gid;
  for (auto& [name, kind, mode] : {std::tuple<const char*, FileKind, uint32_t>{"ctl", FileKind::kRootCtl, 0660},
                                   {"stats", FileKind::kStats, 0444},
                                   {"version", FileKind::kVersion, 0444}}) {
    kernel_.tree.Add(Core::kRootNode, {.name = name, .kind = kind, .mode = mode, .uid = uid, .gid = gid});
  }
}

void GhostfsFiles::AddEnclave(Enclave& enclave) {
  Node node{.mode = 0555, .uid = enclave.uid, .gid = enclave.gid, .enclave = &enclave};
  node.name = enclave.name();
  enclave.directory = kernel_.tree.Add(Core::kRootNode, node);
  node.name = "sw_regions";
  enclave.sw_regions_node = kernel_.tree.Add(enclave.directory, node);
  for (const FileType& file : kEnclaveFiles) {
    if (file.only_with != nullptr && !(enclave.abi->*file.only_with)) continue;
    node.name = file.name;
    node.mode = file.mode;
    node.kind = file.kind;
    node.tunable = file.tunable;
    const uint64_t id = kernel_.tree.Add(enclave.directory, node);
    if (file.kind == FileKind::kCtl) enclave.ctl_node = id;
    if (file.kind == FileKind::kAgentOnline) enclave.agent_online_node = id;
  }
  AddRegion(enclave, enclave.directory, "cpu_data", 0660, enclave.uid, enclave.cpu_data);
}

uint64_t GhostfsFiles::AddRegion(Enclave& enclave, uint64_t directory, const std::string& name, uint32_t mode,
                                 uid_t uid, const Region& region) {
  return kernel_.tree.Add(directory, {.name = name,
                                      .kind = FileKind::kRegion,
                                      .mode = mode,
                                      .uid = uid,
                                      .gid = enclave.gid,
                                      .size = region.size,
                                      .region = region.id,
                                      .enclave = &enclave});
}

int64_t GhostfsFiles::Open(uint64_t id, int flags) {
  Node* node = kernel_.tree.Find(id);
  if (node == nullptr) return -ENOENT;
  Handle handle{.node = id,
                .readable = (flags & O_ACCMODE) != O_WRONLY,
                .writable = (flags & O_ACCMODE) != O_RDONLY,
                .seen = node->notifications};
  if (node->kind == FileKind::kDirectory)
    return handle.writable ? -EISDIR : static_cast<int64_t>(kernel_.tree.Open(handle));
  if ((handle.readable && !CanRead(*node)) || (handle.writable && !CanWrite(*node))) return -EACCES;
  if (handle.writable && node->kind == FileKind::kAgentOnline) {
    if (node->enclave->agent_online) return -EBUSY;
    node->enclave->agent_online = true;
    kernel_.tree.Notify(id);
  }
  if (handle.writable && node->kind == FileKind::kCtl) ++node->enclave->ctl_writers;
  return static_cast<int64_t>(kernel_.tree.Open(handle));
}

void GhostfsFiles::Release(uint64_t id) {
  Handle* handle = kernel_.tree.FindHandle(id);
  if (handle == nullptr) return;
  Node* node = kernel_.tree.Find(handle->node);
  if (node != nullptr && handle->writable && node->kind == FileKind::kAgentOnline) {
    node->enclave->agent_online = false;
    kernel_.tree.Notify(node->id);
  }
  if (node != nullptr && handle->writable && node->kind == FileKind::kCtl) {
    kernel_.programs.Detach(id);
    --node->enclave->ctl_writers;
    kernel_.enclaves.Released(*node->enclave);
  }
  kernel_.tree.Close(id);
}

uint32_t GhostfsFiles::Poll(Handle& handle) {
  const Node* node = kernel_.tree.Find(handle.node);
  const bool notified = node == nullptr || node->notifications != handle.seen;
  return POLLIN | POLLOUT | (notified ? POLLERR | POLLPRI : 0);
}

int64_t GhostfsFiles::Read(Handle& handle, uint64_t offset, size_t size, std::string* out) {
  out->clear();
  const Node* node = kernel_.tree.Find(handle.node);
  if (node == nullptr) return -ENODEV;
  if (!handle.readable) return -EBADF;
  if (node->kind == FileKind::kDirectory) return -EISDIR;
  if (node->kind == FileKind::kRegion) return -EINVAL;
  const bool cpus = node->kind == FileKind::kCpuList || node->kind == FileKind::kCpuMask;
  if (cpus && offset > kMaxCpuTextOffset) return -EINVAL;
  if (offset == 0 || !handle.has_text) {
    handle.text = Text(*node);
    handle.has_text = true;
    handle.seen = node->notifications;
  }
  if (offset < handle.text.size()) *out = handle.text.substr(offset, size);
  return static_cast<int64_t>(out->size());
}

std::string GhostfsFiles::Text(const Node& node) const {
  const Enclave* enclave = node.enclave;
  switch (node.kind) {
    case FileKind::kVersion: {
      std::string text;
      for (uint32_t version : state_.options.abi_versions) text += std::to_string(version) + "\n";
      return text;
    }
    case FileKind::kStats:
      return StatsJson(state_);
    case FileKind::kAbiVersion:
      return std::to_string(enclave->abi->number) + "\n";
    case FileKind::kAgentOnline:
      return enclave->agent_online ? "1" : "0";
    case FileKind::kTunable:
      return enclave->tunables.*node.tunable ? "1" : "0";
    case FileKind::kCpuList:
      return ToCpuList(enclave->cpus) + "\n";
    case FileKind::kCpuMask:
      return ToCpuMask(enclave->cpus, state_.options.num_cpus) + "\n";
    case FileKind::kCtl:
      return std::to_string(enclave->id);
    case FileKind::kRunnableTimeout:
      return std::to_string(enclave->tunables.runnable_timeout_ms);
    case FileKind::kStatus:
      return "version " + std::to_string(enclave->abi->number) + "\nactive " + (enclave->agent_online ? "yes" : "no") +
             "\nnr_tasks " + std::to_string(enclave->num_announced) + "\n";
    case FileKind::kTasks: {
      std::string text;
      for (const Task& task : enclave->members) text += std::to_string(task.tid) + "\n";
      return text;
    }
    case FileKind::kDirectory:
    case FileKind::kRegion:
    case FileKind::kRootCtl:
      break;
  }
  return "";
}

int64_t GhostfsFiles::Write(Handle& handle, std::string_view data, Caller& caller) {
  Node* node = kernel_.tree.Find(handle.node);
  if (node == nullptr) return -ENODEV;
  if (!handle.writable) return -EBADF;
  data = data.substr(0, kMaxWrite);
  const int error = WriteTo(*node, data, caller);
  return error != 0 ? error : static_cast<int64_t>(data.size());
}

int GhostfsFiles::WriteTo(Node& node, std::string_view text, Caller& caller) {
  switch (node.kind) {
    case FileKind::kRootCtl:
      return kernel_.ctl.WriteRoot(text, caller);
    case FileKind::kCtl:
      return kernel_.ctl.Write(*node.enclave, text, caller);
    case FileKind::kTunable: {
      int64_t value = 0;
      if (ParseInteger(text, &value) != 0 || value != static_cast<int32_t>(value)) return -EINVAL;
      node.enclave->tunables.*node.tunable = value != 0;
      kernel_.ticker.Need();
      return 0;
    }
    case FileKind::kRunnableTimeout: {
      uint64_t value = 0;
      if (ParseUnsigned(text, &value) != 0) return -EINVAL;
      node.enclave->tunables.runnable_timeout_ms = static_cast<int64_t>(value);
      kernel_.ticker.Need();
      return 0;
    }
    case FileKind::kCpuList:
    case FileKind::kCpuMask:
      return WriteCpus(*node.enclave, text, node.kind == FileKind::kCpuList);
    case FileKind::kTasks:
      return WriteTasks(*node.enclave, text, caller);
    default:
      return -EINVAL;
  }
}

int GhostfsFiles::WriteCpus(Enclave& enclave, std::string_view text, bool list) {
  CpuSet cpus;
  const int limit = state_.options.nr_cpus;
  const CpuParseError error = list ? ParseCpuList(text, &cpus, limit) : ParseCpuMask(text, &cpus, limit);
  if (error != CpuParseError::kOk) return ParseErrno(error);
  // CPUs that could exist but do not are passed over.
  return kernel_.enclaves.SetCpus(enclave, cpus & CpuSet::FirstN(state_.options.num_cpus));
}

int GhostfsFiles::WriteTasks(Enclave& enclave, std::string_view text, Caller& caller) {
  int64_t value = 0;
  if (int error = ParseInteger(text, &value); error != 0) return error;
  if (value != static_cast<int32_t>(value)) {
    if (!enclave.abi->tasks_accept_gtid) return -ERANGE;
    Identity* identity = state_.identities.FindGtid(value);
    if (identity == nullptr || identity->tid == 0) return -ESRCH;
    value = identity->tid;
  }
  if (value < 0) return -ESRCH;
  return kernel_.tasks.Enter(enclave, value == 0 ? caller.tid() : static_cast<Tid>(value), caller);
}

}  // namespace ghost::usermode
