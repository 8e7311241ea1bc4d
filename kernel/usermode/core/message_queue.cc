#include "kernel/usermode/core/message_queue.h"

#include "kernel/ghost_uapi.h"
#include "lib/base/shared_word.h"

namespace ghost::usermode {
namespace {

constexpr size_t kPageSize = 4096;
constexpr size_t kSlotSize = 8;

uint32_t& Word(std::byte* ring, size_t offset) { return *reinterpret_cast<uint32_t*>(ring + offset); }

}  // namespace

size_t MessageQueue::MapSize(uint32_t elems) {
  size_t bytes = sizeof(ghost_queue_header) + sizeof(ghost_ring) + size_t{elems} * kSlotSize;
  return (bytes + kPageSize - 1) / kPageSize * kPageSize;
}

MessageQueue::MessageQueue(void* memory, uint32_t elems)
    : ring_(static_cast<std::byte*>(memory) + sizeof(ghost_queue_header)), elems_(elems) {
  auto* header = static_cast<ghost_queue_header*>(memory);
  header->version = GHOST_QUEUE_VERSION;
  header->start = sizeof(ghost_queue_header);
  header->nelems = elems;
}

std::byte* MessageQueue::Slot(uint32_t index) const { return ring_ + sizeof(ghost_ring) + size_t{index} * kSlotSize; }

bool MessageQueue::Produce(std::span<const std::byte> message) {
  const uint32_t slots = static_cast<uint32_t>((message.size() + kSlotSize - 1) / kSlotSize);
  // Acquire: the consumer's reads of the slots that it has given back happened before.
  const uint32_t tail = LoadShared<Order::kAcquire>(Word(ring_, offsetof(ghost_ring, tail)));
  uint32_t ahead = 0;   // free slots from head on, to the end of the buffer or to the tail
  uint32_t behind = 0;  // free slots at the start of the buffer, once head has come round
  const uint32_t head_index = head_ & (elems_ - 1);
  if (head_ - tail < elems_) {  // otherwise full, or the tail is nonsense
    const uint32_t tail_index = tail & (elems_ - 1);
    if (head_index >= tail_index) {
      ahead = elems_ - head_index;
      behind = tail_index;
    } else {
      ahead = tail_index - head_index;
    }
  }

  uint32_t skipped = 0;
  if (slots > ahead) {
    if (slots > behind) {
      StoreShared<Order::kRelaxed>(Word(ring_, offsetof(ghost_ring, overflow)), ++overflow_);
      return false;
    }
    // A message never wraps: a NOP fills the end. Its 16-bit length may overflow; its seqnum is not set.
    const uint16_t nop[2] = {MSG_NOP, static_cast<uint16_t>(ahead * kSlotSize)};
    WriteShared(Slot(head_index), nop, sizeof(nop));
    skipped = ahead;
  }
  WriteShared(Slot(skipped == 0 ? head_index : 0), message.data(), message.size());
  head_ += skipped + slots;
  StoreShared<Order::kRelease>(Word(ring_, offsetof(ghost_ring, head)), head_);
  return true;
}

}  // namespace ghost::usermode
