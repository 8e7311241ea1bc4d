// Channel: the consumer side of one queue of messages from the kernel.
//
// It reads the ring (skipping the producer's padding), decodes a message through the ABI's version, and gives slots
// back. It is not a dispatcher: it does not know tasks. Header, indices and messages are written by the kernel (or by
// whoever can write the file) and are not trusted: everything is bounded, garbage is an answer (kCorrupt), lost
// messages are a count.
//
//     Message message;
//     while (channel.Peek(&message) == Channel::Result::kMessage) {
//       Handle(message);
//       channel.Consume();
//     }
//
// Threads: one consumer at a time. No allocation, no system call but in Associate, SetDefault and ConfigureWakeup.
#ifndef GHOST_LIB_CHANNEL_H_
#define GHOST_LIB_CHANNEL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/abi/abi_version.h"
#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/kernel.h"

namespace ghost {

class Channel {
 public:
  enum class Result : uint8_t {
    kEmpty,
    kMessage,
    kCorrupt,  // bytes that are no message of this version: Consume() skips them
  };

  Channel() = default;
  // Checks the queue's header. `wakeup` (at most 2 CPUs) are those whose agent a message wakes; none is possible.
  static absl::StatusOr<Channel> Create(KernelEnclave* enclave, int elems, int numa_node, const CpuSet& wakeup);
  Channel(Channel&&) = default;
  Channel& operator=(Channel&&) = default;

  // Shows the first message without taking it. What it returned, and *message, stay valid until Consume().
  Result Peek(Message* message);
  // Takes the message that the last Peek showed (or skips what was corrupt).
  void Consume();

  // Messages that the kernel had to drop since the queue exists. When it grows, tasks must be looked at afresh.
  uint32_t overflow() const { return __atomic_load_n(&ring_->overflow, __ATOMIC_RELAXED); }

  // Sends a task's messages here from now on. GHOST_ASSOC_SF_* bits, or -errno: ESTALE (barrier has moved), ENOENT
  // (gone).
  int Associate(int64_t gtid, uint32_t barrier);
  // New tasks' messages come here.
  absl::Status SetDefault();
  absl::Status ConfigureWakeup(const CpuSet& cpus);

  int fd() const { return queue_.fd; }
  uint32_t num_elements() const { return mask_ + 1; }

 private:
  KernelEnclave* enclave_ = nullptr;
  const AbiVersion* abi_ = nullptr;
  KernelQueue queue_;
  ghost_ring* ring_ = nullptr;
  const std::byte* slots_ = nullptr;
  uint32_t mask_ = 0;  // slots - 1
  uint32_t tail_ = 0;  // of the message that Peek showed
  uint32_t peeked_slots_ = 0;
};

}  // namespace ghost

#endif  // GHOST_LIB_CHANNEL_H_
