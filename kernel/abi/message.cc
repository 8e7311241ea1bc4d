#include "kernel/abi/message.h"

#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lib/base/logging.h"

namespace ghost {
namespace {

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
void Store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

// Field `field` of the wire struct `wire` that starts, at any alignment, at `from`; and its counterpart.
#define GET(wire, field) Load<decltype(wire::field)>(from + offsetof(wire, field))
#define PUT(wire, field, value) Store(to + offsetof(wire, field), static_cast<decltype(wire::field)>(value))

// What follows is one Decode and one Encode per payload. Decode returns the canonical struct; its caller has checked
// the length. Encode writes into zeroed memory.

TaskNew DecodeTaskNew(const TaskNewLayout& layout, const std::byte* from) {
  TaskNew m;
  m.gtid = Load<int64_t>(from);
  m.runtime_ns = Load<uint64_t>(from + layout.runtime);
  m.runnable = Load<uint16_t>(from + layout.runnable) != 0;
  m.sw_info = Load<ghost_sw_info>(from + layout.sw_info);
  if (layout.nice >= 0) m.nice = Load<int32_t>(from + layout.nice);
  if (layout.parent_gtid >= 0) m.parent_gtid = Load<int64_t>(from + layout.parent_gtid);
  return m;
}

void EncodeTaskNew(const TaskNewLayout& layout, const TaskNew& m, std::byte* to) {
  Store(to, m.gtid);
  Store(to + layout.runtime, m.runtime_ns);
  Store(to + layout.runnable, static_cast<uint16_t>(m.runnable));
  Store(to + layout.sw_info, m.sw_info);
  if (layout.nice >= 0) Store(to + layout.nice, int32_t{m.nice.value_or(0)});
  if (layout.parent_gtid >= 0) Store(to + layout.parent_gtid, m.parent_gtid);
}

TaskBlocked DecodeTaskBlocked(const std::byte* from) {
  using Wire = ghost_msg_payload_task_blocked;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .runtime_ns = GET(Wire, runtime),
          .cpu_seqnum = GET(Wire, cpu_seqnum),
          .cpu = GET(Wire, cpu),
          .from_switchto = GET(Wire, from_switchto) != 0};
}

void Encode(const TaskBlocked& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_blocked;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, runtime, m.runtime_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, from_switchto, m.from_switchto);
}

TaskWakeup DecodeTaskWakeup(const std::byte* from) {
  using Wire = ghost_msg_payload_task_wakeup;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .agent_data = GET(Wire, agent_data),
          .deferrable = GET(Wire, deferrable) != 0,
          .last_ran_cpu = GET(Wire, last_ran_cpu),
          .wake_up_cpu = GET(Wire, wake_up_cpu),
          .waker_cpu = GET(Wire, waker_cpu)};
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

TaskPreempt DecodeTaskPreempt(const std::byte* from) {
  using Wire = ghost_msg_payload_task_preempt;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .runtime_ns = GET(Wire, runtime),
          .cpu_seqnum = GET(Wire, cpu_seqnum),
          .agent_data = GET(Wire, agent_data),
          .cpu = GET(Wire, cpu),
          .from_switchto = GET(Wire, from_switchto) != 0,
          .was_latched = GET(Wire, was_latched) != 0};
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

TaskYield DecodeTaskYield(const std::byte* from) {
  using Wire = ghost_msg_payload_task_yield;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .runtime_ns = GET(Wire, runtime),
          .cpu_seqnum = GET(Wire, cpu_seqnum),
          .agent_data = GET(Wire, agent_data),
          .cpu = GET(Wire, cpu),
          .from_switchto = GET(Wire, from_switchto) != 0};
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

TaskDead DecodeTaskDead(bool has_cpu, const std::byte* from) {
  using Wire = ghost_msg_payload_task_dead;
  TaskDead m{.gtid = static_cast<int64_t>(GET(Wire, gtid)), .cpu = std::nullopt};
  if (has_cpu) m.cpu = GET(Wire, cpu);
  return m;
}

void EncodeTaskDead(bool has_cpu, const TaskDead& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_dead;
  PUT(Wire, gtid, m.gtid);
  if (has_cpu) PUT(Wire, cpu, m.cpu.value_or(-1));
}

TaskDeparted DecodeTaskDeparted(const std::byte* from) {
  using Wire = ghost_msg_payload_task_departed;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .cpu_seqnum = GET(Wire, cpu_seqnum),
          .cpu = GET(Wire, cpu),
          .from_switchto = GET(Wire, from_switchto) != 0,
          .was_current = GET(Wire, was_current) != 0};
}

void Encode(const TaskDeparted& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_departed;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, from_switchto, m.from_switchto);
  PUT(Wire, was_current, m.was_current);
}

