// The user-mode kernel's core, compiled for the explorer, with the framework's port to it: calls take a lock, as
// ghostd's one thread takes one request after the other.
#ifndef GHOST_TESTS_INTERLEAVING_WORLD_H_
#define GHOST_TESTS_INTERLEAVING_WORLD_H_

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/core/message_queue.h"
#include "lib/channel.h"
#include "lib/status_word.h"
#include "lib/testing/mock_kernel.h"
#include "tests/interleaving/explorer.h"

namespace ghost::interleaving {

// What one agent's thread reaches the kernel by.
class Port : public MockEnclave {
 public:
  Port(usermode::Harness* harness, usermode::TestAgent* agent, Lock* lock)
      : MockEnclave(2, CpuSet{0, 1}, FindAbi(91)), harness_(harness), agent_(agent), lock_(lock) {}

  absl::StatusOr<KernelQueue> CreateQueue(int elems, int) override {
    return KernelQueue{.fd = usermode::TestAgent::kQueueFd,
                       .region = {.data = harness_->driver.Memory(agent_->queue.region()),
                                  .size = usermode::MessageQueue::MapSize(static_cast<uint32_t>(elems))}};
  }
  // A call that waits returns 0 at once: the thread has nothing more to do, and the story asks waits().
  int Ioctl(unsigned long number, void* argument) override {
    lock_->Acquire();
    request_ = harness_->next_request++;
    const int64_t result = harness_->IoctlBytes(1, number, {static_cast<std::byte*>(argument), _IOC_SIZE(number)},
                                                agent_->caller, request_, &pending_);
    lock_->Release();
    return static_cast<int>(result);
  }
  bool waits() const { return pending_ && !harness_->driver.completed.contains(request_); }

 private:
  usermode::Harness* const harness_;
  usermode::TestAgent* const agent_;
  Lock* const lock_;
  uint64_t request_ = 0;
  bool pending_ = false;
};

// Two CPUs with an agent each, and tasks 100 and 101, which are held and runnable.
struct World {
  World() {
    harness.MakeEnclave(1, "0-1");
    agent = std::make_unique<usermode::TestAgent>(&harness, 1, 0, 7, 91, 7);
    remote = std::make_unique<usermode::TestAgent>(&harness, 1, 1, 8, 91, 7);
    gtids[0] = harness.Enter(1, 100);
    gtids[1] = harness.Enter(1, 101);
    port = std::make_unique<Port>(&harness, agent.get(), &lock);
    channel = Channel::Create(port.get(), 1024, 0, {}).value();
    MessageView view;
    while (channel.Peek(&view) == Channel::Result::kMessage) channel.Consume();
    ghost_ioc_sw_get_info get = {.request = {.type = GHOST_AGENT, .pad = 0, .arg = 0}, .response = {}};
    harness.Ioctl(1, GHOST_IOC_SW_GET_INFO, &get, agent->caller);
    word = StatusWord(harness.Word(1, get.response), get.response);
    harness.driver.TakeLog();
  }
  // How often the driver was asked to run the task.
  int Runs(int task) const {
    const auto& log = harness.driver.log;
    return static_cast<int>(std::count_if(log.begin(), log.end(), [task](const std::string& line) {
      return line.starts_with("run " + std::to_string(task) + " ");
    }));
  }
  template <typename Event>
  void InKernel(Event event) {
    lock.Acquire();
    event(harness.core);
    lock.Release();
  }

  Lock lock;
  usermode::Harness harness;
  std::unique_ptr<usermode::TestAgent> agent;   // of CPU 0; all messages wake it
  std::unique_ptr<usermode::TestAgent> remote;  // of CPU 1
  std::unique_ptr<Port> port;                   // the agent's
  Channel channel;                              // the agent's queue
  StatusWord word;                              // the agent's
  int64_t gtids[2] = {};
};

}  // namespace ghost::interleaving

#endif  // GHOST_TESTS_INTERLEAVING_WORLD_H_
