#include "kernel/abi/abi_version.h"

#include <tuple>

#include "gtest/gtest.h"

namespace ghost {
namespace {

using Row = std::tuple<int, int, int, int, int, int, int>;

Row TaskNewRow(uint32_t version) {
  const TaskNewLayout& l = FindAbi(version)->task_new;
  return {l.size, l.runtime, l.runnable, l.nice, l.sw_info, l.parent_gtid, l.agent_data};
}

TEST(AbiVersion, KnowsEveryNumberOfTheRangeAndNoOther) {
  for (uint32_t v = kOldestAbi; v <= kNewestAbi; ++v) {
    ASSERT_NE(FindAbi(v), nullptr) << v;
    EXPECT_EQ(FindAbi(v)->number, v);
  }
  EXPECT_EQ(FindAbi(0), nullptr);
  EXPECT_EQ(FindAbi(68), nullptr);
  EXPECT_EQ(FindAbi(92), nullptr);
  EXPECT_EQ(FindAbi(UINT32_MAX), nullptr);
  EXPECT_EQ(KnownAbis(), "69 to 91");
}

TEST(AbiVersion, TaskNewLayouts) {
  for (uint32_t v = 69; v <= 91; ++v) {
    const Row expected = v <= 74   ? Row{32, 8, 16, -1, 20, -1, -1}
                         : v <= 76 ? Row{32, 8, 16, 20, 24, -1, -1}
                         : v <= 87 ? Row{40, 16, 24, 28, 32, 8, -1}
                                   : Row{48, 16, 24, 28, 32, 8, 40};
    EXPECT_EQ(TaskNewRow(v), expected) << v;
  }
}

// The version that brought each difference, and the one before it.
struct Change {
  const char* name;
  uint32_t version;
  int (*value)(const AbiVersion&);
  int before;
  int from_then_on;
};

constexpr Change kChanges[] = {
    {"task_dead_size", 89, [](const AbiVersion& a) { return a.task_dead_size; }, 8, 16},
    {"cpu_tick_size", 90, [](const AbiVersion& a) { return a.cpu_tick_size; }, 4, 8},
    {"latched_message", 78, [](const AbiVersion& a) -> int { return a.latched_message; }, 1, 0},
    {"tasks_accept_gtid", 70, [](const AbiVersion& a) -> int { return a.tasks_accept_gtid; }, 0, 1},
    {"cpu_availability", 71, [](const AbiVersion& a) -> int { return a.cpu_availability; }, 0, 1},
    {"agent_runnability", 72, [](const AbiVersion& a) -> int { return a.agent_runnability; }, 0, 1},
    {"partial_sync_failure", 73, [](const AbiVersion& a) -> int { return a.partial_sync_failure; }, 0, 1},
    {"become_agent_takes_cpu", 74, [](const AbiVersion& a) -> int { return a.become_agent_takes_cpu; }, 0, 1},
    {"priority_changed", 75, [](const AbiVersion& a) -> int { return a.priority_changed; }, 0, 1},
    {"latch_failure", 80, [](const AbiVersion& a) -> int { return a.latch_failure; }, 0, 1},
    {"bpf_resched_cpu2", 79, [](const AbiVersion& a) -> int { return a.bpf_resched_cpu2; }, 0, 1},
    {"bpf_msg_type_offset", 88, [](const AbiVersion& a) { return a.bpf_msg_type_offset; }, 40, 48},
    {"bpf_msg_seqnum_offset", 88, [](const AbiVersion& a) { return a.bpf_msg_seqnum_offset; }, 44, 52},
    {"TASK_DEAD", 89, [](const AbiVersion& a) -> int { return a.payload_size[MSG_TASK_DEAD]; }, 8, 16},
    {"CPU_TICK", 90, [](const AbiVersion& a) -> int { return a.payload_size[MSG_CPU_TICK]; }, 4, 8},
    {"CPU_BUSY", 71, [](const AbiVersion& a) -> int { return a.payload_size[MSG_CPU_BUSY]; }, -1, 4},
    {"AGENT_WAKEUP", 72, [](const AbiVersion& a) -> int { return a.payload_size[MSG_CPU_AGENT_WAKEUP]; }, -1, 4},
};

TEST(AbiVersion, EachChangeComesWithItsVersion) {
  for (const Change& change : kChanges) {
    for (uint32_t v = 69; v <= 91; ++v) {
      EXPECT_EQ(change.value(*FindAbi(v)), v < change.version ? change.before : change.from_then_on)
          << change.name << " at " << v;
    }
  }
}

TEST(AbiVersion, BpfMessage) {
  for (uint32_t v = 69; v <= 91; ++v) {
    EXPECT_EQ(FindAbi(v)->bpf_msg_size, v <= 81 ? 48 : v <= 87 ? 56 : 64) << v;
    EXPECT_EQ(FindAbi(v)->bpf_msg_pref_cpu_offset, v <= 81 ? -1 : v <= 87 ? 48 : 56) << v;
  }
}

TEST(NewestCommonAbi, TakesTheNewestKnown) {
  EXPECT_EQ(NewestCommonAbi({69}), 69u);
  EXPECT_EQ(NewestCommonAbi({75, 91, 84}), 91u);
  EXPECT_EQ(NewestCommonAbi({200, 84, 68}), 84u);
  EXPECT_EQ(NewestCommonAbi({68, 92}), std::nullopt);
  EXPECT_EQ(NewestCommonAbi({}), std::nullopt);
}

}  // namespace
}  // namespace ghost
