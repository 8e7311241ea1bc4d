// The view of ghostd's kernel that an agent's BPF programs look at, in maps that the agent made (ghost_maps.h).
//
// What it is: a hash table of tasks, one line a CPU, and the affinities that there are, kept by plain stores through
// mmap while no program runs. The agent maps them, too, and may write what it likes: nothing here is ever read back;
// which slot is whose is known here. What it is not: it does not know when something changes (core/programs.h does).
// One thread.
#ifndef GHOST_KERNEL_USERMODE_LINUX_BPF_VIEW_H_
#define GHOST_KERNEL_USERMODE_LINUX_BPF_VIEW_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/bpf_program.h"
#include "lib/base/cpu_set.h"
#include "third_party/bpf/ghost_maps.h"

namespace ghost::usermode {

class MappedView final : public BpfView {
 public:
  // Arrays of GHOST_VIEW_TASKS and GHOST_VIEW_CPUS elements, and one ghost_effects, all of which outlive this.
  MappedView(ghost_view_task* tasks, ghost_view_cpu* cpus, ghost_effects* effects);

  void TaskChanged(const Task& task) override;
  void TaskAffinity(int64_t gtid, const CpuSet& affinity) override;
  void TaskGone(int64_t gtid) override;
  void CpuChanged(const Cpu& cpu) override;

  // Tasks that found no slot: programs can't run them (ENOENT). Affinities that found no number: such tasks seem to be
  // allowed everywhere.
  uint64_t tasks_left_out() const { return tasks_left_out_; }
  uint64_t masks_left_out() const { return masks_left_out_; }

 private:
  struct Slot {
    int64_t gtid = 0;
    uint32_t next = 0;  // of the chain, + 1
    uint32_t mask = 0;
  };
  struct Mask {
    CpuSet cpus;
    uint32_t users = 0;
  };

  int SlotOf(int64_t gtid);
  int Take(int64_t gtid);
  void Unlink(uint32_t slot);
  void DropMask(uint32_t mask);
  uint32_t TakeMask(const CpuSet& affinity);

  ghost_view_task* const tasks_;
  ghost_view_cpu* const cpus_;
  ghost_effects* const effects_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> heads_;  // of chains, + 1
  std::vector<uint32_t> free_;
  std::vector<Mask> masks_;
  absl::flat_hash_map<int64_t, uint32_t> by_gtid_;
  uint64_t tasks_left_out_ = 0;
  uint64_t masks_left_out_ = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_BPF_VIEW_H_
