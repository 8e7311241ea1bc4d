#include "lib/pnt_ring.h"

#include <algorithm>
#include <utility>

namespace ghost {
namespace {

// How many tasks are looked at for each that a ring has room for: not all can be offered.
constexpr int kLooksPerSlot = 4;

bool IsBefore(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

}  // namespace

PntRing::PntRing(pnt* memory, const CpuSet& cpus, const Topology& topology)
    : memory_(*memory),
      cpus_(cpus),
      last_take_(static_cast<size_t>(cpus.Last()) + 1),
      ring_of_(static_cast<size_t>(cpus.Last()) + 1, -1) {
  std::vector<int> nodes;
  for (int cpu : cpus) {
    const Topology::Cpu its = topology.cpu(cpu);
    const int node = its.valid() ? its.numa_node() : 0;
    const auto found = std::find(nodes.begin(), nodes.end(), node);
    const int ring = static_cast<int>(found - nodes.begin()) % PNT_RINGS;
    if (found == nodes.end()) nodes.push_back(node);
    ring_cpus_[ring].Add(cpu);
    ring_of_[static_cast<size_t>(cpu)] = ring;
  }
  num_rings_ = std::min(static_cast<int>(nodes.size()), PNT_RINGS);
  kept_.resize(static_cast<size_t>(num_rings_) * PNT_SLOTS);
}

void PntRing::SetTakers(int global_cpu, int heir) {
  StoreShared<Order::kRelaxed>(memory_.agent_cpu, static_cast<__u32>(global_cpu));
  for (int cpu : cpus_) {
    const bool takes = cpu != global_cpu && cpu != heir;
    StoreShared<Order::kRelaxed>(memory_.cpus[cpu].ring,
                                 static_cast<__u32>(takes ? ring_of_[static_cast<size_t>(cpu)] + 1 : 0));
  }
}

// ---- Offering ----

void PntRing::Begin() {
  looked_at_ = 0;
  room_ = num_rings_ * PNT_SLOTS;
  for (int ring = 0; ring < num_rings_; ++ring) wanted_[ring].count = 0;
}

// The ring where its caches are, if that has room; else the one with the most. -1: there is none.
int PntRing::RingFor(const TaskBase& task) const {
  const auto suits = [&](int ring) {
    return wanted_[ring].count < PNT_SLOTS && ring_cpus_[ring].Intersects(task.allowed());
  };
  const int home = task.home();
  if (home >= 0 && home < static_cast<int>(ring_of_.size())) {
    if (const int ring = ring_of_[static_cast<size_t>(home)]; ring >= 0 && suits(ring)) return ring;
  }
  int best = -1;
  for (int ring = 0; ring < num_rings_; ++ring) {
    if (suits(ring) && (best < 0 || wanted_[ring].count < wanted_[best].count)) best = ring;
  }
  return best;
}

bool PntRing::Offer(TaskBase* task) {
  if (room_ == 0 || ++looked_at_ > kLooksPerSlot * num_rings_ * PNT_SLOTS) return false;
  if (task->in_ring()) {
    const int number = task->slot_;
    const int ring = number / PNT_SLOTS;
    if (kept_[number].barrier == task->seqnum() && wanted_[ring].count < PNT_SLOTS) {
      kept_[number].wanted = true;
      wanted_[ring].tasks[wanted_[ring].count++] = task;
      --room_;
      return true;
    }
    if (!Revoke(number)) return true;  // Reap tells what became of it
  }
  const StatusWord& word = task->status_word();
  // A task of which a message is unread, or that has not left its CPU yet, could not be latched.
  if (!word.valid() || word.barrier() != task->seqnum() || word.on_cpu()) return true;
  const int ring = RingFor(*task);
  if (ring < 0) return true;
  wanted_[ring].tasks[wanted_[ring].count++] = task;
  --room_;
  return true;
}

void PntRing::End() {
  for (int ring = 0; ring < num_rings_; ++ring) {
    for (uint64_t slots = used_[ring]; slots != 0; slots &= slots - 1) {
      const int number = ring * PNT_SLOTS + __builtin_ctzll(slots);
      if (kept_[number].task != nullptr && !std::exchange(kept_[number].wanted, false)) Revoke(number);
    }
    PutInOrder(ring);
  }
}

// From the last to the first, so that who is there already keeps its number where that can be.
void PntRing::PutInOrder(int ring) {
  const Wanted& wanted = wanted_[ring];
  int behind = 0;  // new ones after all that are there
  while (behind < wanted.count && !wanted.tasks[wanted.count - 1 - behind]->in_ring()) ++behind;
  last_order_[ring] += static_cast<uint32_t>(behind);
  uint32_t next = last_order_[ring] + 1;
  for (int i = wanted.count - 1; i >= 0; --i) {
    TaskBase* task = wanted.tasks[i];
    if (!task->in_ring()) {
      PublishAt(ring, task, --next);
      continue;
    }
    Kept& kept = kept_[task->slot_];
    if (IsBefore(kept.order, next)) {
      next = kept.order;
    } else if (At(task->slot_).Reorder(kept.order, --next)) {
      kept.order = next;
    }
  }
}

void PntRing::PublishAt(int ring, TaskBase* task, uint32_t order) {
  if (~used_[ring] == 0) return;  // slots of tasks that were taken meanwhile are still to be reaped
  const int slot = __builtin_ctzll(~used_[ring]);
  const int number = ring * PNT_SLOTS + slot;
  const std::span<const uint64_t> cpus(task->allowed().words());
  if (!At(number).Publish(task->gtid(), task->seqnum(), order,
                          cpus.first(static_cast<size_t>(cpus_.Last()) / 64 + 1))) {
    return;  // it is offered the next time
  }
  used_[ring] |= uint64_t{1} << slot;
  kept_[number] = {.task = task, .barrier = task->seqnum(), .order = order};
  task->slot_ = number;
  published_.Add(1);
}

// ---- Taking back ----

bool PntRing::Revoke(int number) {
  if (!At(number).Revoke(kept_[number].order)) return false;
  Forget(number);
  revoked_.Add(1);
  return true;
}

// The slot is free for another. Returns whose it was.
TaskBase* PntRing::Forget(int number) {
  used_[number / PNT_SLOTS] &= ~(uint64_t{1} << number % PNT_SLOTS);
  TaskBase* task = kept_[number].task;
  kept_[number] = {};
  if (task != nullptr) task->slot_ = TaskBase::kNoSlot;
  return task;
}

TaskBase* PntRing::Empty(int number) {
  At(number).Free();
  return Forget(number);
}

bool PntRing::TakeBack(TaskBase* task) {
  const int number = task->slot_;
  if (Revoke(number)) return true;
  if (PNT_STATUS(At(number).word()) != PNT_FAILED) return false;
  Empty(number);
  failed_.Add(1);
  return true;
}

bool PntRing::Resolve(TaskBase* task, int* cpu) {
  const int number = task->slot_;
  if (TakeBack(task)) return false;
  const uint64_t word = At(number).word();
  const bool told = PNT_STATUS(word) == PNT_LATCHED || PNT_STATUS(word) == PNT_CLAIMED;
  *cpu = told && cpus_.Contains(static_cast<int>(PNT_CPU(word))) ? static_cast<int>(PNT_CPU(word)) : -1;
  if (PNT_STATUS(word) == PNT_LATCHED) {
    Empty(number);
    NoteTake(word);
  } else {
    // Claimed. If the program has not latched it yet, the message that has come makes it fail, and nothing follows: it
    // is off every CPU in either case. The slot is free once the program is done with it.
    kept_[number].task = nullptr;
    task->slot_ = TaskBase::kNoSlot;
  }
  return true;
}

PntRing::Take PntRing::NoteTake(uint64_t word) {
  const auto cpu = static_cast<int>(PNT_CPU(word));
  taken_.Add(1);
  if (!cpus_.Contains(cpu)) return {.cpu = -1, .latest = false};  // no program of ours wrote that
  uint32_t& last = last_take_[static_cast<size_t>(cpu)];
  const bool latest = IsBefore(last, PNT_HIGH(word));
  if (latest) last = PNT_HIGH(word);
  return {.cpu = cpu, .latest = latest};
}

}  // namespace ghost
