#include "tests/bpf/disguise.h"

#include "tests/bpf/insn.h"

namespace ghost {
namespace {

constexpr int kWakeAgent = 3000;
constexpr int kResched2 = 3003;
constexpr int kGetAffinity = 3005;
constexpr int kGetComm = 3006;
constexpr int kAffinityBytes = 128;  // of ghost.bpf.h's masks
constexpr int kCommBytes = 16;

bool IsPair(const bpf_insn& insn) { return insn.code == (BPF_LD | BPF_DW | BPF_IMM); }
bool IsCall(const bpf_insn& insn) { return insn.code == (BPF_JMP | BPF_CALL); }
bool IsJump(const bpf_insn& insn) {
  const int kind = insn.code & 0x07, operation = insn.code & 0xf0;
  return (kind == BPF_JMP || kind == BPF_JMP32) && operation != BPF_CALL && operation != BPF_EXIT;
}

// What is put before an instruction: a helper's stores into memory that it is handed in register 2.
void Before(const bpf_insn& insn, std::vector<bpf_insn>* code) {
  if (!IsCall(insn) || insn.src_reg != 0) return;
  const int bytes = insn.imm == kGetAffinity ? kAffinityBytes : insn.imm == kGetComm ? kCommBytes : 0;
  for (int offset = 0; offset < bytes; offset += 8)
    code->push_back(Insn(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_2, 0, offset));
}

bool IsGhostHelper(int number) {
  return (number >= kWakeAgent && number <= kResched2) || number == kGetAffinity || number == kGetComm;
}

}  // namespace

DisguisedCode Disguise(const std::vector<bpf_insn>& code, int context) {
  DisguisedCode result;
  std::vector<uint32_t> at;  // where the instruction itself has come
  result.code.push_back(Insn(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, context));
  result.code.push_back({});
  for (size_t i = 0; i < code.size(); ++i) {
    result.moved.push_back(static_cast<uint32_t>(result.code.size()));
    Before(code[i], &result.code);
    at.push_back(static_cast<uint32_t>(result.code.size()));
    bpf_insn insn = code[i];
    if (IsCall(insn) && insn.src_reg == 0 && insn.imm >= kWakeAgent) {
      if (!IsGhostHelper(insn.imm)) result.error = "helper " + std::to_string(insn.imm) + " has no disguise";
      insn.imm = BPF_FUNC_get_prandom_u32;
    }
    result.code.push_back(insn);
    if (!IsPair(insn)) continue;
    if (insn.src_reg == BPF_PSEUDO_FUNC) result.error = "callbacks have no disguise";
    result.moved.push_back(static_cast<uint32_t>(result.code.size()));
    at.push_back(static_cast<uint32_t>(result.code.size()));
    result.code.push_back(code[++i]);
  }
  for (size_t i = 0; i < code.size(); ++i) {
    bpf_insn& insn = result.code[at[i]];
    const auto from = static_cast<int>(at[i]) + 1;
    if (IsJump(insn)) {
      insn.off = static_cast<int16_t>(static_cast<int>(result.moved[i + 1 + static_cast<size_t>(insn.off)]) - from);
    } else if (IsCall(insn) && insn.src_reg == BPF_PSEUDO_CALL) {
      insn.imm = static_cast<int>(result.moved[i + 1 + static_cast<size_t>(insn.imm)]) - from;
    }
    if (IsPair(insn)) ++i;
  }
  return result;
}

uint32_t ContextBytes(const std::string& section, uint32_t layout) {
  if (section == "ghost_sched/pnt") return 16;
  if (section == "ghost_msg/msg_send") return layout >= 88 ? 64 : layout >= 82 ? 56 : 48;
  if (section == "ghost_select_rq/select_rq") return 32;
  if (section == "ghost_halt_poll/halt_poll") return 4;
  return 0;
}

}  // namespace ghost
