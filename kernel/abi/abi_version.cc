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

// Each `>=` below is one line of the ABI's history: the version that changed it.
constexpr AbiVersion MakeAbi(uint32_t v) {
  return AbiVersion{
      .number = v,
      .task_new = v >= 88 ? kTaskNew88 : v >= 77 ? kTaskNew77 : v >= 75 ? kTaskNew75 : kTaskNew69,
      .task_dead_size = v >= 89 ? 16 : 8,
      .cpu_tick_size = v >= 90 ? 8 : 4,
      .latched_message = v <= 77,
      .tasks_accept_gtid = v >= 70,
      .cpu_availability = v >= 71,
      .agent_runnability = v >= 72,
      .become_agent_takes_cpu = v >= 74,
      .priority_changed = v >= 75,
      .latch_failure = v >= 80,
      .partial_sync_failure = v >= 73,
      .bpf_msg_size = v >= 88 ? 64 : v >= 82 ? 56 : 48,
      .bpf_msg_type_offset = v >= 88 ? 48 : 40,
      .bpf_msg_seqnum_offset = v >= 88 ? 52 : 44,
      .bpf_msg_pref_cpu_offset = v >= 88 ? 56 : v >= 82 ? 48 : -1,
      .bpf_resched_cpu2 = v >= 79,
  };
}

constexpr auto kAbis = [] {
  std::array<AbiVersion, kNewestAbi - kOldestAbi + 1> abis;
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
