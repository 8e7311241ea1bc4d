#include "kernel/abi/abi_version.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace ghost {
namespace {

// The layouts of TASK_NEW that there have been, by the version that brought them.
constexpr TaskNewLayout kTaskNew69 = {
    .size = 32, .runtime = 8, .runnable = 16, .nice = -1, .sw_info = 20, .parent_gtid = -1, .agent_data = -1};
constexpr TaskNewLayout kTaskNew75 = {
    .size = 32, .runtime = 8, .runnable = 16, .nice = 20, .sw_info = 24, .parent_gtid = -1, .agent_data = -1};
constexpr TaskNewLayout kTaskNew77 = {
    .size = 40, .runtime = 16, .runnable = 24, .nice = 28, .sw_info = 32, .parent_gtid = 8, .agent_data = -1};
constexpr TaskNewLayout kTaskNew88 = {
    .size = 48, .runtime = 16, .runnable = 24, .nice = 28, .sw_info = 32, .parent_gtid = 8, .agent_data = 40};

constexpr std::array<int8_t, _MSG_CPU_LAST + 1> PayloadSizes(const AbiVersion& abi) {
  std::array<int8_t, _MSG_CPU_LAST + 1> size;
  size.fill(-1);
  size[MSG_NOP] = 0;
  size[MSG_TASK_DEAD] = static_cast<int8_t>(abi.task_dead_size);
  size[MSG_TASK_BLOCKED] = sizeof(ghost_msg_payload_task_blocked);
  size[MSG_TASK_WAKEUP] = sizeof(ghost_msg_payload_task_wakeup);
  size[MSG_TASK_NEW] = static_cast<int8_t>(abi.task_new.size);
  size[MSG_TASK_PREEMPT] = sizeof(ghost_msg_payload_task_preempt);
  size[MSG_TASK_YIELD] = sizeof(ghost_msg_payload_task_yield);
  size[MSG_TASK_DEPARTED] = sizeof(ghost_msg_payload_task_departed);
  size[MSG_TASK_SWITCHTO] = sizeof(ghost_msg_payload_task_switchto);
  size[MSG_TASK_AFFINITY_CHANGED] = sizeof(ghost_msg_payload_task_affinity_changed);
  size[MSG_TASK_ON_CPU] = sizeof(ghost_msg_payload_task_on_cpu);
  if (abi.priority_changed) size[MSG_TASK_PRIORITY_CHANGED] = sizeof(ghost_msg_payload_task_priority_changed);
  if (abi.latch_failure) size[MSG_TASK_LATCH_FAILURE] = sizeof(ghost_msg_payload_task_latch_failure);
  size[MSG_CPU_TICK] = static_cast<int8_t>(abi.cpu_tick_size);
  size[MSG_CPU_TIMER_EXPIRED] = sizeof(ghost_msg_payload_timer);
  size[MSG_CPU_NOT_IDLE] = sizeof(ghost_msg_payload_cpu_not_idle);
  if (abi.cpu_availability) {
    size[MSG_CPU_AVAILABLE] = size[MSG_CPU_BUSY] = sizeof(ghost_msg_payload_cpu);
  }
  if (abi.agent_runnability) {
    size[MSG_CPU_AGENT_BLOCKED] = size[MSG_CPU_AGENT_WAKEUP] = sizeof(ghost_msg_payload_cpu);
  }
  return size;
}
// LATCHED and ON_CPU share a number, and their size.
static_assert(sizeof(ghost_msg_payload_task_latched) == sizeof(ghost_msg_payload_task_on_cpu));

constexpr std::array<uint16_t, _MSG_CPU_LAST + 1> TooShort(const std::array<int8_t, _MSG_CPU_LAST + 1>& payload_size) {
  std::array<uint16_t, _MSG_CPU_LAST + 1> too_short;
  too_short.fill(UINT16_MAX);
  for (size_t type = MSG_NOP + 1; type < payload_size.size(); ++type) {
    if (payload_size[type] < 0) continue;
    too_short[type] = static_cast<uint16_t>(sizeof(ghost_msg) + static_cast<size_t>(payload_size[type]) - 1);
  }
  return too_short;
}

// Each `>=` below is one line of the ABI's history: the version that changed it.
constexpr AbiVersion MakeAbi(uint32_t v) {
  AbiVersion abi = {
      .number = v,
      .task_new = v >= 88   ? kTaskNew88
                  : v >= 77 ? kTaskNew77
                  : v >= 75 ? kTaskNew75
                            : kTaskNew69,
      .task_dead_size = v >= 89 ? 16 : 8,
      .cpu_tick_size = v >= 90 ? 8 : 4,
      .latched_message = v <= 77,
      .payload_size = {},
      .too_short = {},
      .tasks_accept_gtid = v >= 70,
      .cpu_availability = v >= 71,
      .agent_runnability = v >= 72,
      .become_agent_takes_cpu = v >= 74,
      .priority_changed = v >= 75,
      .latch_failure = v >= 80,
      .partial_sync_failure = v >= 73,
      .named_create_options = v >= 70,
      .bpf_msg_size = v >= 88   ? 64
                      : v >= 82 ? 56
                                : 48,
      .bpf_msg_type_offset = v >= 88 ? 48 : 40,
      .bpf_msg_seqnum_offset = v >= 88 ? 52 : 44,
      .bpf_msg_pref_cpu_offset = v >= 88   ? 56
                                 : v >= 82 ? 48
                                           : -1,
      .bpf_resched_cpu2 = v >= 79,
  };
  abi.payload_size = PayloadSizes(abi);
  abi.too_short = TooShort(abi.payload_size);
  return abi;
}

constexpr auto kAbis = [] {
  std::array<AbiVersion, kNewestAbi - kOldestAbi + 1> abis = {};
  for (uint32_t v = kOldestAbi; v <= kNewestAbi; ++v) abis[v - kOldestAbi] = MakeAbi(v);
  return abis;
}();

}  // namespace

const AbiVersion* FindAbi(uint32_t number) {
  if (number < kOldestAbi || number > kNewestAbi) return nullptr;
  return &kAbis[number - kOldestAbi];
}

std::optional<uint32_t> NewestCommonAbi(const std::vector<uint32_t>& offered) {
  std::optional<uint32_t> newest;
  for (uint32_t number : offered) {
    if (FindAbi(number) != nullptr && (!newest.has_value() || number > *newest)) newest = number;
  }
  return newest;
}

std::string KnownAbis() { return absl::StrCat(kOldestAbi, " to ", kNewestAbi); }

}  // namespace ghost
