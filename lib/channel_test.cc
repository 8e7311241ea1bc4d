#include "lib/channel.h"

#include <array>
#include <cerrno>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/abi/message.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

using Result = Channel::Result;

class ChannelTest : public testing::Test {
 protected:
  ChannelTest() : enclave_(/*num_cpus=*/2, CpuSet::FirstN(2), FindAbi(kNewestAbi)) {}

  void Open(int elems) {
    absl::StatusOr<Channel> channel = Channel::Create(&enclave_, elems, 0, {});
    ASSERT_TRUE(channel.ok()) << channel.status();
    channel_ = *std::move(channel);
    queue_ = &enclave_.queue(channel_.fd());
  }
  bool Produce(const Payload& payload, uint32_t seqnum) {
    std::array<std::byte, kMaxMessageBytes> bytes;
    const size_t length = EncodeMessage(enclave_.abi(), MakeMessage(seqnum, payload), bytes);
    return queue_->Produce({bytes.data(), length});
  }
  // The next message's seqnum, or -1: none, -2: corrupt.
  int64_t Take(Message* message = nullptr) {
    MessageView view;
    const Result result = channel_.Peek(&view);
    if (result == Result::kEmpty) return -1;
    Message decoded;
    if (result == Result::kMessage) {
      EXPECT_EQ(view.Decode(enclave_.abi(), &decoded), DecodeError::kOk);
    }
    channel_.Consume();
    if (message != nullptr) *message = decoded;
    return result == Result::kCorrupt ? -2 : int64_t{view.seqnum()};
  }
  // Writes raw bytes into slot `index`, and moves the head on by `slots`.
  void Raw(uint32_t index, ghost_msg header, uint32_t slots) {
    std::memcpy(queue_->slots() + index * sizeof(header), &header, sizeof(header));
    queue_->ring().head += slots;
  }

  MockEnclave enclave_;
  Channel channel_;
  MockQueue* queue_ = nullptr;
};

TEST_F(ChannelTest, EmptyThenInOrder) {
  Open(64);
  EXPECT_EQ(channel_.num_elements(), 64u);
  EXPECT_EQ(Take(), -1);
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(Produce(TaskAffinityChanged{.gtid = i}, i));
  for (int i = 1; i <= 5; ++i) {
    Message message;
    EXPECT_EQ(Take(&message), i);
    EXPECT_EQ(GtidOf(message), i);
  }
  EXPECT_EQ(Take(), -1);
}

TEST_F(ChannelTest, PeekDoesNotTake) {
  Open(64);
  ASSERT_TRUE(Produce(TaskYield{.gtid = 9}, 3));
  MessageView view;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(channel_.Peek(&view), Result::kMessage);
    EXPECT_EQ(view.type(), MSG_TASK_YIELD);
    EXPECT_EQ(view.length(), sizeof(ghost_msg) + sizeof(ghost_msg_payload_task_yield));
    EXPECT_EQ(queue_->ring().tail, 0u);
  }
  channel_.Consume();
  EXPECT_EQ(channel_.Peek(&view), Result::kEmpty);
  EXPECT_EQ(queue_->ring().tail, 6u);
}

TEST_F(ChannelTest, SlotsAreOnlyFourByteAligned) {
  Open(64);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(queue_->slots()) % 8, 4u);
  constexpr int64_t kGtid = 0x0123456789abcdef;
  ASSERT_TRUE(Produce(TaskBlocked{.gtid = kGtid, .runtime_ns = ~uint64_t{0}, .cpu = 1}, 1));
  Message message;
  EXPECT_EQ(Take(&message), 1);
  EXPECT_EQ(std::get<TaskBlocked>(message.payload).gtid, kGtid);
  EXPECT_EQ(std::get<TaskBlocked>(message.payload).runtime_ns, ~uint64_t{0});
}

