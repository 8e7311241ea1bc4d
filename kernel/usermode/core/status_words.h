// Status words: what an enclave's tasks and agents look like to its agents, in regions that those map read-only.
//
// The truth is kept in private memory; the shared words are only ever written. (A region's file can be opened for
// writing by root, so nothing is read back.) What it is not: it decides nothing about when a flag changes. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_STATUS_WORDS_H_
#define GHOST_KERNEL_USERMODE_CORE_STATUS_WORDS_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/driver.h"

namespace ghost::usermode {

class StatusWordRegion;

// Names one allocated word; null if default-constructed. Valid until the word is freed or the region goes.
class StatusWord {
 public:
  StatusWord() = default;
  StatusWord(StatusWordRegion* region, uint32_t index) : region_(region), index_(index) {}

  explicit operator bool() const { return region_ != nullptr; }
  ghost_sw_info info() const;

  uint32_t barrier() const;
  uint32_t flags() const;
  int64_t gtid() const;

  void SetBarrier(uint32_t barrier);
  uint32_t IncrementBarrier();
  void SetFlags(uint32_t flags);  // adds these flags
  void ClearFlags(uint32_t flags);
  void SetRuntime(uint64_t runtime_ns);
  // Sets switch_time, then ONCPU; and the other way round.
  void SetOnCpu(int64_t now_ns);
  void SetOffCpu();

 private:
  friend class StatusWordRegion;
  friend class StatusWordTable;

  StatusWordRegion* region_ = nullptr;
  uint32_t index_ = 0;
};

// One mapped region.
class StatusWordRegion {
 public:
  static constexpr uint32_t kCapacity = 65536 - 2;
  // Header and words, in whole pages: 2 MiB.
  static constexpr size_t kSize =
      (sizeof(ghost_sw_region_header) + kCapacity * sizeof(ghost_status_word) + 4095) / 4096 * 4096;

  // `region`: zeroed, kSize bytes.
  StatusWordRegion(const Region& region, uint32_t id, uint32_t node);

  uint32_t id() const { return id_; }
  uint64_t region_id() const { return region_id_; }
  uint32_t available() const { return available_; }

  // The next free word after the one allocated last, in a circle; null if none is free.
  StatusWord Allocate(int64_t gtid, uint32_t flags);
  // The word, or null if `index` is out of range. It may be free: its flags are then 0.
  StatusWord Get(uint32_t index);
  void Free(uint32_t index);

 private:
  friend class StatusWord;

  struct Private {
    uint32_t barrier;
    uint32_t flags;
    int64_t gtid;
  };
  struct FreeDeleter {
    void operator()(Private* memory) const { std::free(memory); }
  };

  void Publish(uint32_t index);

  ghost_sw_region_header* const header_;
  ghost_status_word* const shared_;
  const std::unique_ptr<Private[], FreeDeleter> private_;  // calloc: pages come with use
  const uint64_t region_id_;
  const uint32_t id_;
  uint32_t available_ = kCapacity;
  uint32_t next_ = 0;
};

// All regions of an enclave.
class StatusWordTable {
 public:
  // Takes the first region, in order of creation, with a free word. Null if there is none.
  StatusWord Allocate(int64_t gtid, uint32_t flags);
  void Free(StatusWord word);
  // The word {id, index}, or null if there is no such region or index.
  StatusWord Find(const ghost_sw_info& info);

  bool HasRegion(uint32_t id) const;
  void AddRegion(const Region& region, uint32_t id, uint32_t node);
  const std::vector<std::unique_ptr<StatusWordRegion>>& regions() const { return regions_; }
  uint64_t allocated() const;

 private:
  std::vector<std::unique_ptr<StatusWordRegion>> regions_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_STATUS_WORDS_H_
