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
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/abi/abi_version.h"
#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/base/shared_word.h"
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
  // The message as a canonical struct: visit(const TaskBlocked&), …; see VisitMessage.
  template <typename Visitor>
  [[gnu::always_inline]] DecodeError Visit(const AbiVersion& abi, Visitor&& visit) const {
    return VisitMessage(abi, header_, data_ + sizeof(ghost_msg), visit);
  }
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
    kCorrupt,  // what was there is no message, and has been dropped with all that was behind it
  };

  Channel() = default;
  // `wakeup` (at most 2 CPUs) are those whose agent a message wakes; it may be empty. Checks the queue's header.
  static absl::StatusOr<Channel> Create(KernelEnclave* enclave, int elems, int numa_node, const CpuSet& wakeup);
  Channel(Channel&&) = default;
  Channel& operator=(Channel&&) = default;

  // Nothing has come since the last Peek that found nothing.
  bool Quiet() const { return slot_ == limit_ && LoadShared<Order::kAcquire>(ring_->head) == tail_; }
  // Shows the first message without taking it.
  [[gnu::always_inline]] Result Peek(MessageView* view) {
    for (;;) {
      if (slot_ == limit_) [[unlikely]] {
        if (const Result result = Refill(); result != Result::kMessage) return result;
      }
      ghost_msg header;
      ReadShared(&header, slot_, sizeof(header));
      if (header.type == MSG_NOP) [[unlikely]] {
        if (!SkipPadding()) return Result::kCorrupt;
        continue;
      }
      // No length may lead beyond what the kernel has filled, and none may be 0 (which wraps, here).
      if (size_t{header.length} - 1 >= static_cast<size_t>(limit_ - slot_)) [[unlikely]] {
        DropBatch();
        return Result::kCorrupt;
      }
      next_ = slot_ + (size_t{header.length} + sizeof(header) - 1) / sizeof(header) * sizeof(header);
      *view = MessageView(slot_, header);
      return Result::kMessage;
    }
  }
  // Takes what the last Peek showed. The kernel gets the room back once all that had come is taken: one store to a
  // cache line that it writes, too, instead of one a message.
  void Consume() { slot_ = next_; }
  // Lets the next Consume take nothing: what the last Peek showed stays.
  void Keep() { next_ = slot_; }

  // How far the kernel has got, as a place in the row of all that has come; and whether all before such a place is
  // taken.
  uint32_t Head() const { return LoadShared<Order::kAcquire>(ring_->head); }
  bool HasTaken(uint32_t head) const {
    const uint32_t taken = limit_tail_ - static_cast<uint32_t>(limit_ - slot_) / sizeof(ghost_msg);
    return static_cast<int32_t>(taken - head) >= 0;  // numbers wrap
  }

  // Messages that the kernel had to drop since the queue exists. When it grows, tasks must be looked at afresh.
  uint32_t overflow() const { return LoadShared<Order::kRelaxed>(ring_->overflow); }

  // Sends a task's messages here from now on. GHOST_ASSOC_SF_* bits, or -errno: ESTALE (barrier has moved), ENOENT
  // (gone).
  int Associate(int64_t gtid, uint32_t barrier);
  // New tasks' messages come here.
  absl::Status SetDefault();
  absl::Status ConfigureWakeup(const CpuSet& cpus);

  const AbiVersion& abi() const { return *abi_; }
  int fd() const { return queue_.fd; }
  uint32_t num_elements() const { return mask_ + 1; }

 private:
  // Gives room back, looks how far the kernel has got, and where the first message is.
  Result Refill();
  // The kernel fills the end of the ring with one message of no meaning. False: this is none.
  bool SkipPadding();
  // After something that is no message there is no telling where the next one starts, but at the end of what has come.
  void DropBatch() { DropAll(limit_tail_); }
  void DropAll(uint32_t head);

  const std::byte* slot_ = nullptr;   // the first message
  const std::byte* limit_ = nullptr;  // as far as the kernel had filled the ring when last seen, or the ring's end
  const std::byte* next_ = nullptr;   // the message after the first, once Peek has shown that
  ghost_ring* ring_ = nullptr;
  uint32_t tail_ = 0;                 // the ring's
  uint32_t limit_tail_ = 0;           // what it is once all up to limit_ is taken
  uint32_t mask_ = 0;                 // slots - 1
  const std::byte* begin_ = nullptr;  // of the slots
  const std::byte* end_ = nullptr;
  const AbiVersion* abi_ = nullptr;
  KernelEnclave* enclave_ = nullptr;
  KernelQueue queue_;
};

}  // namespace ghost

#endif  // GHOST_LIB_CHANNEL_H_
