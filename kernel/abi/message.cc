#include "kernel/abi/message.h"

#include <array>
#include <cstring>
#include <utility>

#include "kernel/abi/message_decoder.h"

namespace ghost {
namespace {

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

namespace message_internal {

DecodeError WhatIsWrong(const AbiVersion& abi, uint16_t type, uint16_t length) {
  if (length < sizeof(ghost_msg)) return DecodeError::kTruncated;
  const bool known = type < abi.payload_size.size() && type != MSG_NOP && abi.payload_size[type] >= 0;
  return known ? DecodeError::kShortPayload : DecodeError::kUnknownType;
}

}  // namespace message_internal

DecodeError DecodeMessage(const AbiVersion& abi, std::span<const std::byte> bytes, Message* out) {
  if (bytes.size() < sizeof(ghost_msg)) return DecodeError::kTruncated;
  const auto header = message_internal::Load<ghost_msg>(bytes.data());
  if (header.type == MSG_NOP) {
    *out = Message();
    return DecodeError::kOk;
  }
  if (header.length > bytes.size()) return DecodeError::kTruncated;
  return VisitMessage(abi, header, bytes.data() + sizeof(header), [&]<typename T>(const T& m) {
    out->type = header.type;
    out->seqnum = header.seqnum;
    out->payload.emplace<T>(m);
  });
}

uint16_t TypeOf(const Payload& payload) { return kTypes[payload.index()]; }

Message MakeMessage(uint32_t seqnum, const Payload& payload) {
  return {.type = TypeOf(payload), .seqnum = seqnum, .payload = payload};
}

int64_t GtidOf(const Message& message) { return FirstMember<GetGtid>(message.payload, GetGtid::kNone, kAlternatives); }

int CpuOf(const Message& message) { return FirstMember<GetCpu>(message.payload, GetCpu::kNone, kAlternatives); }

}  // namespace ghost