TaskSwitchto DecodeTaskSwitchto(const std::byte* from) {
  using Wire = ghost_msg_payload_task_switchto;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .runtime_ns = GET(Wire, runtime),
          .cpu_seqnum = GET(Wire, cpu_seqnum),
          .cpu = GET(Wire, cpu)};
}

void Encode(const TaskSwitchto& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_switchto;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, runtime, m.runtime_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
}

void Encode(const TaskAffinityChanged& m, std::byte* to) { Store(to, m.gtid); }

TaskPriorityChanged DecodeTaskPriorityChanged(const std::byte* from) {
  using Wire = ghost_msg_payload_task_priority_changed;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)), .nice = GET(Wire, nice)};
}

void Encode(const TaskPriorityChanged& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_priority_changed;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, nice, m.nice);
}

TaskOnCpu DecodeTaskOnCpu(bool latched, const std::byte* from) {
  using Wire = ghost_msg_payload_task_latched;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)),
          .commit_time_ns = GET(Wire, commit_time),
          .cpu_seqnum = GET(Wire, cpu_seqnum),
          .cpu = GET(Wire, cpu),
          .latched_preempt = latched && GET(Wire, latched_preempt) != 0};
}

void EncodeTaskOnCpu(bool latched, const TaskOnCpu& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_latched;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, commit_time, m.commit_time_ns);
  PUT(Wire, cpu_seqnum, m.cpu_seqnum);
  PUT(Wire, cpu, m.cpu);
  if (latched) PUT(Wire, latched_preempt, m.latched_preempt);
}

TaskLatchFailure DecodeTaskLatchFailure(const std::byte* from) {
  using Wire = ghost_msg_payload_task_latch_failure;
  return {.gtid = static_cast<int64_t>(GET(Wire, gtid)), .error = GET(Wire, error)};
}

void Encode(const TaskLatchFailure& m, std::byte* to) {
  using Wire = ghost_msg_payload_task_latch_failure;
  PUT(Wire, gtid, m.gtid);
  PUT(Wire, error, m.error);
}

CpuTick DecodeCpuTick(bool has_is_agent, const std::byte* from) {
  using Wire = ghost_msg_payload_cpu_tick;
  return {.cpu = GET(Wire, cpu), .is_agent = has_is_agent && GET(Wire, is_agent) != 0};
}

void EncodeCpuTick(bool has_is_agent, const CpuTick& m, std::byte* to) {
  using Wire = ghost_msg_payload_cpu_tick;
  PUT(Wire, cpu, m.cpu);
  if (has_is_agent) PUT(Wire, is_agent, m.is_agent);
}

CpuTimerExpired DecodeCpuTimerExpired(const std::byte* from) {
  using Wire = ghost_msg_payload_timer;
  return {.cpu = GET(Wire, cpu), .type = GET(Wire, type), .cookie = GET(Wire, cookie)};
}

void Encode(const CpuTimerExpired& m, std::byte* to) {
  using Wire = ghost_msg_payload_timer;
  PUT(Wire, cpu, m.cpu);
  PUT(Wire, type, m.type);
  PUT(Wire, cookie, m.cookie);
}