// Messages of 2, 5 and 6 slots through a small ring, so that padding of every length occurs, many laps long.
TEST_F(ChannelTest, PaddingAndWrap) {
  Open(16);
  std::mt19937 random(1);
  uint32_t produced = 0, taken = 0;
  while (taken < 20000) {
    const auto kind = random() % 3;
    const Payload payload = kind == 0   ? Payload(TaskAffinityChanged{.gtid = 1})
                            : kind == 1 ? Payload(TaskWakeup{.gtid = 1})
                                        : Payload(TaskPreempt{.gtid = 1});
    if (Produce(payload, produced + 1)) {
      ++produced;
      if (random() % 2 == 0) continue;
    }
    while (taken < produced) {
      ASSERT_EQ(Take(), int64_t{++taken});
      if (random() % 4 == 0) break;
    }
  }
}

// A queue that is old enough: its counters are about to overflow.
TEST_F(ChannelTest, CountersWrapAroundZero) {
  struct OldQueueEnclave : MockEnclave {
    using MockEnclave::MockEnclave;
    absl::StatusOr<KernelQueue> CreateQueue(int elems, int node) override {
      absl::StatusOr<KernelQueue> made = MockEnclave::CreateQueue(elems, node);
      ghost_ring& ring = queue(made->fd).ring();
      ring.head = ring.tail = ~uint32_t{0} - 20;
      return made;
    }
  };
  OldQueueEnclave enclave(2, CpuSet::FirstN(2), FindAbi(kNewestAbi));
  channel_ = *Channel::Create(&enclave, 16, 0, {});
  queue_ = &enclave.queue(channel_.fd());
  for (uint32_t i = 1; i < 1000; ++i) {
    ASSERT_TRUE(Produce(TaskWakeup{.gtid = 1}, i));
    ASSERT_EQ(Take(), int64_t{i});
  }
  channel_ = Channel();
}

TEST_F(ChannelTest, PaddingWhoseLengthOverflowed) {
  Open(16384);  // 128 KiB of slots: a gap of 64 KiB or more does not fit a 16-bit length
  ASSERT_TRUE(Produce(TaskYield{.gtid = 5}, 1));
  EXPECT_EQ(Take(), 1);
  EXPECT_EQ(Take(), -1);  // gives the room back
  const uint32_t gap = 16384 - 6;
  Raw(6, {.type = MSG_NOP, .length = static_cast<uint16_t>(gap * 8), .seqnum = 77}, gap);
  ASSERT_TRUE(Produce(TaskYield{.gtid = 5}, 2));
  EXPECT_EQ(Take(), 2);
  EXPECT_EQ(Take(), -1);
}

TEST_F(ChannelTest, FullRingDropsAndCounts) {
  Open(64);
  int fit = 0;
  for (int i = 0; i < 40; ++i) fit += Produce(TaskWakeup{.gtid = 1}, i) ? 1 : 0;
  EXPECT_EQ(fit, 12);  // 5 slots each, as a real kernel's ring of 64
  EXPECT_EQ(channel_.overflow(), 28u);
}

struct Garbage {
  const char* name;
  ghost_msg header;
  uint32_t head;  // what the producer claims
};

TEST_F(ChannelTest, GarbageIsCorruptAndCanBeSkipped) {
  const Garbage kCases[] = {
      {"zero length", {.type = MSG_TASK_YIELD, .length = 0, .seqnum = 0}, 6},
      {"longer than what is there", {.type = MSG_TASK_YIELD, .length = 48, .seqnum = 0}, 3},
      {"past the end of the ring", {.type = MSG_TASK_YIELD, .length = 0xffff, .seqnum = 0}, 16},
      {"head runs ahead of the ring", {.type = MSG_TASK_YIELD, .length = 48, .seqnum = 0}, 17},
      {"head far off", {.type = MSG_TASK_YIELD, .length = 48, .seqnum = 0}, 0x80000000},
      {"padding beyond head", {.type = MSG_NOP, .length = 64, .seqnum = 0}, 4},
  };
  for (const Garbage& garbage : kCases) {
    SCOPED_TRACE(garbage.name);
    Open(16);
    Raw(0, garbage.header, garbage.head);
    EXPECT_EQ(Take(), -2);
    EXPECT_EQ(Take(), -1);  // all of it is gone
    EXPECT_EQ(queue_->ring().tail, garbage.head);
  }
}

