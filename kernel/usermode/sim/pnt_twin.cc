#include "kernel/usermode/sim/pnt_twin.h"

#include <cerrno>
#include <span>
#include <utility>

#include "lib/base/shared_word.h"

namespace ghost::sim {
namespace {

using usermode::BpfHelpers;
using usermode::BpfHook;

class TwinProgram final : public usermode::BpfProgram {
 public:
  explicit TwinProgram(std::shared_ptr<pnt> memory) : memory_(std::move(memory)), twin_(memory_.get()) {}
  bool Run(BpfHook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    *result = 0;
    twin_.PickNextTask(*reinterpret_cast<const bpf_ghost_sched*>(context.data()), cpu, helpers);
    return true;
  }

 private:
  const std::shared_ptr<pnt> memory_;
  PntTwin twin_;
};

// As BPF's addition, which tells nothing.
void Add(__u64& word, uint64_t more) {
  __u64 was = LoadShared<Order::kRelaxed>(word);
  while (!ExchangeShared(word, &was, static_cast<__u64>(was + more))) continue;
}

bool Allows(const pnt_slot& slot, int cpu) {
  return (LoadShared<Order::kRelaxed>(slot.cpus[cpu / 64]) >> (cpu % 64) & 1) != 0;
}

}  // namespace

std::unique_ptr<usermode::BpfProgram> PntTwin::Program(std::shared_ptr<pnt> memory) {
  return std::make_unique<TwinProgram>(std::move(memory));
}

uint32_t PntTwin::FirstOf(uint32_t ring, uint32_t found, uint32_t slot, int cpu) {
  const pnt_slot& candidate = memory_.rings[ring].slots[slot];
  const uint64_t word = LoadShared<Order::kRelaxed>(candidate.word);
  if (PNT_STATUS(word) != PNT_READY || !Allows(candidate, cpu)) return found;
  if (found == 0) return slot + 1;
  const uint64_t other = LoadShared<Order::kRelaxed>(memory_.rings[ring].slots[found - 1].word);
  if (PNT_STATUS(other) == PNT_READY && static_cast<int32_t>(PNT_HIGH(word) - PNT_HIGH(other)) >= 0) return found;
  return slot + 1;
}

uint32_t PntTwin::FirstReady(uint32_t ring, int cpu) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < slots_; ++i) found = FirstOf(ring, found, i, cpu);
  return found;
}

bool PntTwin::Claim(pnt_slot& slot, int cpu) {
  if (lock_ != nullptr) lock_->Acquire();
  bool claimed = false;
  if (PNT_STATUS(LoadShared<Order::kRelaxed>(slot.word)) == PNT_READY) {
    Add(slot.word, PNT_CLAIM);
    const uint64_t now = LoadShared<Order::kAcquire>(slot.word);
    claimed = PNT_STATUS(now) == (PNT_READY | PNT_CLAIM);
    if (claimed) {
      StoreShared<Order::kRelease>(slot.word, static_cast<__u64>(PNT_WORD(PNT_CLAIMED, cpu, PNT_HIGH(now))));
    } else {
      Add(slot.word, -static_cast<uint64_t>(PNT_CLAIM));
    }
  }
  if (lock_ != nullptr) lock_->Release();
  return claimed;
}

bool PntTwin::Take(uint32_t ring, uint32_t number, int cpu, BpfHelpers& helpers) {
  pnt_slot& slot = memory_.rings[ring].slots[number];
  __u32& takes = memory_.cpus[cpu].takes;
  if (!Claim(slot, cpu)) return false;
  int error = -EINVAL;
  if (Allows(slot, cpu)) {
    __s64 gtid = 0;
    __u32 barrier = 0;
    ReadShared(&gtid, &slot.gtid, sizeof(gtid));
    ReadShared(&barrier, &slot.barrier, sizeof(barrier));
    error = helpers.RunGtid(gtid, barrier, 0);
  }
  if (error == 0) {
    const __u32 taken = LoadShared<Order::kRelaxed>(takes) + 1;
    StoreShared<Order::kRelease>(takes, __u32{taken});
    StoreShared<Order::kRelease>(slot.word, static_cast<__u64>(PNT_WORD(PNT_LATCHED, cpu, taken)));
    return true;
  }
  StoreShared<Order::kRelease>(slot.word, static_cast<__u64>(PNT_WORD(PNT_FAILED, cpu, 0) | PNT_ERROR(-error & 0xff)));
  helpers.WakeAgent(static_cast<int>(LoadShared<Order::kRelaxed>(memory_.agent_cpu)));
  return false;
}

void PntTwin::PickNextTask(const bpf_ghost_sched& context, int cpu, BpfHelpers& helpers) {
  if (LoadShared<Order::kRelaxed>(memory_.active) == 0) return;
  if (context.agent_runnable || context.might_yield || context.next_gtid) return;
  const uint32_t ring = LoadShared<Order::kRelaxed>(memory_.cpus[cpu].ring);
  if (ring == 0) return;
  for (int i = 0; i < PNT_ATTEMPTS; ++i) {
    const uint32_t found = FirstReady(ring - 1, cpu);
    if (found == 0 || Take(ring - 1, found - 1, cpu, helpers)) return;
  }
}

}  // namespace ghost::sim
