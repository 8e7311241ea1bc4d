#include "kernel/usermode/core/core.h"

#include <cerrno>
#include <utility>

#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/invariants.h"
#include "kernel/usermode/core/kernel.h"
#include "kernel/usermode/core/stats.h"

namespace ghost::usermode {

class Core::Impl : public Kernel {
 public:
  using Kernel::Kernel;
};

Core::Core(const CoreOptions& options, Driver* driver) : impl_(std::make_unique<Impl>(options, driver)) {}
Core::~Core() = default;

// ---- The ghostfs tree ----

int64_t Core::Lookup(uint64_t directory, std::string_view name) {
  const Node* node = impl_->tree.Find(directory);
  if (node == nullptr) return -ENOENT;
  if (node->kind != FileKind::kDirectory) return -ENOTDIR;
  const Node* child = impl_->tree.FindChild(directory, name);
  return child == nullptr ? -ENOENT : static_cast<int64_t>(child->id);
}

namespace {

NodeType TypeOf(const Node& node) {
  if (node.kind == FileKind::kDirectory) return NodeType::kDirectory;
  return node.kind == FileKind::kRegion ? NodeType::kRegion : NodeType::kFile;
}

}  // namespace

int Core::GetAttr(uint64_t id, NodeAttr* attr) {
  const Node* node = impl_->tree.Find(id);
  if (node == nullptr) return -ENOENT;
  *attr = {.type = TypeOf(*node),
           .mode = node->mode,
           .uid = node->uid,
           .gid = node->gid,
           .size = node->size,
           .region = node->region};
  return 0;
}

int Core::ReadDir(uint64_t directory, std::vector<DirEntry>* entries) {
  entries->clear();
  const Node* node = impl_->tree.Find(directory);
  if (node == nullptr) return -ENOENT;
  if (node->kind != FileKind::kDirectory) return -ENOTDIR;
  for (uint64_t id : node->children) {
    const Node* child = impl_->tree.Find(id);
    entries->push_back({.name = child->name, .node = id, .type = TypeOf(*child)});
  }
  return 0;
}

int64_t Core::Open(uint64_t node, int flags, Caller&) { return impl_->files.Open(node, flags); }

int64_t Core::Read(uint64_t id, uint64_t offset, size_t size, std::string* out) {
  Handle* handle = impl_->tree.FindHandle(id);
  return handle == nullptr ? -EBADF : impl_->files.Read(*handle, offset, size, out);
}

int64_t Core::Write(uint64_t id, std::string_view data, Caller& caller) {
  Handle* handle = impl_->tree.FindHandle(id);
  if (handle == nullptr) return -EBADF;
  const int64_t result = impl_->files.Write(*handle, data, caller);
  impl_->Finish();
  return result;
}

IoctlResult Core::Ioctl(uint64_t id, uint32_t command, std::span<std::byte> argument, Caller& caller,
                        uint64_t request) {
  const Handle* handle = impl_->tree.FindHandle(id);
  if (handle == nullptr) return {.result = -EBADF};
  const Node* node = impl_->tree.Find(handle->node);
  if (node == nullptr) return {.result = -ENODEV};
  if (node->kind != FileKind::kCtl) return {.result = -ENOTTY};
  if (!handle->writable) return {.result = -EACCES};
  Agent* agent = impl_->state.FindAgent(caller.tid());
  if (agent != nullptr && agent->sleeping) impl_->agents.OnWoken(agent->tid);  // whatever the driver has seen so far
  impl_->scheduler.BeginRequest(agent != nullptr && !agent->parked ? agent : nullptr);
  IoctlResult result;
  result.result = impl_->ioctls.Handle(*node->enclave, id, command, argument, caller, request, &result.pending);
  impl_->Finish();
  // An agent that was picked at once never gave up its CPU.
  int answer = 0;
  if (impl_->scheduler.TakeAnswer(&answer) && result.pending) result = {.result = answer, .pending = false};
  return result;
}

void Core::Interrupt(uint64_t request) {
  impl_->agents.Interrupt(request);
  impl_->Finish();
}

uint32_t Core::Poll(uint64_t id) {
  Handle* handle = impl_->tree.FindHandle(id);
  return handle == nullptr ? 0 : impl_->files.Poll(*handle);
}

void Core::Release(uint64_t handle) {
  impl_->files.Release(handle);
  impl_->Finish();
}

// ---- What the driver saw of tasks ----

void Core::OnTaskGated(int64_t gtid) {
  impl_->tasks.OnGated(gtid);
  impl_->Finish();
}

void Core::OnTaskYielded(int64_t gtid) {
  impl_->tasks.OnYielded(gtid);
  impl_->Finish();
}

void Core::OnTaskBlocked(int64_t gtid) {
  impl_->tasks.OnBlocked(gtid);
  impl_->Finish();
}

void Core::OnTaskReady(int64_t gtid, const Wakeup& wakeup) {
  impl_->tasks.OnReady(gtid, wakeup);
  impl_->Finish();
}

int64_t Core::OnTaskForked(int64_t parent_gtid, Tid child, uint64_t runtime_ns, int nice) {
  const int64_t gtid = impl_->tasks.OnForked(parent_gtid, child, runtime_ns, nice);
  const Task* task = impl_->state.FindTask(gtid);
  if (task == nullptr || !Programs::Any(*task->enclave)) impl_->Finish();
  return gtid;
}

void Core::OnTaskForkTaken(int64_t gtid) {
  const Task* task = impl_->state.FindTask(gtid);
  if (task == nullptr || !Programs::Any(*task->enclave)) return;
  impl_->programs.AffinityChanged(*task);
  impl_->Finish();
}

void Core::OnTaskExited(int64_t gtid) {
  impl_->tasks.OnExited(gtid);
  impl_->Finish();
}

void Core::OnTaskDeparted(int64_t gtid) {
  impl_->tasks.OnDeparted(gtid);
  impl_->Finish();
}

void Core::OnTaskTidChanged(int64_t gtid, Tid tid) { impl_->tasks.OnTidChanged(gtid, tid); }

void Core::OnTaskAffinityChanged(int64_t gtid) {
  impl_->tasks.OnAffinityChanged(gtid);
  impl_->Finish();
}

void Core::OnTaskPriorityChanged(int64_t gtid, int nice) {
  impl_->tasks.OnPriorityChanged(gtid, nice);
  impl_->Finish();
}

// ---- Agents, CPUs, time ----

void Core::OnAgentExited(Tid tid) {
  impl_->agents.OnExited(tid);
  impl_->Finish();
}

void Core::OnAgentBlocked(Tid tid) {
  impl_->agents.OnSleeps(tid);
  impl_->Finish();
}

void Core::OnAgentWoken(Tid tid) {
  impl_->agents.OnWoken(tid);
  impl_->Finish();
}

void Core::OnOtherClass(int cpu, bool wants_cpu, Tid next) {
  impl_->scheduler.OtherClass(cpu, wants_cpu, next);
  impl_->Finish();
}

void Core::OnCpuOnline(int cpu, bool online) {
  impl_->scheduler.Online(cpu, online);
  impl_->Finish();
}

void Core::OnTimer(uint64_t id) {
  impl_->ticker.OnTimer(id);
  impl_->Finish();
}

void Core::OnTimerfdExpired(int cpu, uint64_t type, uint64_t cookie) {
  impl_->ticker.TimerfdExpired(cpu, type, cookie);
  impl_->Finish();
}

void Core::SetBpfLoader(BpfLoader* loader) { impl_->state.bpf_loader = loader; }
int Core::AttachProgram(uint64_t enclave, BpfHook hook, std::unique_ptr<BpfProgram> program, uint64_t handle) {
  Enclave* found = impl_->enclaves.FindEnclave(enclave);
  return found == nullptr ? -ENOENT : impl_->programs.Attach(*found, handle, hook, std::move(program));
}
void Core::AddObserver(CoreObserver* observer) { impl_->state.observers.push_back(observer); }

// ---- Introspection ----

std::vector<CpuStatus> Core::Cpus() const {
  std::vector<CpuStatus> cpus;
  for (const Cpu& cpu : impl_->state.cpus) cpus.push_back(StatusOf(cpu));
  return cpus;
}

size_t Core::num_tasks() const { return impl_->state.tasks.size(); }

void Core::CheckInvariants() const { usermode::CheckInvariants(impl_->state); }

}  // namespace ghost::usermode
