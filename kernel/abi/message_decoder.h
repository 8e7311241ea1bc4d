// The decoder for hot paths: a visitor is called with the canonical struct, which then lives in registers and is never
// stored; fields that the visitor does not look at are not even read. DecodeMessage (message.h) is made of it.
//
// It is not for code that runs once: it is inlined wherever it is used.
//
//     struct Handler {
//       void operator()(const TaskBlocked& m) { … }
//       void operator()(const auto&) {}                       // the rest
//     };
//     if (VisitMessage(abi, header, payload, Handler()) != DecodeError::kOk) …
//
// Thread-safe: a pure function, but for the visitor. No allocation.
#ifndef GHOST_KERNEL_ABI_MESSAGE_DECODER_H_
#define GHOST_KERNEL_ABI_MESSAGE_DECODER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "kernel/abi/abi_version.h"
#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"

namespace ghost {
namespace message_internal {

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// Field `field` of the wire struct `wire` that starts, at any alignment, at `from`.
#define GHOST_GET(wire, field) Load<decltype(wire::field)>(from + offsetof(wire, field))

// One for each payload; the caller has checked the length.

inline TaskNew DecodeTaskNew(const TaskNewLayout& layout, const std::byte* from) {
  TaskNew m;
  m.gtid = Load<int64_t>(from);
  m.runtime_ns = Load<uint64_t>(from + layout.runtime);
  m.runnable = Load<uint16_t>(from + layout.runnable) != 0;
  m.sw_info = Load<ghost_sw_info>(from + layout.sw_info);
  if (layout.nice >= 0) m.nice = Load<int32_t>(from + layout.nice);
  if (layout.parent_gtid >= 0) m.parent_gtid = Load<int64_t>(from + layout.parent_gtid);
  if (layout.agent_data >= 0) m.agent_data = Load<uint64_t>(from + layout.agent_data);
  return m;
}

inline TaskBlocked DecodeTaskBlocked(const std::byte* from) {
  using Wire = ghost_msg_payload_task_blocked;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .runtime_ns = GHOST_GET(Wire, runtime),
          .cpu_seqnum = GHOST_GET(Wire, cpu_seqnum),
          .cpu = GHOST_GET(Wire, cpu),
          .from_switchto = GHOST_GET(Wire, from_switchto) != 0};
}

inline TaskWakeup DecodeTaskWakeup(const std::byte* from) {
  using Wire = ghost_msg_payload_task_wakeup;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .agent_data = GHOST_GET(Wire, agent_data),
          .deferrable = GHOST_GET(Wire, deferrable) != 0,
          .last_ran_cpu = GHOST_GET(Wire, last_ran_cpu),
          .wake_up_cpu = GHOST_GET(Wire, wake_up_cpu),
          .waker_cpu = GHOST_GET(Wire, waker_cpu)};
}

inline TaskPreempt DecodeTaskPreempt(const std::byte* from) {
  using Wire = ghost_msg_payload_task_preempt;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .runtime_ns = GHOST_GET(Wire, runtime),
          .cpu_seqnum = GHOST_GET(Wire, cpu_seqnum),
          .agent_data = GHOST_GET(Wire, agent_data),
          .cpu = GHOST_GET(Wire, cpu),
          .from_switchto = GHOST_GET(Wire, from_switchto) != 0,
          .was_latched = GHOST_GET(Wire, was_latched) != 0};
}

inline TaskYield DecodeTaskYield(const std::byte* from) {
  using Wire = ghost_msg_payload_task_yield;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .runtime_ns = GHOST_GET(Wire, runtime),
          .cpu_seqnum = GHOST_GET(Wire, cpu_seqnum),
          .agent_data = GHOST_GET(Wire, agent_data),
          .cpu = GHOST_GET(Wire, cpu),
          .from_switchto = GHOST_GET(Wire, from_switchto) != 0};
}

inline TaskDead DecodeTaskDead(bool has_cpu, const std::byte* from) {
  using Wire = ghost_msg_payload_task_dead;
  TaskDead m{.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)), .cpu = std::nullopt};
  if (has_cpu) m.cpu = GHOST_GET(Wire, cpu);
  return m;
}

inline TaskDeparted DecodeTaskDeparted(const std::byte* from) {
  using Wire = ghost_msg_payload_task_departed;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .cpu_seqnum = GHOST_GET(Wire, cpu_seqnum),
          .cpu = GHOST_GET(Wire, cpu),
          .from_switchto = GHOST_GET(Wire, from_switchto) != 0,
          .was_current = GHOST_GET(Wire, was_current) != 0};
}

inline TaskSwitchto DecodeTaskSwitchto(const std::byte* from) {
  using Wire = ghost_msg_payload_task_switchto;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .runtime_ns = GHOST_GET(Wire, runtime),
          .cpu_seqnum = GHOST_GET(Wire, cpu_seqnum),
          .cpu = GHOST_GET(Wire, cpu)};
}

inline TaskPriorityChanged DecodeTaskPriorityChanged(const std::byte* from) {
  using Wire = ghost_msg_payload_task_priority_changed;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)), .nice = GHOST_GET(Wire, nice)};
}

