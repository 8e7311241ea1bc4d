// Channel: the consumer side of one queue of messages from the kernel.
//
// It reads the ring, skipping the producer's padding, and gives slots back. It is not a dispatcher: it does not know
// tasks. Header, indices and messages are written by the kernel (or by whoever can write the file) and are not trusted:
// everything is bounded, garbage is an answer (kCorrupt), lost messages are a count.
//
//     MessageView view;
//     while (channel.Peek(&view) == Channel::Result::kMessage) {
//       Message message;
//       if (view.Decode(channel.abi(), &message) == DecodeError::kOk) Handle(message);
//       channel.Consume();
//     }
//
// Threads: one consumer at a time. No allocation, no system call but in Associate, SetDefault and ConfigureWakeup.
#ifndef GHOST_LIB_CHANNEL_H_
#define GHOST_LIB_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/abi/abi_version.h"
#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/kernel.h"

namespace ghost {

// A message where it lies in the ring; valid until Consume.
class MessageView {
 public:
  MessageView() = default;
  MessageView(const std::byte* data, ghost_msg header) : data_(data), header_(header) {}

  uint16_t type() const { return header_.type; }
  uint16_t length() const { return header_.length; }  // bytes, header included
  uint32_t seqnum() const { return header_.seqnum; }
  std::span<const std::byte> bytes() const { return {data_, header_.length}; }
  DecodeError Decode(const AbiVersion& abi, Message* message) const { return DecodeMessage(abi, bytes(), message); }

 private:
  const std::byte* data_ = nullptr;
  ghost_msg header_ = {};
};

class Channel {
 public:
  enum class Result : uint8_t {
    kEmpty,
    kMessage,
    kCorrupt,  // no message can start here: Consume() drops all that is in the ring
  };

  Channel() = default;
  // `wakeup` (at most 2 CPUs) are those whose agent a message wakes; it may be empty. Checks the queue's header.
  static absl::StatusOr<Channel> Create(KernelEnclave* enclave, int elems, int numa_node, const CpuSet& wakeup);
  Channel(Channel&&) = default;
  Channel& operator=(Channel&&) = default;

  // Shows the first message without taking it.
  Result Peek(MessageView* view) {
    const uint32_t head = __atomic_load_n(&ring_->head, __ATOMIC_ACQUIRE);
    while (head != tail_) {
      const uint32_t used = head - tail_;
      const uint32_t index = tail_ & mask_;
      const uint32_t to_end = mask_ + 1 - index;
      const std::byte* slot = slots_ + size_t{index} * sizeof(ghost_msg);
      ghost_msg header;
      std::memcpy(&header, slot, sizeof(header));
      // Padding fills the ring up to its end; its own 16-bit length may have overflowed.
      const bool padding = header.type == MSG_NOP;
      const uint32_t slots = padding ? to_end : (uint32_t{header.length} + sizeof(ghost_msg) - 1) / sizeof(ghost_msg);
      if (slots > used || slots > to_end || slots == 0 || used > mask_ + 1) [[unlikely]] {
        taken_ = head;
        return Result::kCorrupt;
      }
      if (!padding) [[likely]] {
        taken_ = tail_ + slots;
        *view = MessageView(slot, header);
        return Result::kMessage;
      }
      tail_ += slots;
    }
    return Result::kEmpty;
  }
  // Gives back what the last Peek showed.
  void Consume() {
    tail_ = taken_;
    __atomic_store_n(&ring_->tail, tail_, __ATOMIC_RELEASE);
  }

  // Messages that the kernel had to drop since the queue exists. When it grows, tasks must be looked at afresh.
  uint32_t overflow() const { return __atomic_load_n(&ring_->overflow, __ATOMIC_RELAXED); }

  // Sends a task's messages here from now on. GHOST_ASSOC_SF_* bits, or -errno: ESTALE (barrier has moved), ENOENT
  // (gone).
  int Associate(int64_t gtid, uint32_t barrier);
  // New tasks' messages come here.
  absl::Status SetDefault();
  absl::Status ConfigureWakeup(const CpuSet& cpus);

  const AbiVersion& abi() const { return enclave_->abi(); }
  int fd() const { return queue_.fd; }
  uint32_t num_elements() const { return mask_ + 1; }

 private:
  ghost_ring* ring_ = nullptr;
  const std::byte* slots_ = nullptr;
  uint32_t mask_ = 0;   // slots - 1
  uint32_t tail_ = 0;   // what the ring's tail is, or will be once padding is given back
  uint32_t taken_ = 0;  // the tail after Consume
  KernelEnclave* enclave_ = nullptr;
  KernelQueue queue_;
};

}  // namespace ghost

#endif  // GHOST_LIB_CHANNEL_H_
