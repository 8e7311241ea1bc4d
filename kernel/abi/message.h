// Messages of any ABI version in one canonical form, with the decoder (wire bytes -> Message) and the encoder.
//
// Policies and runtimes only ever see these structs. A field that an older ABI lacks is std::optional, or has the
// documented default; it is never uninitialised. Decoding never trusts the bytes: a length too short for its type or an
// unknown type is an error value, not a crash. Longer payloads than known are accepted (newer minors may append).
//
// Not here: the ring (lib/channel.h consumes it, kernel/usermode/core/queue.h produces into it).
//
// Thread-safe: pure functions. No allocation.
#ifndef GHOST_KERNEL_ABI_MESSAGE_H_
#define GHOST_KERNEL_ABI_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi.h"

namespace ghost {

struct TaskNew {
  int64_t gtid = 0;
  int64_t parent_gtid = 0;  // 0: unknown (before 77)
  uint64_t runtime_ns = 0;
  bool runnable = false;
  std::optional<int> nice;  // absent before 75
  ghost_sw_info sw_info = {};
  uint64_t agent_data = 0;  // 0 before 88
};
struct TaskBlocked {
  int64_t gtid = 0;
  uint64_t runtime_ns = 0;
  uint64_t cpu_seqnum = 0;
  int cpu = -1;
  bool from_switchto = false;
};
struct TaskWakeup {
  int64_t gtid = 0;
  uint64_t agent_data = 0;
  bool deferrable = false;
  int last_ran_cpu = -1;
  int wake_up_cpu = -1;
  int waker_cpu = -1;
};
struct TaskPreempt {
  int64_t gtid = 0;
  uint64_t runtime_ns = 0;
  uint64_t cpu_seqnum = 0;
  uint64_t agent_data = 0;
  int cpu = -1;
  bool from_switchto = false;
  bool was_latched = false;
};
struct TaskYield {
  int64_t gtid = 0;
  uint64_t runtime_ns = 0;
  uint64_t cpu_seqnum = 0;
  uint64_t agent_data = 0;
  int cpu = -1;
  bool from_switchto = false;
};
struct TaskDead {
  int64_t gtid = 0;
  std::optional<int> cpu;  // absent before 89
};
struct TaskDeparted {
  int64_t gtid = 0;
  uint64_t cpu_seqnum = 0;
  int cpu = -1;
  bool from_switchto = false;
  bool was_current = false;
};
struct TaskSwitchto {
  int64_t gtid = 0;
  uint64_t runtime_ns = 0;
  uint64_t cpu_seqnum = 0;
  int cpu = -1;
};
struct TaskAffinityChanged {
  int64_t gtid = 0;
};
struct TaskPriorityChanged {
  int64_t gtid = 0;
  int nice = 0;
};
// TASK_ON_CPU, and TASK_LATCHED before 78.
struct TaskOnCpu {
  int64_t gtid = 0;
  uint64_t commit_time_ns = 0;
  uint64_t cpu_seqnum = 0;
  int cpu = -1;
  bool latched_preempt = false;  // always false from 78
};
struct TaskLatchFailure {
  int64_t gtid = 0;
  int error = 0;  // an errno
};
struct CpuTick {
  int cpu = -1;
  bool is_agent = false;  // false before 90
};
struct CpuTimerExpired {
  int cpu = -1;
  uint64_t type = 0;
  uint64_t cookie = 0;
};
struct CpuNotIdle {
  int cpu = -1;
  int64_t next_gtid = 0;
};
struct CpuAvailable {
  int cpu = -1;
};
struct CpuBusy {
  int cpu = -1;
};
struct AgentBlocked {
  int cpu = -1;
};
struct AgentWakeup {
  int cpu = -1;
};

using Payload =
    std::variant<std::monostate, TaskNew, TaskBlocked, TaskWakeup, TaskPreempt, TaskYield, TaskDead, TaskDeparted,
                 TaskSwitchto, TaskAffinityChanged, TaskPriorityChanged, TaskOnCpu, TaskLatchFailure, CpuTick,
                 CpuTimerExpired, CpuNotIdle, CpuAvailable, CpuBusy, AgentBlocked, AgentWakeup>;

struct Message {
  uint16_t type = MSG_NOP;
  uint32_t seqnum = 0;  // barrier of the task, or of the agent for cpu messages
  Payload payload;      // monostate for MSG_NOP
};

enum class DecodeError {
  kOk,
  kTruncated,     // fewer bytes than the header's length says, or a length below the header's size
  kShortPayload,  // the payload is shorter than this type has at this version
  kUnknownType,   // no such type at this version
};

// Decodes the message that starts at bytes[0]; `bytes` may be longer than the message. On kOk *out holds it, otherwise
// it is unchanged. The bytes need no alignment. Of a MSG_NOP only the type is looked at: its length may have overflowed
// and its seqnum is not set (0 in *out).
DecodeError DecodeMessage(const AbiVersion& abi, std::span<const std::byte> bytes, Message* out);

// The largest encoded message of any version, header included, bytes.
inline constexpr size_t kMaxMessageBytes = sizeof(ghost_msg) + sizeof(ghost_msg_payload_task_new);

// The type that goes with a payload: each alternative belongs to one.
uint16_t TypeOf(const Payload& payload);
Message MakeMessage(uint32_t seqnum, const Payload& payload);

// Encodes `message` for `abi` into out (at least kMaxMessageBytes). Returns the length in bytes (header + payload), or
// 0 if the version has no such message. The payload decides the type. Padding is zero; an absent TaskDead::cpu is
// written as -1, an absent nice as 0.
size_t EncodeMessage(const AbiVersion& abi, const Message& message, std::span<std::byte> out);

// The gtid of a task message, or 0; the cpu of a cpu message, or -1.
int64_t GtidOf(const Message& message);
int CpuOf(const Message& message);

// "TASK_NEW", or "type 200".
std::string MessageTypeName(uint16_t type);
// "TASK_BLOCKED seq=2 gtid=… cpu=0 …", for dumps and test failures.
std::string ToString(const Message& message);

const char* DecodeErrorName(DecodeError error);

}  // namespace ghost

#endif  // GHOST_KERNEL_ABI_MESSAGE_H_
