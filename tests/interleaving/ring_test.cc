// The queue ring, producer and consumer as they are: all interleavings of a few messages in a ring that is too small.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/usermode/core/message_queue.h"
#include "lib/base/shared_word.h"
#include "lib/channel.h"
#include "lib/testing/mock_kernel.h"
#include "tests/interleaving/explorer.h"

namespace ghost::interleaving {
namespace {

constexpr uint32_t kElems = 4;

struct Ring : MockEnclave {
  Ring() : MockEnclave(1, CpuSet{0}, FindAbi(91)) { channel = Channel::Create(this, kElems, 0, {}).value(); }
  absl::StatusOr<KernelQueue> CreateQueue(int, int) override {
    return KernelQueue{.fd = 3, .region = {.data = memory, .size = sizeof(memory)}};
  }

  // A message of two slots.
  void Produce(uint32_t seqnum) {
    struct {
      ghost_msg header;
      uint64_t body;
    } message = {{.type = 65, .length = 16, .seqnum = seqnum}, seqnum * 0x0101010101010101u};
    if (producer.Produce(std::as_bytes(std::span(&message, 1)))) produced.push_back(seqnum);
  }
  void Consume() {
    MessageView view;
    const Channel::Result result = channel.Peek(&view);
    corrupt |= result == Channel::Result::kCorrupt;
    if (result != Channel::Result::kMessage) return;
    uint64_t body = 0;
    ReadShared(&body, view.bytes().data() + sizeof(ghost_msg), sizeof(body));
    corrupt |= body != view.seqnum() * 0x0101010101010101u;
    consumed.push_back(view.seqnum());
    channel.Consume();
  }
  std::string End(uint32_t sent) {
    for (int i = 0; i < 8; ++i) Consume();
    if (corrupt) return "a message is not what was sent";
    if (consumed != produced) return "not all that was queued has come, or not in its order";
    return producer.overflow() == sent - produced.size() && channel.overflow() == producer.overflow()
               ? ""
               : "the lost ones are not counted";
  }

  alignas(64) std::byte memory[4096] = {};
  usermode::MessageQueue producer{memory, kElems};
  Channel channel;
  std::vector<uint32_t> produced;
  std::vector<uint32_t> consumed;
  bool corrupt = false;
};

Result ExploreRing(Mutation mutation, uint32_t messages, int consumes) {
  return Explore(
      [messages, consumes] {
        auto ring = std::make_shared<Ring>();
        Story story{.owner = ring};
        story.threads = {[ring, messages] {
                           for (uint32_t seqnum = 1; seqnum <= messages; ++seqnum) ring->Produce(seqnum);
                         },
                         [ring, consumes] {
                           for (int i = 0; i < consumes; ++i) ring->Consume();
                         }};
        story.end = [ring, messages] { return ring->End(messages); };
        return story;
      },
      mutation);
}

TEST(RingTest, NothingIsLostTornOrReordered) {
  const Result result = ExploreRing(Mutation::kNone, /*messages=*/3, /*consumes=*/3);
  EXPECT_EQ(result.violation, "");
  EXPECT_GT(result.runs, 1000u);
  RecordProperty("runs", static_cast<int>(result.runs));
}

TEST(RingTest, EveryOrderIsNeeded) {
  EXPECT_NE(ExploreRing(Mutation::kRelaxedStores, 3, 3).violation, "");
  EXPECT_NE(ExploreRing(Mutation::kRelaxedLoads, 3, 3).violation, "");
}

}  // namespace
}  // namespace ghost::interleaving
