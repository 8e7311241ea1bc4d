#include "kernel/usermode/core/programs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <variant>

#include "kernel/ghost_uapi.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {
namespace {

// Programs that reschedule CPUs for ever would keep the core from everything else. An honest program needs a run or two
// for each CPU.
constexpr int kRunsPerEntry = 64;
constexpr int kRunsPerCpu = 16;

constexpr int32_t kRunFlags = RTLA_ON_PREEMPT | RTLA_ON_BLOCKED | RTLA_ON_YIELD | RTLA_ON_IDLE | NEED_L1D_FLUSH |
                              ELIDE_PREEMPT | SEND_TASK_ON_CPU | DEFER_LATCHED_PREEMPTION_BY_AGENT | DO_NOT_PREEMPT;
constexpr uint32_t kReschedFlags =
    RESCHED_ANY_CLASS | RESCHED_GHOST_CLASS | RESCHED_IDLE_CLASS | RESCHED_OTHER_CLASS | SET_MUST_RESCHED | WAKE_AGENT;

template <typename Context>
std::span<std::byte> AsBytes(Context* context) {
  return std::as_writable_bytes(std::span(context, 1));
}

const AbiVersion& ContextAbi() {
  static const AbiVersion& abi = *FindAbi(kNewestAbi);
  return abi;
}

// What the program left for the agent in the payload.
void TakeAgentData(const bpf_ghost_msg& context, Message* message) {
  if (auto* news = std::get_if<TaskNew>(&message->payload)) news->agent_data = context.newt.agent_data;
  if (auto* wakeup = std::get_if<TaskWakeup>(&message->payload)) wakeup->agent_data = context.wakeup.agent_data;
  if (auto* preempt = std::get_if<TaskPreempt>(&message->payload)) preempt->agent_data = context.preempt.agent_data;
  if (auto* yield = std::get_if<TaskYield>(&message->payload)) yield->agent_data = context.yield.agent_data;
}

}  // namespace

Programs::Programs(Kernel& kernel) : kernel_(kernel), state_(kernel.state) { EndEntry(); }

// ---- Attaching ----

int Programs::Attach(Enclave& enclave, uint64_t handle, const ghostd_ioc_bpf_attach& attach, Caller& caller) {
  if (state_.bpf_loader == nullptr) return -EOPNOTSUPP;
  if (attach.flags != 0) return -EINVAL;
  const uint32_t type = attach.attach_type & 0xffff;
  if (type < BPF_GHOST_SCHED_PNT || type >= BPF_GHOST_SCHED_PNT + kNumBpfHooks) return -EINVAL;
  if (attach.attach_type >> 16 != enclave.abi->number) return -EBADF;
  if (enclave.dying) return -EXDEV;
  const auto hook = static_cast<BpfHook>(type - BPF_GHOST_SCHED_PNT);
  if (Has(&enclave, hook)) return -EBUSY;
  std::unique_ptr<BpfProgram> program;
  if (int error = state_.bpf_loader->Take(attach, caller, &program); error != 0) return error;
  return Attach(enclave, handle, hook, std::move(program));
}

int Programs::Attach(Enclave& enclave, uint64_t handle, BpfHook hook, std::unique_ptr<BpfProgram> program) {
  if (Has(&enclave, hook)) return -EBUSY;
  BpfView* view = program->view();
  const bool is_new =
      view != nullptr && std::find(enclave.views.begin(), enclave.views.end(), view) == enclave.views.end();
  enclave.programs[static_cast<size_t>(hook)] = {.handle = handle, .program = std::move(program)};
  ListViews(enclave);
  if (is_new) ShowAll(enclave, view);
  return 0;
}

void Programs::Detach(uint64_t handle) {
  for (auto& enclave : state_.enclaves) {
    for (size_t hook = 0; hook < kNumBpfHooks; ++hook) {
      const BpfLink& link = enclave->programs[hook];
      if (link.program != nullptr && link.handle == handle) DropLink(*enclave, hook);
    }
  }
}

