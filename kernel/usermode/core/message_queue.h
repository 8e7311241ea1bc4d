// The producer's side of a message queue: the ring of kernel/ghost_uapi.h, in memory shared with the consumer.
//
// The consumer is not trusted: its `tail` is read once a message and only ever makes the ring look full or less full;
// head, overflow and the geometry are kept here, so nothing that it writes can move us out of the ring. What it is not:
// it knows nothing of tasks, barriers and wake-ups (messenger.h). One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_MESSAGE_QUEUE_H_
#define GHOST_KERNEL_USERMODE_CORE_MESSAGE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace ghost::usermode {

class MessageQueue {
 public:
  // Bytes to map for a queue of `elems` slots: headers and slots, in whole pages.
  static size_t MapSize(uint32_t elems);

  // `memory`: zeroed, MapSize(elems) bytes; `elems` a power of two. Writes the headers.
  MessageQueue(void* memory, uint32_t elems);

  // Appends one encoded message, header included. False: no room; the message is lost and counted in the ring.
  bool Produce(std::span<const std::byte> message);

  uint32_t overflow() const { return overflow_; }

 private:
  std::byte* Slot(uint32_t index) const;

  std::byte* const ring_;
  const uint32_t elems_;
  uint32_t head_ = 0;
  uint32_t overflow_ = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_MESSAGE_QUEUE_H_
