// DrainMessages: an agent's reading of its queue in a pass.
//
// Threads: as Channel's consumer. No allocation, no system call.
#ifndef GHOST_LIB_DRAIN_H_
#define GHOST_LIB_DRAIN_H_

#include <cstdint>
#include <type_traits>

#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "lib/base/counter.h"
#include "lib/channel.h"

namespace ghost {

struct Drained {
  enum class End : uint8_t {
    kDone,
    kNewTask,  // the first message is a TASK_NEW now, which needs memory: not for a pass
    kCorrupt,  // what was there is no message: how many are lost, nobody knows
  };
  uint32_t messages = 0;  // that are taken
  End end = End::kDone;
};

// Calls handle(message, seqnum), which should be inlined, with each message of the queue up to the first TASK_NEW, and
// counts those that are none. A ring that is filled while it is drained is left to the next pass: the barrier will have
// moved.
template <typename Handle>
[[gnu::always_inline]] inline Drained DrainMessages(Channel& channel, Counter& corrupt, Handle handle) {
  Drained drained;
  Channel::Cursor at = channel.cursor();
  uint32_t left = channel.num_elements();
  MessageView view;
  const auto visit = [&]<typename M>(const M& message) __attribute__((always_inline)) {
    if constexpr (std::is_same_v<M, TaskNew>) {
      drained.end = Drained::End::kNewTask;
    } else {
      handle(message, view.seqnum());
    }
  };
  do {
    if (const Channel::Result result = channel.Peek(&view, &at); result != Channel::Result::kMessage) [[unlikely]] {
      if (result == Channel::Result::kCorrupt) drained.end = Drained::End::kCorrupt;
      break;
    }
    if (view.Visit(channel.abi(), visit) != DecodeError::kOk) [[unlikely]]
      corrupt.Add(1);
    if (drained.end != Drained::End::kDone) [[unlikely]]
      break;
    at.Consume();
  } while (--left != 0);
  drained.messages = channel.num_elements() - left;
  if (drained.end == Drained::End::kCorrupt) [[unlikely]]
    corrupt.Add(1);
  channel.set_cursor(at);
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