void Programs::DetachAll(Enclave& enclave) {
  for (size_t hook = 0; hook < kNumBpfHooks; ++hook) {
    if (enclave.programs[hook].program != nullptr) DropLink(enclave, hook);
  }
}

void Programs::DropLink(Enclave& enclave, size_t hook) {
  const BpfLink dropped = std::exchange(enclave.programs[hook], {});
  ListViews(enclave);
  if (hook != static_cast<size_t>(BpfHook::kPickNextTask)) return;
  for (int id : enclave.cpus) StopPolling(state_.cpus[static_cast<size_t>(id)]);
}

void Programs::ListViews(Enclave& enclave) {
  enclave.views.clear();
  for (const BpfLink& link : enclave.programs) {
    BpfView* view = link.program == nullptr ? nullptr : link.program->view();
    if (view == nullptr) continue;
    if (std::find(enclave.views.begin(), enclave.views.end(), view) == enclave.views.end()) {
      enclave.views.push_back(view);
    }
  }
}

// ---- Hooks ----

void Programs::EndEntry() { budget_ = kRunsPerEntry + kRunsPerCpu * static_cast<int>(state_.cpus.size()); }

bool Programs::Run(Enclave& enclave, BpfHook hook, std::span<std::byte> context, int cpu, int32_t* result) {
  ProgramCounters& counters = enclave.counters.programs;
  if (hook == BpfHook::kPickNextTask && budget_-- <= 0) {
    ++counters.throttled;
    return false;
  }
  ++counters.runs[static_cast<size_t>(hook)];
  BpfProgram& program = *enclave.programs[static_cast<size_t>(hook)].program;
  const Running outer = std::exchange(
      running_, {.enclave = &enclave,
                 .picks = hook == BpfHook::kPickNextTask ? &state_.cpus[static_cast<size_t>(cpu)] : nullptr});
  const bool ran = program.Run(hook, context, cpu, *this, result);
  running_ = outer;
  if (!ran) ++counters.failed_runs;
  return ran;
}

void Programs::PickNextTask(Cpu& cpu) {
  Enclave& enclave = *cpu.enclave;
  StopPolling(cpu);
  cpu.polled_version = version_;
  const Task* next = cpu.latched;
  if (next == nullptr && !cpu.must_resched) next = cpu.current != nullptr ? cpu.current : cpu.prev;
  bpf_ghost_sched context = {};
  context.agent_on_rq = cpu.agent != nullptr && !cpu.agent->sleeping;
  context.agent_runnable = cpu.current == nullptr && kernel_.scheduler.AgentWants(cpu);
  context.might_yield = cpu.other_class;
  context.must_resched = cpu.must_resched;
  context.next_gtid = next == nullptr ? 0 : static_cast<uint64_t>(next->gtid);
  int32_t result = 0;
  for (BpfView* view : enclave.views) view->CpuChanged(ViewOf(cpu, enclave));
  cpu.latched_by_program = false;
  if (!Run(enclave, BpfHook::kPickNextTask, AsBytes(&context), cpu.id, &result)) return;
  cpu.dont_idle = context.dont_idle != 0;
  if (!cpu.latched_by_program)
    cpu.must_resched = context.must_resched != 0 && (cpu.current != nullptr || cpu.prev != nullptr);
}

bool Programs::SendMessage(Enclave& enclave, Message* message, int cpu, int* pref_cpu) {
  std::array<std::byte, kMaxMessageBytes> bytes;
  const size_t length = EncodeMessage(ContextAbi(), *message, bytes);
  if (length < sizeof(ghost_msg)) return false;  // none of the newest ABI: it has no place in the context
  bpf_ghost_msg context = {};
  std::memcpy(&context, bytes.data() + sizeof(ghost_msg), length - sizeof(ghost_msg));
  context.type = message->type;
  context.seqnum = message->seqnum;
  context.pref_cpu = BPF_GHOST_MSG_NO_WAKEUP_PREF;
  int32_t result = 0;
  ++version_;
  if (!Run(enclave, BpfHook::kSendMessage, AsBytes(&context), cpu, &result)) return false;
  TakeAgentData(context, message);
  *pref_cpu = context.pref_cpu;
  if (result != 0) ++enclave.counters.programs.dropped;
  return result != 0;
}