inline TaskOnCpu DecodeTaskOnCpu(bool latched, const std::byte* from) {
  using Wire = ghost_msg_payload_task_latched;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)),
          .commit_time_ns = GHOST_GET(Wire, commit_time),
          .cpu_seqnum = GHOST_GET(Wire, cpu_seqnum),
          .cpu = GHOST_GET(Wire, cpu),
          .latched_preempt = latched && GHOST_GET(Wire, latched_preempt) != 0};
}

inline TaskLatchFailure DecodeTaskLatchFailure(const std::byte* from) {
  using Wire = ghost_msg_payload_task_latch_failure;
  return {.gtid = static_cast<int64_t>(GHOST_GET(Wire, gtid)), .error = GHOST_GET(Wire, error)};
}

inline CpuTick DecodeCpuTick(bool has_is_agent, const std::byte* from) {
  using Wire = ghost_msg_payload_cpu_tick;
  return {.cpu = GHOST_GET(Wire, cpu), .is_agent = has_is_agent && GHOST_GET(Wire, is_agent) != 0};
}

inline CpuTimerExpired DecodeCpuTimerExpired(const std::byte* from) {
  using Wire = ghost_msg_payload_timer;
  return {.cpu = GHOST_GET(Wire, cpu), .type = GHOST_GET(Wire, type), .cookie = GHOST_GET(Wire, cookie)};
}

inline CpuNotIdle DecodeCpuNotIdle(const std::byte* from) {
  using Wire = ghost_msg_payload_cpu_not_idle;
  return {.cpu = GHOST_GET(Wire, cpu), .next_gtid = static_cast<int64_t>(GHOST_GET(Wire, next_gtid))};
}

#undef GHOST_GET

inline bool HasCpu(const AbiVersion& abi) {
  return abi.task_dead_size == static_cast<int>(sizeof(ghost_msg_payload_task_dead));
}
inline bool HasIsAgent(const AbiVersion& abi) {
  return abi.cpu_tick_size == static_cast<int>(sizeof(ghost_msg_payload_cpu_tick));
}

// Why VisitMessage refuses a message. (Two numbers, not the header: a struct would be put together for each message.)
DecodeError WhatIsWrong(const AbiVersion& abi, uint16_t type, uint16_t length);

}  // namespace message_internal

// Calls visit(const T&) with the message's canonical struct. `payload` stands for header.length - 8 readable bytes, of
// any alignment. Returns an error, without a call, for what the version has not or what is too short; a MSG_NOP, which
// the ring's reader skips, counts as an unknown type.
template <typename Visitor>
[[gnu::always_inline]] inline DecodeError VisitMessage(const AbiVersion& abi, const ghost_msg header,
                                                       const std::byte* payload, Visitor&& visit) {
  using namespace message_internal;  // NOLINT: names of the decoders above
  if (header.type >= abi.too_short.size() || header.length <= abi.too_short[header.type]) [[unlikely]] {
    return WhatIsWrong(abi, header.type, header.length);
  }
  switch (header.type) {
    case MSG_TASK_NEW:
      visit(DecodeTaskNew(abi.task_new, payload));
      break;
    case MSG_TASK_BLOCKED:
      visit(DecodeTaskBlocked(payload));
      break;
    case MSG_TASK_WAKEUP:
      visit(DecodeTaskWakeup(payload));
      break;
    case MSG_TASK_PREEMPT:
      visit(DecodeTaskPreempt(payload));
      break;
    case MSG_TASK_YIELD:
      visit(DecodeTaskYield(payload));
      break;
    case MSG_TASK_DEAD:
      visit(DecodeTaskDead(HasCpu(abi), payload));
      break;
    case MSG_TASK_DEPARTED:
      visit(DecodeTaskDeparted(payload));
      break;
    case MSG_TASK_SWITCHTO:
      visit(DecodeTaskSwitchto(payload));
      break;
    case MSG_TASK_AFFINITY_CHANGED:
      visit(TaskAffinityChanged{.gtid = Load<int64_t>(payload)});
      break;
    case MSG_TASK_PRIORITY_CHANGED:
      visit(DecodeTaskPriorityChanged(payload));
      break;
    case MSG_TASK_ON_CPU:
      visit(DecodeTaskOnCpu(abi.latched_message, payload));
      break;
    case MSG_TASK_LATCH_FAILURE:
      visit(DecodeTaskLatchFailure(payload));
      break;
    case MSG_CPU_TICK:
      visit(DecodeCpuTick(HasIsAgent(abi), payload));
      break;
    case MSG_CPU_TIMER_EXPIRED:
      visit(DecodeCpuTimerExpired(payload));
      break;
    case MSG_CPU_NOT_IDLE:
      visit(DecodeCpuNotIdle(payload));
      break;
    case MSG_CPU_AVAILABLE:
      visit(CpuAvailable{Load<int32_t>(payload)});
      break;
    case MSG_CPU_BUSY:
      visit(CpuBusy{Load<int32_t>(payload)});
      break;
    case MSG_CPU_AGENT_BLOCKED:
      visit(AgentBlocked{Load<int32_t>(payload)});
      break;
    case MSG_CPU_AGENT_WAKEUP:
      visit(AgentWakeup{Load<int32_t>(payload)});
      break;
    default:
      // Every other type is too short at any length.
      __builtin_unreachable();
  }
  return DecodeError::kOk;
}

}  // namespace ghost

#endif  // GHOST_KERNEL_ABI_MESSAGE_DECODER_H_
