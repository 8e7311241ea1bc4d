// Messages as text: for dumps and test failures, never on a hot path.
#include <string>

#include "absl/strings/str_cat.h"
#include "kernel/abi/message.h"

namespace ghost {
namespace {

// Appends " name=value" for each field of a payload.
class Printer {
 public:
  explicit Printer(std::string* text) : text_(*text) {}

  void operator()(std::monostate) {}
  void operator()(const TaskNew& m) {
    Field("gtid", m.gtid);
    Field("parent_gtid", m.parent_gtid);
    Field("runtime", m.runtime_ns);
    Field("runnable", m.runnable);
    if (m.nice.has_value()) Field("nice", *m.nice);
    absl::StrAppend(&text_, " sw=", m.sw_info.id, ":", m.sw_info.index);
    if (m.agent_data != 0) Field("agent_data", m.agent_data);
  }
  void operator()(const TaskBlocked& m) {
    OffCpu(m);
    Field("from_switchto", m.from_switchto);
  }
  void operator()(const TaskWakeup& m) {
    Field("gtid", m.gtid);
    Field("agent_data", m.agent_data);
    Field("deferrable", m.deferrable);
    Field("last_ran_cpu", m.last_ran_cpu);
    Field("wake_up_cpu", m.wake_up_cpu);
    Field("waker_cpu", m.waker_cpu);
  }
  void operator()(const TaskPreempt& m) {
    OffCpu(m);
    Field("agent_data", m.agent_data);
    Field("from_switchto", m.from_switchto);
    Field("was_latched", m.was_latched);
  }
  void operator()(const TaskYield& m) {
    OffCpu(m);
    Field("agent_data", m.agent_data);
    Field("from_switchto", m.from_switchto);
  }
  void operator()(const TaskDead& m) {
    Field("gtid", m.gtid);
    if (m.cpu.has_value()) Field("cpu", *m.cpu);
  }
  void operator()(const TaskDeparted& m) {
    Field("gtid", m.gtid);
    Field("cpu", m.cpu);
    Field("cpu_seqnum", m.cpu_seqnum);
    Field("from_switchto", m.from_switchto);
    Field("was_current", m.was_current);
  }
  void operator()(const TaskSwitchto& m) { OffCpu(m); }
  void operator()(const TaskAffinityChanged& m) { Field("gtid", m.gtid); }
  void operator()(const TaskPriorityChanged& m) {
    Field("gtid", m.gtid);
    Field("nice", m.nice);
  }
  void operator()(const TaskOnCpu& m) {
    Field("gtid", m.gtid);
    Field("cpu", m.cpu);
    Field("commit_time", m.commit_time_ns);
    Field("cpu_seqnum", m.cpu_seqnum);
    Field("latched_preempt", m.latched_preempt);
  }
  void operator()(const TaskLatchFailure& m) {
    Field("gtid", m.gtid);
    Field("error", m.error);
  }
  void operator()(const CpuTick& m) {
    Field("cpu", m.cpu);
    Field("is_agent", m.is_agent);
  }
  void operator()(const CpuTimerExpired& m) {
    Field("cpu", m.cpu);
    Field("type", m.type);
    Field("cookie", m.cookie);
  }
  void operator()(const CpuNotIdle& m) {
    Field("cpu", m.cpu);
    Field("next_gtid", m.next_gtid);
  }
  void operator()(const CpuAvailable& m) { Field("cpu", m.cpu); }
  void operator()(const CpuBusy& m) { Field("cpu", m.cpu); }
  void operator()(const AgentBlocked& m) { Field("cpu", m.cpu); }
  void operator()(const AgentWakeup& m) { Field("cpu", m.cpu); }

 private:
  template <typename T>
  void Field(absl::string_view name, T value) {
    absl::StrAppend(&text_, " ", name, "=", value);
  }
  void OffCpu(const auto& m) {
    Field("gtid", m.gtid);
    Field("cpu", m.cpu);
    Field("runtime", m.runtime_ns);
    Field("cpu_seqnum", m.cpu_seqnum);
  }

  std::string& text_;
};

}  // namespace

std::string MessageTypeName(uint16_t type) {
  switch (type) {
    case MSG_NOP:
      return "NOP";
    case MSG_TASK_DEAD:
      return "TASK_DEAD";
    case MSG_TASK_BLOCKED:
      return "TASK_BLOCKED";
    case MSG_TASK_WAKEUP:
      return "TASK_WAKEUP";
    case MSG_TASK_NEW:
      return "TASK_NEW";
    case MSG_TASK_PREEMPT:
      return "TASK_PREEMPT";
    case MSG_TASK_YIELD:
      return "TASK_YIELD";
    case MSG_TASK_DEPARTED:
      return "TASK_DEPARTED";
    case MSG_TASK_SWITCHTO:
      return "TASK_SWITCHTO";
    case MSG_TASK_AFFINITY_CHANGED:
      return "TASK_AFFINITY_CHANGED";
    case MSG_TASK_ON_CPU:
      return "TASK_ON_CPU";
    case MSG_TASK_PRIORITY_CHANGED:
      return "TASK_PRIORITY_CHANGED";
    case MSG_TASK_LATCH_FAILURE:
      return "TASK_LATCH_FAILURE";
    case MSG_CPU_TICK:
      return "CPU_TICK";
    case MSG_CPU_TIMER_EXPIRED:
      return "CPU_TIMER_EXPIRED";
    case MSG_CPU_NOT_IDLE:
      return "CPU_NOT_IDLE";
    case MSG_CPU_AVAILABLE:
      return "CPU_AVAILABLE";
    case MSG_CPU_BUSY:
      return "CPU_BUSY";
    case MSG_CPU_AGENT_BLOCKED:
      return "CPU_AGENT_BLOCKED";
    case MSG_CPU_AGENT_WAKEUP:
      return "CPU_AGENT_WAKEUP";
    default:
      return absl::StrCat("type ", type);
  }
}

std::string ToString(const Message& message) {
  std::string text = absl::StrCat(MessageTypeName(message.type), " seq=", message.seqnum);
  std::visit(Printer(&text), message.payload);
  return text;
}

const char* DecodeErrorName(DecodeError error) {
  switch (error) {
    case DecodeError::kOk:
      return "ok";
    case DecodeError::kTruncated:
      return "truncated";
    case DecodeError::kShortPayload:
      return "short payload";
    case DecodeError::kUnknownType:
      return "unknown type";
  }
  return "?";
}

}  // namespace ghost