CpuNotIdle DecodeCpuNotIdle(const std::byte* from) {
  using Wire = ghost_msg_payload_cpu_not_idle;
  return {.cpu = GET(Wire, cpu), .next_gtid = static_cast<int64_t>(GET(Wire, next_gtid))};
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

#undef GET
#undef PUT

constexpr bool HasCpu(const AbiVersion& abi) {
  return abi.task_dead_size == static_cast<int>(sizeof(ghost_msg_payload_task_dead));
}
constexpr bool HasIsAgent(const AbiVersion& abi) {
  return abi.cpu_tick_size == static_cast<int>(sizeof(ghost_msg_payload_cpu_tick));
}

// The types in the order of Payload's alternatives.
constexpr std::array<uint16_t, std::variant_size_v<Payload>> kTypes = {
    MSG_NOP,
    MSG_TASK_NEW,
    MSG_TASK_BLOCKED,
    MSG_TASK_WAKEUP,
    MSG_TASK_PREEMPT,
    MSG_TASK_YIELD,
    MSG_TASK_DEAD,
    MSG_TASK_DEPARTED,
    MSG_TASK_SWITCHTO,
    MSG_TASK_AFFINITY_CHANGED,
    MSG_TASK_PRIORITY_CHANGED,
    MSG_TASK_ON_CPU,
    MSG_TASK_LATCH_FAILURE,
    MSG_CPU_TICK,
    MSG_CPU_TIMER_EXPIRED,
    MSG_CPU_NOT_IDLE,
    MSG_CPU_AVAILABLE,
    MSG_CPU_BUSY,
    MSG_CPU_AGENT_BLOCKED,
    MSG_CPU_AGENT_WAKEUP,
};

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

// Sets *payload from the bytes of a message of `type`, which the version has.
void DecodePayload(const AbiVersion& abi, uint16_t type, const std::byte* from, Payload* payload) {
  auto set = [payload]<typename T>(const T& m) { payload->emplace<T>(m); };
  switch (type) {
    case MSG_TASK_NEW:
      return set(DecodeTaskNew(abi.task_new, from));
    case MSG_TASK_BLOCKED:
      return set(DecodeTaskBlocked(from));
    case MSG_TASK_WAKEUP:
      return set(DecodeTaskWakeup(from));
    case MSG_TASK_PREEMPT:
      return set(DecodeTaskPreempt(from));
    case MSG_TASK_YIELD:
      return set(DecodeTaskYield(from));
    case MSG_TASK_DEAD:
      return set(DecodeTaskDead(HasCpu(abi), from));
    case MSG_TASK_DEPARTED:
      return set(DecodeTaskDeparted(from));
    case MSG_TASK_SWITCHTO:
      return set(DecodeTaskSwitchto(from));
    case MSG_TASK_AFFINITY_CHANGED:
      return set(TaskAffinityChanged{.gtid = Load<int64_t>(from)});
    case MSG_TASK_PRIORITY_CHANGED:
      return set(DecodeTaskPriorityChanged(from));
    case MSG_TASK_ON_CPU:
      return set(DecodeTaskOnCpu(abi.latched_message, from));
    case MSG_TASK_LATCH_FAILURE:
      return set(DecodeTaskLatchFailure(from));
    case MSG_CPU_TICK:
      return set(DecodeCpuTick(HasIsAgent(abi), from));
    case MSG_CPU_TIMER_EXPIRED:
      return set(DecodeCpuTimerExpired(from));
    case MSG_CPU_NOT_IDLE:
      return set(DecodeCpuNotIdle(from));
    case MSG_CPU_AVAILABLE:
      return set(CpuAvailable{Load<int32_t>(from)});
    case MSG_CPU_BUSY:
      return set(CpuBusy{Load<int32_t>(from)});
    case MSG_CPU_AGENT_BLOCKED:
      return set(AgentBlocked{Load<int32_t>(from)});
    case MSG_CPU_AGENT_WAKEUP:
      return set(AgentWakeup{Load<int32_t>(from)});
    default:
      GHOST_DCHECK(false) << "type " << type << " has a size but no decoder";
  }
}

// What Get says of the payload's alternative. One comparison each, which the compiler makes one jump of; std::visit
// would be a call.
template <typename Get, size_t... Index>
auto FirstMember(const Payload& payload, decltype(Get::kNone) none, std::index_sequence<Index...>) {
  auto value = none;
  (void)((payload.index() == Index && (value = Get::Of(*std::get_if<Index>(&payload)), true)) || ...);
  return value;
}

struct GetGtid {
  static constexpr int64_t kNone = 0;
  static int64_t Of(const auto& m) {
    if constexpr (requires { m.gtid; }) return m.gtid;
    return kNone;
  }
};

struct GetCpu {
  static constexpr int kNone = -1;
  static int Of(const auto& m) {
    // Task messages may have a cpu too, but aren't about it.
    if constexpr (
        requires { m.cpu; } && !requires { m.gtid; })
      return m.cpu;
    return kNone;
  }
};

constexpr auto kAlternatives = std::make_index_sequence<std::variant_size_v<Payload>>();

}  // namespace

DecodeError DecodeMessage(const AbiVersion& abi, std::span<const std::byte> bytes, Message* out) {
  if (bytes.size() < sizeof(ghost_msg)) return DecodeError::kTruncated;
  const auto header = Load<ghost_msg>(bytes.data());
  if (header.type == MSG_NOP) [[unlikely]] {
    *out = Message();
    return DecodeError::kOk;
  }
  if (header.length < sizeof(ghost_msg) || header.length > bytes.size()) return DecodeError::kTruncated;
  const int size = header.type < abi.payload_size.size() ? abi.payload_size[header.type] : -1;
  if (size < 0) return DecodeError::kUnknownType;
  if (header.length < sizeof(ghost_msg) + static_cast<size_t>(size)) return DecodeError::kShortPayload;
  out->type = header.type;
  out->seqnum = header.seqnum;
  DecodePayload(abi, header.type, bytes.data() + sizeof(ghost_msg), &out->payload);
  return DecodeError::kOk;
}

uint16_t TypeOf(const Payload& payload) { return kTypes[payload.index()]; }

Message MakeMessage(uint32_t seqnum, const Payload& payload) {
  return {.type = TypeOf(payload), .seqnum = seqnum, .payload = payload};
}

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

int64_t GtidOf(const Message& message) { return FirstMember<GetGtid>(message.payload, GetGtid::kNone, kAlternatives); }

int CpuOf(const Message& message) { return FirstMember<GetCpu>(message.payload, GetCpu::kNone, kAlternatives); }

}  // namespace ghost
