// What differs between the ghost ABI versions 69..91, one row a version.
//
// Programs choose the version at run time: they read ghostfs's `version` file, take the newest number that both sides
// know (NewestCommonAbi) and pass it in `create`. Everything else is asked of the AbiVersion: there is no other `if` on
// a version number in this project. Layouts of version 91 itself stand in kernel/ghost_uapi.h.
//
// Thread-safe: immutable tables. Source: the version history of the ABI (69 base … 91).
#ifndef GHOST_KERNEL_ABI_ABI_VERSION_H_
#define GHOST_KERNEL_ABI_ABI_VERSION_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/ghost_uapi.h"

namespace ghost {

// Byte offsets in TASK_NEW's payload; -1 where the version has no such field.
struct TaskNewLayout {
  int size;
  int runtime;
  int runnable;
  int nice;
  int sw_info;
  int parent_gtid;
  int agent_data;
};

struct AbiVersion {
  uint32_t number;
  TaskNewLayout task_new;
  int task_dead_size;    // 8, or 16 with the cpu at 8 (from 89)
  int cpu_tick_size;     // 4, or 8 with is_agent at 4 (from 90)
  bool latched_message;  // number 73 is TASK_LATCHED with latched_preempt (until 77), else TASK_ON_CPU

  // Bytes of each message's payload, by type; -1: no such message. The least that a message of that type must have:
  // newer minors may append.
  std::array<int8_t, _MSG_CPU_LAST + 1> payload_size;
  // The same for the decoder: the greatest length (header included) that is too short for the type; UINT16_MAX where
  // there is no such message.
  std::array<uint16_t, _MSG_CPU_LAST + 1> too_short;

  // Which files, commands and messages exist.
  bool tasks_accept_gtid;       // from 70
  bool cpu_availability;        // CPU_AVAILABLE/BUSY and deliver_cpu_availability, from 71
  bool agent_runnability;       // CPU_AGENT_BLOCKED/WAKEUP and deliver_agent_runnability, from 72
  bool become_agent_takes_cpu;  // `become agent <cpu> <qfd>`, from 74; before: `become agent <qfd>`
  bool priority_changed;        // TASK_PRIORITY_CHANGED, from 75
  bool latch_failure;           // TASK_LATCH_FAILURE, from 80
  bool partial_sync_failure;    // a failed sync group may leave transactions without a state, from 73
  // `create <id> <abi>` takes the options `gid=N` and `ephemeral`, and refuses others; before: a bare gid, and anything
  // else is ignored. Which version brought them is not recorded; taken to be 70.
  bool named_create_options;

  // BPF: layouts and helper numbers (see the loader).
  int bpf_msg_size;
  int bpf_msg_type_offset;
  int bpf_msg_seqnum_offset;
  int bpf_msg_pref_cpu_offset;  // -1 until 81
  bool bpf_resched_cpu2;        // helper 3003 from 79, 3002 before
};

// The row of `number`, or null for a version outside 69..91. (76 was never published; it is taken to be as 75.)
const AbiVersion* FindAbi(uint32_t number);

inline constexpr uint32_t kOldestAbi = 69;
inline constexpr uint32_t kNewestAbi = 91;

// The newest version that stands in `offered` and that this build knows, if any.
std::optional<uint32_t> NewestCommonAbi(const std::vector<uint32_t>& offered);

// "69 to 91", for messages to the user.
std::string KnownAbis();

}  // namespace ghost

#endif  // GHOST_KERNEL_ABI_ABI_VERSION_H_
