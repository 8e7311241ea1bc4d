#include "kernel/usermode/linux/bpf_view.h"

#include <algorithm>
#include <cstring>

namespace ghost::usermode {
namespace {

// The affinity of those that may run everywhere, and of those that found no number.
constexpr uint32_t kAllCpus = 0;

constexpr uint32_t Flag(bool on, uint32_t flag) { return on ? flag : 0; }

}  // namespace

MappedView::MappedView(ghost_view_task* tasks, ghost_view_cpu* cpus, ghost_effects* effects)
    : tasks_(tasks),
      cpus_(cpus),
      effects_(effects),
      slots_(GHOST_VIEW_TASKS),
      heads_(GHOST_VIEW_TASKS),
      masks_(GHOST_VIEW_MASKS) {
  std::memset(tasks_, 0, sizeof(*tasks_) * GHOST_VIEW_TASKS);
  std::memset(cpus_, 0, sizeof(*cpus_) * GHOST_VIEW_CPUS);
  std::memset(effects_, 0, sizeof(*effects_));
  std::memset(effects_->mask[kAllCpus], 0xff, sizeof(effects_->mask[kAllCpus]));
  free_.reserve(GHOST_VIEW_TASKS);
  for (uint32_t slot = GHOST_VIEW_TASKS; slot-- > 0;) free_.push_back(slot);
}

int MappedView::SlotOf(int64_t gtid) {
  auto found = by_gtid_.find(gtid);
  return found == by_gtid_.end() ? -1 : static_cast<int>(found->second);
}

int MappedView::Take(int64_t gtid) {
  if (free_.empty()) {
    ++tasks_left_out_;
    return -1;
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  by_gtid_[gtid] = slot;
  const uint32_t bucket = ghost_view_bucket(gtid);
  slots_[slot] = {.gtid = gtid, .next = heads_[bucket], .mask = kAllCpus};
  heads_[bucket] = slot + 1;
  tasks_[slot].gtid = gtid;
  tasks_[slot].mask = kAllCpus;
  tasks_[slot].next = slots_[slot].next;
  tasks_[bucket].head = slot + 1;
  return static_cast<int>(slot);
}

void MappedView::TaskChanged(const Task& task) {
  int slot = SlotOf(task.gtid);
  if (slot < 0) slot = Take(task.gtid);
  if (slot < 0) return;
  ghost_view_task& shown = tasks_[slot];
  shown.barrier = task.barrier;
  shown.cpu = task.cpu;
  shown.flags = Flag(task.runnable, GHOST_VIEW_RUNNABLE) | Flag(task.on_cpu, GHOST_VIEW_ON_CPU) |
                Flag(task.inhibited, GHOST_VIEW_INHIBITED);
}

void MappedView::TaskGone(int64_t gtid) {
  const int slot = SlotOf(gtid);
  if (slot < 0) return;
  Unlink(static_cast<uint32_t>(slot));
  DropMask(slots_[static_cast<size_t>(slot)].mask);
  by_gtid_.erase(gtid);
  slots_[static_cast<size_t>(slot)] = {};
  tasks_[slot].gtid = 0;
  tasks_[slot].flags = 0;
  tasks_[slot].next = 0;
  free_.push_back(static_cast<uint32_t>(slot));
}

void MappedView::Unlink(uint32_t slot) {
  const uint32_t bucket = ghost_view_bucket(slots_[slot].gtid);
  const uint32_t next = slots_[slot].next;
  if (heads_[bucket] == slot + 1) {
    heads_[bucket] = next;
    tasks_[bucket].head = next;
    return;
  }
  uint32_t before = heads_[bucket] - 1;
  while (slots_[before].next != slot + 1) before = slots_[before].next - 1;
  slots_[before].next = next;
  tasks_[before].next = next;
}

void MappedView::DropMask(uint32_t mask) {
  if (mask != kAllCpus) --masks_[mask].users;
}

uint32_t MappedView::TakeMask(const CpuSet& affinity) {
  uint32_t unused = kAllCpus;
  for (uint32_t mask = 1; mask < GHOST_VIEW_MASKS; ++mask) {
    if (masks_[mask].users == 0) {
      if (unused == kAllCpus) unused = mask;
      if (masks_[mask].cpus.empty()) break;  // none has been used from here on
    } else if (masks_[mask].cpus == affinity) {
      ++masks_[mask].users;
      return mask;
    }
  }
  if (unused == kAllCpus) {
    ++masks_left_out_;
    return kAllCpus;
  }
  masks_[unused] = {.cpus = affinity, .users = 1};
  for (size_t word = 0; word < GHOST_VIEW_CPUS / 64; ++word) effects_->mask[unused][word] = affinity.words()[word];
  return unused;
}

void MappedView::TaskAffinity(int64_t gtid, const CpuSet& affinity) {
  const int slot = SlotOf(gtid);
  if (slot < 0) return;
  Slot& its = slots_[static_cast<size_t>(slot)];
  DropMask(its.mask);
  its.mask = affinity.empty() ? kAllCpus : TakeMask(affinity);
  tasks_[slot].mask = its.mask;
}

void MappedView::CpuChanged(const Cpu& cpu) {
  if (cpu.cpu < 0 || cpu.cpu >= GHOST_VIEW_CPUS) return;
  cpus_[cpu.cpu].flags = Flag(cpu.online, GHOST_VIEW_ONLINE) | Flag(cpu.in_enclave, GHOST_VIEW_IN_ENCLAVE) |
                         Flag(cpu.has_agent, GHOST_VIEW_AGENT) | Flag(cpu.other_class, GHOST_VIEW_OTHER_CLASS) |
                         Flag(cpu.taken, GHOST_VIEW_TAKEN);
}

}  // namespace ghost::usermode
