// The numbers are the ABI's own (program types 1000 on, attach types 2000 on), written out here once more on purpose.
#include "lib/bpf/sections.h"

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(BpfSectionsTest, OnGhostKernelsTypesAreNumbersAndAttachTypesHaveTheAbi) {
  for (uint32_t abi = 69; abi <= 91; ++abi) {
    const auto pnt = KindOfBpfProgram("ghost_sched/pnt", abi, /*user_mode=*/false);
    const auto msg = KindOfBpfProgram("ghost_msg/msg_send", abi, false);
    const auto select = KindOfBpfProgram("ghost_select_rq/select_rq", abi, false);
    const auto halt = KindOfBpfProgram("ghost_halt_poll/halt_poll", abi, false);
    ASSERT_TRUE(pnt && msg && select && halt);
    EXPECT_EQ(pnt->type, 1000u);
    EXPECT_EQ(msg->type, 1001u);
    EXPECT_EQ(select->type, 1002u);
    EXPECT_EQ(halt->type, 1003u);
    EXPECT_EQ(pnt->attach_type, 2000 + abi * 65536);
    EXPECT_EQ(msg->attach_type, 2001 + abi * 65536);
    EXPECT_EQ(select->attach_type, 2002 + abi * 65536);
    EXPECT_EQ(halt->attach_type, 2003 + abi * 65536);
    EXPECT_TRUE(pnt->loaded && msg->loaded);
    EXPECT_EQ(select->loaded, abi >= 83);
    EXPECT_EQ(halt->loaded, abi >= 84);
    for (const auto& kind : {pnt, msg, select, halt}) {
      EXPECT_EQ(kind->expected_attach_type, kind->attach_type) << "the kernel compares them";
      EXPECT_EQ(kind->flags, 0u);
    }
  }
}

TEST(BpfSectionsTest, OnStockKernelsTheyAreSyscallProgramsOfAnyAbi) {
  for (const BpfSection& section : kBpfSections) {
    for (uint32_t abi : {69u, 91u}) {
      const auto kind = KindOfBpfProgram(section.name, abi, /*user_mode=*/true);
      ASSERT_TRUE(kind);
      EXPECT_EQ(kind->loaded, section.attach != BPF_GHOST_HALT_POLL) << "ghostd has no idle loop to poll in";
      EXPECT_EQ(kind->type, 31u);  // BPF_PROG_TYPE_SYSCALL
      EXPECT_EQ(kind->expected_attach_type, 0u);
      EXPECT_EQ(kind->flags, uint32_t{BPF_F_SLEEPABLE});
      EXPECT_EQ(kind->attach_type, section.attach | abi << 16);
    }
  }
}

TEST(BpfSectionsTest, OtherSectionsAreNoneOfAnAgents) {
  for (const char* name :
       {"", "ghost_sched", "ghost_sched/pnt2", "ghost_halt_poll/halt", "tc", "tp_btf/sched_switch"}) {
    EXPECT_FALSE(KindOfBpfProgram(name, 91, false)) << name;
    EXPECT_FALSE(KindOfBpfProgram(name, 91, true)) << name;
  }
}

}  // namespace
}  // namespace ghost
