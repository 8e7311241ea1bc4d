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

  // Where it is being read. DrainMessages (lib/drain.h) has one of its own, in registers, which it gives back.
  struct Cursor {
    const std::byte* slot = nullptr;   // the first message
    const std::byte* limit = nullptr;  // as far as the kernel had filled the ring when last seen, or the ring's end
    const std::byte* next = nullptr;   // the message after the first, once Peek has shown that

    void Consume() { slot = next; }
  };

  Channel() = default;
  // `wakeup` (at most 2 CPUs) are those whose agent a message wakes; it may be empty. Checks the queue's header.
  static absl::StatusOr<Channel> Create(KernelEnclave* enclave, int elems, int numa_node, const CpuSet& wakeup);
  Channel(Channel&&) = default;
  Channel& operator=(Channel&&) = default;

  // Nothing has come since the last Peek that found nothing.
  bool Quiet() const { return at_.slot == at_.limit && LoadShared<Order::kAcquire>(ring_->head) == tail_; }
  // Shows the first message without taking it.
  Result Peek(MessageView* view) { return Peek(view, &at_); }
  // Takes what the last Peek showed. The kernel gets the room back once all that had come is taken: one store to a
  // cache line that it writes, too, instead of one a message.
  void Consume() { at_.Consume(); }
  // Lets the next Consume take nothing: what the last Peek showed stays.
  void Keep() { at_.next = at_.slot; }

  // The same for who reads many: takes the cursor, and gives it back, with nothing shown, before anybody else looks at
  // the channel.
  Cursor cursor() const { return at_; }
  void set_cursor(const Cursor& at) { at_ = {.slot = at.slot, .limit = at.limit, .next = at.slot}; }
  [[gnu::always_inline]] Result Peek(MessageView* view, Cursor* at) {
    for (;;) {
      if (at->slot == at->limit) [[unlikely]] {
        if (const Result result = Refill(at); result != Result::kMessage) return result;
      }
      ghost_msg header;
      ReadShared(&header, at->slot, sizeof(header));
      if (header.type == MSG_NOP) [[unlikely]] {
        // The kernel fills the end of the ring with one message of no meaning. It reaches to the end, whatever its
        // length says: 16 bits may be too few for it.
        if (at->limit != end_) return DropBatch(at);
        at->slot = at->limit;
        continue;
      }
      const size_t size = (size_t{header.length} + sizeof(header) - 1) / sizeof(header) * sizeof(header);
      // None may lead beyond what the kernel has filled, and none may be 0 (which wraps, here).
      if (size - 1 >= static_cast<size_t>(at->limit - at->slot)) [[unlikely]]
        return DropBatch(at);
      at->next = at->slot + size;
      *view = MessageView(at->slot, header);
      return Result::kMessage;
    }
  }

  // How far the kernel has got, as a place in the row of all that has come; and whether all before such a place is
  // taken.
  uint32_t Head() const { return LoadShared<Order::kAcquire>(ring_->head); }
  bool HasTaken(uint32_t head) const {
    const uint32_t taken = limit_tail_ - static_cast<uint32_t>(at_.limit - at_.slot) / sizeof(ghost_msg);
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
  [[gnu::always_inline]] Result Refill(Cursor* at) {
    const uint32_t tail = limit_tail_;
    if (tail != tail_) {
      tail_ = tail;
      StoreShared<Order::kRelease>(ring_->tail, tail);
    }
    const uint32_t head = LoadShared<Order::kAcquire>(ring_->head);
    if (head == tail) return Result::kEmpty;
    const uint32_t used = head - tail;
    if (used - 1 > mask_) [[unlikely]] {  // more than there is room for
      *at = DropAll(head);
      return Result::kCorrupt;
    }
    const uint32_t index = tail & mask_;
    uint32_t contiguous = used;
    if (index + used - 1 > mask_) [[unlikely]]
      contiguous = num_elements() - index;
    at->slot = begin_ + size_t{index} * sizeof(ghost_msg);
    at->limit = at->slot + size_t{contiguous} * sizeof(ghost_msg);
    limit_tail_ = tail + contiguous;
    return Result::kMessage;
  }
  // After something that is no message there is no telling where the next one starts, but at the end of what has come.
  [[gnu::always_inline]] Result DropBatch(Cursor* at) {
    *at = DropAll(limit_tail_);
    return Result::kCorrupt;
  }
  Cursor DropAll(uint32_t head);

  Cursor at_;
  ghost_ring* ring_ = nullptr;
  uint32_t tail_ = 0;                 // the ring's
  uint32_t limit_tail_ = 0;           // what it is once all up to the cursor's limit is taken
  uint32_t mask_ = 0;                 // slots - 1
  const std::byte* begin_ = nullptr;  // of the slots
  const std::byte* end_ = nullptr;
  const AbiVersion* abi_ = nullptr;
  KernelEnclave* enclave_ = nullptr;
  KernelQueue queue_;
};

}  // namespace ghost

#endif  // GHOST_LIB_CHANNEL_H_