int Programs::SelectRq(const Task& task, int waker_cpu) {
  bpf_ghost_select_rq context = {};
  context.gtid = static_cast<uint64_t>(task.gtid);
  context.task_cpu = static_cast<uint32_t>(task.cpu);
  context.waker_cpu = static_cast<uint32_t>(waker_cpu);
  context.sd_flag = SD_BALANCE_WAKE;
  int32_t result = -1;
  ++version_;
  if (!Run(*task.enclave, BpfHook::kSelectRq, AsBytes(&context), task.cpu, &result)) return -1;
  return task.enclave->cpus.Contains(result) ? result : -1;
}

// ---- Helpers ----

int Programs::WakeAgent(int cpu) {
  if (!state_.ValidCpu(cpu)) return -EINVAL;
  const Cpu& target = state_.cpus[static_cast<size_t>(cpu)];
  if (target.enclave != running_.enclave) return -EXDEV;
  if (target.agent == nullptr) return -EINVAL;
  kernel_.scheduler.WakeAgent(cpu);
  return 0;
}

int Programs::ReschedCpu(int id, uint32_t flags) {
  if ((flags & ~kReschedFlags) != 0) return -EINVAL;
  if (!state_.OnlineCpu(id)) return -ERANGE;
  Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
  if (cpu.enclave != running_.enclave) return -EXDEV;
  uint32_t runs = RESCHED_IDLE_CLASS;
  if (cpu.current != nullptr || cpu.AgentRuns()) {
    runs = RESCHED_GHOST_CLASS;
  } else if (cpu.other_class) {
    runs = RESCHED_OTHER_CLASS;
  }
  if ((flags & (runs | RESCHED_ANY_CLASS)) == 0) return 0;
  if (budget_ <= 0) {
    ++cpu.enclave->counters.programs.throttled;
    return 0;
  }
  if ((flags & SET_MUST_RESCHED) != 0 && cpu.current != nullptr) cpu.must_resched = true;
  kernel_.scheduler.Resched(cpu);
  if ((flags & WAKE_AGENT) != 0) kernel_.scheduler.WakeAgent(id);
  return 0;
}

int Programs::RunGtid(int64_t gtid, uint32_t task_barrier, int32_t run_flags) {
  if (running_.picks == nullptr) return -EPERM;
  Cpu& cpu = *running_.picks;
  if ((run_flags & ~kRunFlags) != 0 || cpu.agent == nullptr) return -EINVAL;
  Task* task = gtid > 0 ? state_.FindTask(gtid) : nullptr;
  if (int error = JudgeTask(task, task_barrier); error != 0) return error;
  if (OnCpuElsewhere(*task, cpu)) return -EBUSY;
  const bool taken = cpu.current != nullptr || cpu.AgentRuns() || cpu.HasLatch();
  if ((run_flags & DO_NOT_PREEMPT) != 0 && taken) return -ESTALE;
  if (cpu.other_class) return -ENOSPC;
  if (task->enclave != cpu.enclave) return -EXDEV;
  if (!cpu.online) return -ERANGE;
  Latch(cpu, *task, run_flags);
  return 0;
}

void Programs::LatchFailed(int64_t gtid, int error) {
  Task* task = running_.picks != nullptr && gtid > 0 ? state_.FindTask(gtid) : nullptr;
  if (task == nullptr || task->enclave != running_.enclave) return;
  if (task->state != TaskState::kRunnable || task->latched_on != nullptr || kernel_.scheduler.IsOnCpu(*task)) return;
  kernel_.messenger.LatchFailure(*task, -error);
}

int Programs::JudgeTask(const Task* task, uint32_t barrier) const {
  if (task == nullptr) return -ENOENT;
  if (task->identity->inhibited || task->word.barrier() != barrier) return -ESTALE;
  return task->state == TaskState::kBlocked ? -EINVAL : 0;
}