TEST_F(ChannelTest, RandomBytesNeverLeadOutOfTheRing) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    Open(32);
    for (size_t i = 0; i < 32 * sizeof(ghost_msg); ++i) queue_->slots()[i] = static_cast<std::byte>(random());
    queue_->ring().head = random() % 3 == 0 ? random() : random() % 40;
    // Each answer takes at least a slot, so it must come to an end.
    int answers = 0;
    MessageView view;
    for (Result result; (result = channel_.Peek(&view)) != Result::kEmpty; channel_.Consume()) {
      ASSERT_LT(++answers, 40);
      if (result != Result::kMessage) continue;
      ASSERT_GE(view.bytes().data(), queue_->slots());
      ASSERT_LE(view.bytes().data() + view.length(), queue_->slots() + 32 * sizeof(ghost_msg));
      Message message;
      view.Decode(enclave_.abi(), &message);
    }
  }
}

TEST_F(ChannelTest, HeaderIsChecked) {
  struct BadEnclave : MockEnclave {
    using MockEnclave::MockEnclave;
    absl::StatusOr<KernelQueue> CreateQueue(int elems, int node) override {
      absl::StatusOr<KernelQueue> queue = MockEnclave::CreateQueue(elems, node);
      std::memcpy(queue->region.data, &header, sizeof(header));
      return queue;
    }
    ghost_queue_header header;
  };
  BadEnclave enclave(2, CpuSet::FirstN(2), FindAbi(kNewestAbi));
  const ghost_queue_header kBad[] = {
      {.version = 1, .start = 64, .nelems = 64},     {.version = 0, .start = 0, .nelems = 64},
      {.version = 0, .start = 64, .nelems = 0},      {.version = 0, .start = 64, .nelems = 63},
      {.version = 0, .start = 66, .nelems = 64},     {.version = 0, .start = 64, .nelems = 1u << 31},
      {.version = 0, .start = ~0u - 3, .nelems = 4},
  };
  for (const ghost_queue_header& header : kBad) {
    enclave.header = header;
    EXPECT_FALSE(Channel::Create(&enclave, 64, 0, {}).ok()) << header.start << " " << header.nelems;
  }
  enclave.header = {.version = 0, .start = 64, .nelems = 64};
  EXPECT_TRUE(Channel::Create(&enclave, 64, 0, {}).ok());
}

TEST_F(ChannelTest, AssociateAndDefault) {
  Open(64);
  ASSERT_TRUE(channel_.SetDefault().ok());
  EXPECT_EQ(enclave_.default_queue(), channel_.fd());
  const int64_t gtid = MockGtid(12);
  enclave_.PostNew(gtid);
  absl::StatusOr<Channel> other = Channel::Create(&enclave_, 64, 0, {});
  EXPECT_EQ(other->Associate(gtid, 0), -ESTALE);
  EXPECT_EQ(other->Associate(MockGtid(13), 1), -ENOENT);
  EXPECT_EQ(other->Associate(gtid, 1), 0);
  EXPECT_EQ(other->Associate(gtid, 1), GHOST_ASSOC_SF_ALREADY);
  EXPECT_EQ(enclave_.queue_of_task(gtid), other->fd());
}

TEST_F(ChannelTest, AtMostTwoAgentsAreWoken) {
  MockEnclave big(4, CpuSet::FirstN(4), FindAbi(kNewestAbi));
  EXPECT_FALSE(Channel::Create(&big, 64, 0, CpuSet::FirstN(3)).ok());
  EXPECT_TRUE(Channel::Create(&big, 64, 0, CpuSet::FirstN(2)).ok());
}

}  // namespace
}  // namespace ghost
