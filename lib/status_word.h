// Status words: what the kernel says about each task and each agent, read from memory that the kernel writes.
//
// StatusWord is a pointer with accessors; StatusWordTable maps an enclave's regions and turns {region, index} into a
// StatusWord. Both read only; Free() asks the kernel to free a word. Not here: what a change of a word means to a task
// (lib/task.h).
//
// Threads: reading is safe from every thread (the kernel stores the barrier with release after what it announces, all
// accessors are acquire loads). AddRegion from one thread, before others read.
#ifndef GHOST_LIB_STATUS_WORD_H_
#define GHOST_LIB_STATUS_WORD_H_

#include <array>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/shared_word.h"
#include "lib/kernel.h"

namespace ghost {

class StatusWord {
 public:
  StatusWord() = default;
  StatusWord(const ghost_status_word* word, ghost_sw_info info) : word_(word), info_(info) {}

  bool valid() const { return word_ != nullptr; }
  ghost_sw_info info() const { return info_; }

  uint32_t barrier() const { return LoadShared<Order::kAcquire>(word_->barrier); }
  uint32_t flags() const { return LoadShared<Order::kAcquire>(word_->flags); }
  int64_t gtid() const { return static_cast<int64_t>(LoadShared<Order::kAcquire>(word_->gtid)); }
  // ns on CPU, up to the last time that the task left a CPU.
  uint64_t runtime_ns() const { return LoadShared<Order::kAcquire>(word_->runtime); }
  // CLOCK_MONOTONIC ns at which it got on CPU; 0 while it is off.
  int64_t switch_time_ns() const { return LoadShared<Order::kAcquire>(word_->switch_time); }

  bool in_use() const { return Has(GHOST_SW_F_INUSE); }
  bool can_free() const { return Has(GHOST_SW_F_CANFREE); }
  bool on_cpu() const { return Has(GHOST_SW_TASK_ONCPU); }
  bool runnable() const { return Has(GHOST_SW_TASK_RUNNABLE); }
  bool is_agent() const { return Has(GHOST_SW_TASK_IS_AGENT); }
  // Of agents: another class wants the CPU; no other class uses it.
  bool boosted_priority() const { return Has(GHOST_SW_BOOST_PRIO); }
  bool cpu_available() const { return Has(GHOST_SW_CPU_AVAIL); }

 private:
  bool Has(uint32_t flag) const { return (flags() & flag) != 0; }

  const ghost_status_word* word_ = nullptr;
  ghost_sw_info info_ = {};
};

class StatusWordTable {
 public:
  static constexpr uint32_t kMaxRegions = 16;

  explicit StatusWordTable(KernelEnclave* enclave) : enclave_(enclave) {}
  StatusWordTable(const StatusWordTable&) = delete;
  StatusWordTable& operator=(const StatusWordTable&) = delete;

  // Creates the region unless it exists, and maps it.
  absl::Status AddRegion(uint32_t id, int numa_node);

  // The word, or an invalid StatusWord for an unknown region or an index beyond its capacity.
  StatusWord Find(ghost_sw_info info) const {
    if (info.id >= kMaxRegions || info.index >= regions_[info.id].capacity) return StatusWord();
    return StatusWord(regions_[info.id].words + info.index, info);
  }

  // The word of a live task or agent, by asking the kernel. ENOENT, ENODEV, EINVAL: there is none (yet).
  absl::StatusOr<StatusWord> OfTask(int64_t gtid) const;
  absl::StatusOr<StatusWord> OfAgent(int cpu) const;

  // Gives a word back whose can_free() is set. 0 or -errno; not for a schedule pass.
  int Free(const StatusWord& word) const;

  // Calls `visit` for each allocated word that belongs to a task (not an agent).
  void ForEachTask(const std::function<void(const StatusWord&)>& visit) const;

 private:
  struct MappedRegion {
    Region region;
    const ghost_status_word* words = nullptr;
    uint32_t capacity = 0;
  };
  absl::StatusOr<StatusWord> GetInfo(uint32_t type, uint64_t argument) const;

  KernelEnclave* enclave_;
  std::array<MappedRegion, kMaxRegions> regions_;
};

}  // namespace ghost

#endif  // GHOST_LIB_STATUS_WORD_H_