bool Programs::OnCpuElsewhere(const Task& task, const Cpu& cpu) const {
  return kernel_.scheduler.IsOnCpu(task) && (task.cpu != cpu.id || task.state == TaskState::kEntering);
}

void Programs::Latch(Cpu& cpu, Task& task, int32_t run_flags) {
  cpu.latched_by_program = true;
  ++cpu.enclave->counters.programs.latched;
  if (kernel_.scheduler.IsOnCpu(task)) {  // it goes on
    kernel_.scheduler.PreemptLatched(cpu);
    cpu.must_resched = false;
    cpu.run_flags = static_cast<uint16_t>(run_flags);
    return;
  }
  kernel_.scheduler.DropLatch(task);
  kernel_.scheduler.Latch(cpu, &task, /*idle=*/false, static_cast<uint16_t>(run_flags));
}

// ---- Views ----

void Programs::ShowTask(const Task& task) {
  const BpfView::Task shown = {.gtid = task.gtid,
                               .barrier = task.word ? task.word.barrier() : 0,
                               .runnable = task.state != TaskState::kBlocked,
                               .on_cpu = kernel_.scheduler.IsOnCpu(task),
                               .inhibited = task.identity->inhibited,
                               .cpu = task.cpu};
  for (BpfView* view : task.enclave->views) view->TaskChanged(shown);
}

void Programs::AffinityChanged(const Task& task) {
  if (task.enclave->views.empty()) return;
  const std::optional<CpuSet> affinity = state_.driver->Affinity(task.gtid);
  if (!affinity.has_value()) return;
  for (BpfView* view : task.enclave->views) view->TaskAffinity(task.gtid, *affinity);
}

void Programs::TaskGone(const Task& task) {
  for (BpfView* view : task.enclave->views) view->TaskGone(task.gtid);
}

BpfView::Cpu Programs::ViewOf(const Cpu& cpu, const Enclave& enclave) const {
  return {.cpu = cpu.id,
          .online = cpu.online,
          .in_enclave = cpu.enclave == &enclave,
          .has_agent = cpu.agent != nullptr,
          .other_class = cpu.other_class,
          .taken = cpu.current != nullptr || cpu.AgentRuns() || cpu.HasLatch()};
}

void Programs::CpuChanged(const Cpu& cpu) {
  if (cpu.enclave == nullptr) return;
  for (BpfView* view : cpu.enclave->views) view->CpuChanged(ViewOf(cpu, *cpu.enclave));
}

void Programs::CpusChanged(const Enclave& enclave) {
  for (BpfView* view : enclave.views) {
    for (const Cpu& cpu : state_.cpus) view->CpuChanged(ViewOf(cpu, enclave));
  }
}

void Programs::ShowAll(Enclave& enclave, BpfView* view) {
  for (const Cpu& cpu : state_.cpus) view->CpuChanged(ViewOf(cpu, enclave));
  for (const Task& task : enclave.members) {
    ShowTask(task);
    AffinityChanged(task);
  }
}

// ---- Idle CPUs ----

void Programs::NoteIdle(Cpu& cpu) {
  if (!cpu.dont_idle || cpu.polls || !Has(cpu.enclave, BpfHook::kPickNextTask)) return;
  cpu.polls = true;
  ++num_polling_;
  kernel_.ticker.Need();
}

void Programs::StopPolling(Cpu& cpu) {
  cpu.dont_idle = false;
  if (!cpu.polls) return;
  cpu.polls = false;
  --num_polling_;
}

bool Programs::Repoll() {
  if (num_polling_ == 0 || budget_ <= 0) return false;
  bool any = false;
  for (Cpu& cpu : state_.cpus) {
    if (!cpu.polls || cpu.polled_version == version_) continue;
    kernel_.scheduler.Resched(cpu);
    any = true;
  }
  return any;
}

void Programs::RepollAll() {
  if (num_polling_ == 0) return;
  for (Cpu& cpu : state_.cpus) {
    if (cpu.polls) kernel_.scheduler.Resched(cpu);
  }
}

}  // namespace ghost::usermode
