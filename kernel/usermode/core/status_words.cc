#include "kernel/usermode/core/status_words.h"

#include "lib/base/logging.h"
#include "lib/base/shared_word.h"

namespace ghost::usermode {
namespace {

// Shared words are read by agents at any moment, so every store is atomic; `order` says what must be seen before it.
template <Order order = Order::kRelaxed, typename T>
void Store(T& shared, T value) {
  StoreShared<order>(shared, value);
}

}  // namespace

ghost_sw_info StatusWord::info() const { return {.id = region_->id_, .index = index_}; }
uint32_t StatusWord::barrier() const { return region_->private_[index_].barrier; }
uint32_t StatusWord::flags() const { return region_->private_[index_].flags; }
int64_t StatusWord::gtid() const { return region_->private_[index_].gtid; }

void StatusWord::SetBarrier(uint32_t barrier) {
  region_->private_[index_].barrier = barrier;
  Store<Order::kRelease>(region_->shared_[index_].barrier, barrier);
}

uint32_t StatusWord::IncrementBarrier() {
  SetBarrier(barrier() + 1);
  return barrier();
}

void StatusWord::SetFlags(uint32_t flags) {
  uint32_t& own = region_->private_[index_].flags;
  if ((own & flags) == flags) return;
  own |= flags;
  Store<Order::kRelease>(region_->shared_[index_].flags, own);
}

void StatusWord::ClearFlags(uint32_t flags) {
  uint32_t& own = region_->private_[index_].flags;
  own &= ~flags;
  Store<Order::kRelease>(region_->shared_[index_].flags, own);
}

void StatusWord::SetRuntime(uint64_t runtime_ns) { Store(region_->shared_[index_].runtime, runtime_ns); }

void StatusWord::SetOnCpu(int64_t now_ns) {
  Store(region_->shared_[index_].switch_time, now_ns);
  SetFlags(GHOST_SW_TASK_ONCPU);
}

void StatusWord::SetOffCpu() {
  Store(region_->shared_[index_].switch_time, int64_t{0});
  ClearFlags(GHOST_SW_TASK_ONCPU);
}

StatusWordRegion::StatusWordRegion(const Region& region, uint32_t id, uint32_t node)
    : header_(static_cast<ghost_sw_region_header*>(region.address)),
      shared_(reinterpret_cast<ghost_status_word*>(static_cast<std::byte*>(region.address) +
                                                   sizeof(ghost_sw_region_header))),
      private_(static_cast<Private*>(std::calloc(kCapacity, sizeof(Private)))),
      region_id_(region.id),
      id_(id) {
  GHOST_CHECK(private_ != nullptr);
  header_->version = GHOST_SW_REGION_VERSION;
  header_->id = id;
  header_->numa_node = node;
  header_->start = sizeof(ghost_sw_region_header);
  header_->capacity = kCapacity;
  header_->available = kCapacity;
}

StatusWord StatusWordRegion::Allocate(int64_t gtid, uint32_t flags) {
  if (available_ == 0) return {};
  uint32_t index = next_;
  while (private_[index].flags != 0) index = (index + 1) % kCapacity;
  next_ = (index + 1) % kCapacity;
  Store(header_->available, --available_);

  private_[index] = {.barrier = 0, .flags = GHOST_SW_F_ALLOCATED | GHOST_SW_F_INUSE | flags, .gtid = gtid};
  Store(shared_[index].flags, uint32_t{GHOST_SW_F_ALLOCATED});
  Store(shared_[index].gtid, static_cast<uint64_t>(gtid));
  Store(shared_[index].barrier, uint32_t{0});
  Store(shared_[index].runtime, uint64_t{0});
  Store<Order::kRelease>(shared_[index].flags, private_[index].flags);
  return StatusWord(this, index);
}

StatusWord StatusWordRegion::Get(uint32_t index) {
  if (index >= kCapacity) return {};
  return StatusWord(this, index);
}

void StatusWordRegion::Free(uint32_t index) {
  private_[index] = {};
  Store<Order::kRelease>(shared_[index].flags, uint32_t{0});
  Store(shared_[index].barrier, uint32_t{0});
  Store(shared_[index].gtid, uint64_t{0});
  Store(shared_[index].switch_time, int64_t{0});
  Store(shared_[index].runtime, uint64_t{0});
  Store(header_->available, ++available_);
}

StatusWord StatusWordTable::Allocate(int64_t gtid, uint32_t flags) {
  for (auto& region : regions_) {
    if (StatusWord word = region->Allocate(gtid, flags)) return word;
  }
  return {};
}

void StatusWordTable::Free(StatusWord word) { word.region_->Free(word.index_); }

StatusWord StatusWordTable::Find(const ghost_sw_info& info) {
  for (auto& region : regions_) {
    if (region->id() == info.id) return region->Get(info.index);
  }
  return {};
}

bool StatusWordTable::HasRegion(uint32_t id) const {
  for (const auto& region : regions_) {
    if (region->id() == id) return true;
  }
  return false;
}

void StatusWordTable::AddRegion(const Region& region, uint32_t id, uint32_t node) {
  regions_.push_back(std::make_unique<StatusWordRegion>(region, id, node));
}

uint64_t StatusWordTable::allocated() const {
  uint64_t count = 0;
  for (const auto& region : regions_) count += StatusWordRegion::kCapacity - region->available();
  return count;
}

}  // namespace ghost::usermode
