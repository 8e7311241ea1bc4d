#include "tests/bpf/disguise.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/bpf/sections.h"
#include "tests/bpf/insn.h"

namespace ghost {
namespace {

constexpr uint32_t kContextBytes = 16;

const bpf_insn kExit = Insn(BPF_JMP | BPF_EXIT);
bpf_insn Set(int reg, int value) { return Insn(BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, value); }
bpf_insn Copy(int reg, int from) { return Insn(BPF_ALU64 | BPF_MOV | BPF_X, reg, from); }
bpf_insn Call(int helper) { return Insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }

class DisguiseTest : public testing::Test {
 protected:
  // Whether the kernel takes it in disguise.
  bool Passes(const std::vector<bpf_insn>& code) {
    const int context = bpf_map_create(BPF_MAP_TYPE_ARRAY, "context", 4, kContextBytes, 1, nullptr);
    EXPECT_GE(context, 0);
    const DisguisedCode disguised = Disguise(code, context);
    error_ = disguised.error;
    const int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "disguised", "GPL", disguised.code.data(),
                                      disguised.code.size(), nullptr);
    close(context);
    if (program >= 0) close(program);
    return error_.empty() && program >= 0;
  }
  std::string error_;
};

TEST_F(DisguiseTest, ContextsAreAsLargeAsTheyAreAndWritable) {
  EXPECT_TRUE(Passes({Insn(BPF_LDX | BPF_MEM | BPF_DW, 0, 1, 8), Insn(BPF_ST | BPF_MEM | BPF_B, 1, 0, 3, 1), kExit}));
  EXPECT_FALSE(Passes({Insn(BPF_LDX | BPF_MEM | BPF_DW, 0, 1, 16), kExit})) << "beyond its end";
}

TEST_F(DisguiseTest, JumpsAndCallsStillMeetTheirTargets) {
  // Over a call before which 16 instructions are put, forward and back.
  const std::vector<bpf_insn> code = {Copy(6, 1),
                                      Copy(2, 10),
                                      Insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -128),
                                      Set(3, 128),
                                      Insn(BPF_LDX | BPF_MEM | BPF_DW, 1, 6, 0),
                                      Insn(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 3, 0),  // to 9
                                      Call(3005),
                                      Insn(BPF_LDX | BPF_MEM | BPF_DW, 0, 10, -8),  // written by it
                                      kExit,
                                      Set(0, 0),
                                      kExit};
  EXPECT_TRUE(Passes(code)) << error_;
  const DisguisedCode disguised = Disguise(code, 7);
  EXPECT_EQ(disguised.code.size(), code.size() + 2 + 16);
  EXPECT_EQ(disguised.code[7].off, 3 + 16);
  EXPECT_THAT(disguised.moved, testing::ElementsAre(2, 3, 4, 5, 6, 7, 8, 25, 26, 27, 28));
}

TEST_F(DisguiseTest, WhatAVerifierRefusesItStillRefuses) {
  EXPECT_FALSE(Passes({Call(3001), Copy(0, 1), kExit})) << "register 1 is lost in a call";
  EXPECT_FALSE(Passes({Set(0, 0), Insn(BPF_LDX | BPF_MEM | BPF_DW, 0, 0, 0), kExit})) << "a null pointer";
}

TEST_F(DisguiseTest, HelpersThatItDoesNotKnowAreAnError) {
  EXPECT_FALSE(Passes({Call(3004), kExit}));
  EXPECT_FALSE(error_.empty());
  EXPECT_FALSE(Passes({Call(3007), kExit}));
}

TEST_F(DisguiseTest, EverySectionHasAContext) {
  for (const BpfSection& section : kBpfSections) EXPECT_GT(ContextBytes(section.name, 69), 0u) << section.name;
}

}  // namespace
}  // namespace ghost
