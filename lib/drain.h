// DrainMessages: a global agent's reading of its queue in a pass. The per-CPU runtime has the same loop written out: it
// counts as it goes, and by this one a turn of its would cost 8 % more instructions.
//
// Threads: as Channel's consumer. No allocation, no system call.
#ifndef GHOST_LIB_DRAIN_H_
#define GHOST_LIB_DRAIN_H_

#include <cstdint>
#include <type_traits>

#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "lib/channel.h"

namespace ghost {

struct Drained {
  uint32_t messages = 0;        // handled
  uint32_t unreadable = 0;      // of these
  bool stopped_at_new = false;  // the first message is a TASK_NEW now, which needs memory: not for a pass
  bool corrupt = false;         // what was there is no message: how many are lost, nobody knows
};

// Calls handle(message, seqnum) with each message of the queue up to the first TASK_NEW. A ring that is filled while it
// is drained is left to the next pass: the barrier will have moved.
template <typename Handle>
[[gnu::always_inline]] inline Drained DrainMessages(Channel& channel, Handle handle) {
  Drained drained;
  if (channel.Quiet()) return drained;
  const uint32_t limit = channel.num_elements();
  uint32_t left = limit;
  uint32_t left_at_new = 0;  // when a TASK_NEW stopped it; else 0
  MessageView view;
  Channel::Result result;
  const auto visit = [&]<typename M>(const M& message) __attribute__((always_inline)) {
    if constexpr (std::is_same_v<M, TaskNew>) {
      channel.Keep();
      left_at_new = left;
      left = 1;
    } else {
      handle(message, view.seqnum());
    }
  };
  while ((result = channel.Peek(&view)) == Channel::Result::kMessage) {
    if (view.Visit(channel.abi(), visit) != DecodeError::kOk) [[unlikely]] {
      ++drained.unreadable;
    }
    channel.Consume();
    if (--left == 0) [[unlikely]] {
      break;
    }
  }
  drained.corrupt = result == Channel::Result::kCorrupt;
  drained.stopped_at_new = left_at_new != 0;
  if (left_at_new != 0) [[unlikely]] {
    left = left_at_new;
  }
  drained.messages = limit - left;
  return drained;
}

// Messages that are about a task, other than TASK_NEW. TASK_ON_CPU repeats what the commit said.
template <typename M>
inline constexpr bool kConcernsTask = requires(const M& message) {
  message.gtid;
}
&&!std::is_same_v<M, TaskNew> && !std::is_same_v<M, TaskOnCpu>;

}  // namespace ghost

#endif  // GHOST_LIB_DRAIN_H_
