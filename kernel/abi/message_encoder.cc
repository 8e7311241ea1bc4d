// The encoder: canonical structs to wire bytes.
#include <array>
#include <cstring>
#include <type_traits>

#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "lib/base/logging.h"

namespace ghost {
namespace {

using message_internal::HasCpu;
using message_internal::HasIsAgent;

template <typename T>
void Store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

// Field `field` of the wire struct `wire` that starts, at any alignment, at `to`.
#define PUT(wire, field, value) Store(to + offsetof(wire, field), static_cast<decltype(wire::field)>(value))

// One for each payload, into zeroed memory.

void EncodeTaskNew(const TaskNewLayout& layout, const TaskNew& m, std::byte* to) {
  Store(to, m.gtid);
  Store(to + layout.runtime, m.runtime_ns);
  Store(to + layout.runnable, static_cast<uint16_t>(m.runnable));
  Store(to + layout.sw_info, m.sw_info);
  if (layout.nice >= 0) Store(to + layout.nice, int32_t{m.nice.value_or(0)});
  if (layout.parent_gtid >= 0) Store(to + layout.parent_gtid, m.parent_gtid);
  if (layout.agent_data >= 0) Store(to + layout.agent_data, m.agent_data);
}

void Encode(const TaskBlocked& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_blocked;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, runtime, m.runtime_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, from_switchto, m.from_switchto);
}

void Encode(const TaskWakeup& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_wakeup;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, agent_data, m.agent_data);
  PUT(Wire, deferrable, m.deferrable);
  PUT(Wire, last_ran_cpu, m.last_ran_cpu);
  PUT(Wire, wake_up_cpu, m.wake_up_cpu);
  PUT(Wire, waker_cpu, m.waker_cpu);
}

void Encode(const TaskPreempt& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_preempt;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, runtime, m.runtime_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, agent_data, m.agent_data);
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, from_switchto, m.from_switchto);
  PUT(Wire, was_latched, m.was_latched);
}

void Encode(const TaskYield& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_yield;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, runtime, m.runtime_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, agent_data, m.agent_data);
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, from_switchto, m.from_switchto);
}

void EncodeTaskDead(bool has_cpu, const TaskDead& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_dead;
  PUT(Wire, gtid, m.gtid);
  if (has_cpu) PUT(Wire, cpu, m.cpu.value_or(-1));
}

void Encode(const TaskDeparted& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_departed;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, from_switchto, m.from_switchto);
  PUT(Wire, was_current, m.was_current);
}

void Encode(const TaskSwitchto& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_switchto;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, runtime, m.runtime_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
}

void Encode(const TaskAffinityChanged& m, std::byte* to) { Store(to, m.gtid); }

void Encode(const TaskPriorityChanged& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_priority_changed;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, nice, m.nice);
}

void EncodeTaskOnCpu(bool latched, const TaskOnCpu& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_latched;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, commit_time, m.commit_time_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
  if (latched) PUT(Wire, latched_preempt, m.latched_preempt);
}

void Encode(const TaskLatchFailure& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_latch_failure;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, error, m.error);
}

void EncodeCpuTick(bool has_is_agent, const CpuTick& m, std::byte* to) {
  using Wire = ghost_msg_payload_cpu_tick;
  PUT(Wire, cpu, m.cpu);
  if (has_is_agent) PUT(Wire, is_agent, m.is_agent);
}

void Encode(const CpuTimerExpired& m, std::byte* to) {
  using Wire = ghost_msg_payload_timer;
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, type, m.type);
  PUT(Wire, cookie, m.cookie);
}

void Encode(const CpuNotIdle& m, std::byte* to) {
  using Wire = ghost_msg_payload_cpu_not_idle;
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, next_gtid, m.next_gtid);
}

void Encode(const CpuAvailable& m, std::byte* to) { Store(to, int32_t{m.cpu}); }
void Encode(const CpuBusy& m, std::byte* to) { Store(to, int32_t{m.cpu}); }
void Encode(const AgentBlocked& m, std::byte* to) { Store(to, int32_t{m.cpu}); }
void Encode(const AgentWakeup& m, std::byte* to) { Store(to, int32_t{m.cpu}); }

#undef PUT

void EncodePayload(const AbiVersion& abi, const Payload& payload, std::byte* to) {
  std::visit(
      [&]<typename T>(const T& m) {
        if constexpr (std::is_same_v<T, TaskNew>) {
          EncodeTaskNew(abi.task_new, m, to);
        } else if constexpr (std::is_same_v<T, TaskDead>) {
          EncodeTaskDead(HasCpu(abi), m, to);
        } else if constexpr (std::is_same_v<T, TaskOnCpu>) {
          EncodeTaskOnCpu(abi.latched_message, m, to);
        } else if constexpr (std::is_same_v<T, CpuTick>) {
          EncodeCpuTick(HasIsAgent(abi), m, to);
        } else if constexpr (!std::is_same_v<T, std::monostate>) {
          Encode(m, to);
        }
      },
      payload);
}

}  // namespace

size_t EncodeMessage(const AbiVersion& abi, const Message& message, std::span<std::byte> out) {
  GHOST_DCHECK(out.size() >= kMaxMessageBytes);
  const uint16_t type = TypeOf(message.payload);
  if (abi.payload_size[type] < 0) return 0;
  const size_t length = sizeof(ghost_msg) + static_cast<size_t>(abi.payload_size[type]);
  std::memset(out.data(), 0, length);
  Store(out.data(), ghost_msg{.type = type, .length = static_cast<uint16_t>(length), .seqnum = message.seqnum});
  EncodePayload(abi, message.payload, out.data() + sizeof(ghost_msg));
  return length;
}

}  // namespace ghost
