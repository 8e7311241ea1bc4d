// A message queue's two ends on one ring that a third hand scribbles over: neither leaves the ring or hangs; and as
// long as nobody scribbles, what is produced is what is consumed.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/message_queue.h"
#include "lib/base/logging.h"
#include "lib/channel.h"
#include "lib/testing/mock_kernel.h"
#include "tests/fuzz/fuzz_input.h"

namespace ghost {
namespace {

using usermode::MessageQueue;

// Gives the channel our memory as its queue.
class OneQueue : public MockEnclave {
 public:
  explicit OneQueue(Region region) : MockEnclave(1, CpuSet{0}, FindAbi(kNewestAbi)), region_(std::move(region)) {}
  absl::StatusOr<KernelQueue> CreateQueue(int, int) override { return KernelQueue{.fd = 9, .region = region_}; }

 private:
  const Region region_;
};

class Ring {
 public:
  explicit Ring(uint32_t elems)
      : size_(sizeof(ghost_queue_header) + sizeof(ghost_ring) + elems * sizeof(ghost_msg)),
        elems_(elems),
        // Not a byte more, so that a sanitizer sees one that leaves it.
        memory_(new (std::align_val_t(64)) std::byte[size_](),
                [](std::byte* memory) { ::operator delete[](memory, std::align_val_t(64)); }),
        producer_(memory_.get(), elems),
        enclave_(Region{.data = memory_.get(), .size = size_, .owner = memory_}) {}

  // False: the channel does not take the queue for one.
  bool Open() {
    absl::StatusOr<Channel> channel = Channel::Create(&enclave_, static_cast<int>(elems_), 0, {});
    if (channel.ok()) channel_ = *std::move(channel);
    return channel.ok();
  }
  void Scribble(uint32_t offset, const std::string& bytes) {
    offset %= size_;
    std::memcpy(memory_.get() + offset, bytes.data(), std::min(bytes.size(), size_ - offset));
    scribbled_ = true;
  }
  void Produce(std::string message) {
    if (producer_.Produce(std::as_bytes(std::span(message)))) expected_.push_back(std::move(message));
  }
  void Consume(bool keep) {
    MessageView view;
    const Channel::Result result = channel_.Peek(&view);
    if (result == Channel::Result::kMessage) {
      const std::string bytes(reinterpret_cast<const char*>(view.bytes().data()), view.bytes().size());
      Message message;
      static_cast<void>(view.Decode(channel_.abi(), &message));
      if (keep) channel_.Keep();
      channel_.Consume();
      if (scribbled_) return;
      GHOST_CHECK(!expected_.empty() && bytes == expected_.front());
      if (!keep) expected_.pop_front();
    } else if (!scribbled_) {
      GHOST_CHECK(result == Channel::Result::kEmpty && expected_.empty());
    }
  }
  // However the ring looks, it is empty after so many messages if nothing is added: what the consumer has seen already,
  // and what the head says of the ring now.
  void Drain() {
    MessageView view;
    uint32_t taken = 0;
    for (; channel_.Peek(&view) != Channel::Result::kEmpty; channel_.Consume()) {
      GHOST_CHECK(++taken <= 2 * elems_ + 2) << "the consumer does not come to an end";
    }
    GHOST_CHECK(scribbled_ || taken == expected_.size());
    expected_.clear();
  }

 private:
  const size_t size_;
  const uint32_t elems_;
  const std::shared_ptr<std::byte> memory_;
  MessageQueue producer_;
  OneQueue enclave_;
  Channel channel_;
  std::deque<std::string> expected_;
  bool scribbled_ = false;
};

std::string NextMessage(fuzz::FuzzInput& input) {
  std::string text = input.Text(255);
  text.resize(std::max(text.size(), sizeof(ghost_msg)));
  const ghost_msg header = {.type = static_cast<uint16_t>(1 + input.Below(140)),
                            .length = static_cast<uint16_t>(text.size()),
                            .seqnum = input.Below(256)};
  std::memcpy(text.data(), &header, sizeof(header));
  return text;
}

void Run(fuzz::FuzzInput& input) {
  Ring ring(1u << input.Below(7));
  if (input.Below(8) == 0) {
    const uint32_t offset = input.Below(16);
    ring.Scribble(offset, input.Text(16));
  }
  if (!ring.Open()) return;
  while (!input.empty()) {
    switch (input.Below(8)) {
      case 0:
      case 1:
      case 2:
        ring.Produce(NextMessage(input));
        break;
      case 3:
        ring.Drain();
        break;
      case 4: {
        const uint32_t offset = input.Below(4) == 0 ? input.Value<uint16_t>() : 64 + 4 * input.Below(3);
        ring.Scribble(offset, input.Text(8));
        break;
      }
      default:
        ring.Consume(input.Below(4) == 0);
    }
  }
  ring.Drain();
}

}  // namespace
}  // namespace ghost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ghost::fuzz::FuzzInput input(data, size);
  ghost::Run(input);
  return 0;
}
