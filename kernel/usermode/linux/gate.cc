#include "kernel/usermode/linux/gate.h"

#include <atomic>

namespace ghost::usermode {
namespace {

std::atomic_ref<uint32_t> AtomicState(gate_slot& slot) { return std::atomic_ref<uint32_t>(slot.state); }

}  // namespace

void Gate::UseSlots(gate_slot* slots) {
  slots_ = slots;
  free_slots_.reserve(GATE_MAX_SLOTS);
  for (int slot = GATE_MAX_SLOTS - 1; slot >= 0; --slot) free_slots_.push_back(slot);
}

int Gate::TakeSlot(int32_t tid, uint32_t state) {
  if (free_slots_.empty()) return -1;
  int slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = {};
  slots_[slot].tid = static_cast<uint32_t>(tid);
  SetState(slot, state);
  return slot;
}

void Gate::GiveSlot(int slot) {
  AtomicState(slots_[slot]).store(GATE_FREE, std::memory_order_release);
  free_slots_.push_back(slot);
}

uint32_t Gate::State(int slot) const { return AtomicState(slots_[slot]).load(std::memory_order_acquire); }

void Gate::SetState(int slot, uint32_t state) {
  uint32_t before = State(slot);
  while (before != GATE_EXITED && !AtomicState(slots_[slot]).compare_exchange_weak(before, state)) continue;
}

bool Gate::ChangeState(int slot, uint32_t from, uint32_t to) {
  return AtomicState(slots_[slot]).compare_exchange_strong(from, to, std::memory_order_acq_rel);
}

bool Gate::SignalSent(int slot) const {
  return std::atomic_ref<uint32_t>(slots_[slot].signal_sent).load(std::memory_order_acquire) != 0;
}

bool Gate::TakeSignal(int slot) {
  return std::atomic_ref<uint32_t>(slots_[slot].signal_sent).exchange(0, std::memory_order_acq_rel) != 0;
}

bool Gate::TakeLostCont(int slot) {
  std::atomic_ref<uint32_t> lost(slots_[slot].lost_cont);
  return lost.load(std::memory_order_acquire) != 0 && lost.exchange(0, std::memory_order_acq_rel) != 0;
}

}  // namespace ghost::usermode
