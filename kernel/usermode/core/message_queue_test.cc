#include "kernel/usermode/core/message_queue.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "kernel/ghost_uapi.h"

namespace ghost::usermode {
namespace {

class RingTest : public ::testing::Test {
 protected:
  void Make(uint32_t elems) {
    elems_ = elems;
    size_ = MessageQueue::MapSize(elems);
    // Exactly as large as the mapping: ASan sees any step outside.
    memory_ = std::make_unique<std::byte[]>(size_ + 64);
    void* aligned = memory_.get();
    size_t space = size_ + 64;
    base_ = static_cast<std::byte*>(std::align(64, size_, aligned, space));
    std::memset(base_, 0, size_);
    queue_ = std::make_unique<MessageQueue>(base_, elems);
    ring_ = reinterpret_cast<ghost_ring*>(base_ + sizeof(ghost_queue_header));
  }

  // A message whose whole content follows from `seqnum`.
  static std::vector<std::byte> Encode(uint32_t seqnum, size_t payload) {
    std::vector<std::byte> bytes(sizeof(ghost_msg) + payload, std::byte(seqnum));
    ghost_msg header = {.type = MSG_TASK_BLOCKED, .length = static_cast<uint16_t>(bytes.size()), .seqnum = seqnum};
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
  }
  bool Produce(uint32_t seqnum, size_t payload) { return queue_->Produce(Encode(seqnum, payload)); }

  // The next message's seqnum, or -1 if there is none; its bytes are checked.
  int64_t Consume() {
    while (ring_->tail != ring_->head) {
      const uint32_t index = ring_->tail % elems_;
      const std::byte* slot = reinterpret_cast<std::byte*>(ring_) + sizeof(ghost_ring) + index * size_t{8};
      ghost_msg header;
      std::memcpy(&header, slot, sizeof(header));
      if (header.type == MSG_NOP) {
        EXPECT_EQ(header.length, static_cast<uint16_t>((elems_ - index) * 8));
        ring_->tail += elems_ - index;
        continue;
      }
      EXPECT_LE(index + (header.length + 7u) / 8, elems_) << "a message that wraps";
      const std::vector<std::byte> expected = Encode(header.seqnum, header.length - sizeof(header));
      EXPECT_EQ(std::memcmp(slot, expected.data(), expected.size()), 0);
      ring_->tail += (header.length + 7u) / 8;
      return header.seqnum;
    }
    return -1;
  }

  uint32_t elems_ = 0;
  size_t size_ = 0;
  std::unique_ptr<std::byte[]> memory_;
  std::byte* base_ = nullptr;
  std::unique_ptr<MessageQueue> queue_;
  ghost_ring* ring_ = nullptr;
};

TEST_F(RingTest, MapSizesOfTheRecording) {
  EXPECT_EQ(MessageQueue::MapSize(64), 4096u);
  EXPECT_EQ(MessageQueue::MapSize(1024), 12288u);
  EXPECT_EQ(MessageQueue::MapSize(65536), 528384u);
}

TEST_F(RingTest, Header) {
  Make(1024);
  const auto* header = reinterpret_cast<ghost_queue_header*>(base_);
  EXPECT_EQ(header->version, 0u);
  EXPECT_EQ(header->start, 64u);
  EXPECT_EQ(header->nelems, 1024u);
}

// "small queue head 60 tail 0 overflow 28": 40 messages of 5 slots into 64.
TEST_F(RingTest, OverflowOfTheRecording) {
  Make(64);
  int queued = 0;
  for (uint32_t i = 0; i < 40; ++i) queued += Produce(i, 32);
  EXPECT_EQ(queued, 12);
  EXPECT_EQ(ring_->head, 60u);
  EXPECT_EQ(ring_->overflow, 28u);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(Consume(), i);
  EXPECT_EQ(Consume(), -1);
}

TEST_F(RingTest, NopFillsTheEnd) {
  Make(8);
  ASSERT_TRUE(Produce(1, 32));  // slots 0-4
  ASSERT_EQ(Consume(), 1);
  ASSERT_TRUE(Produce(2, 24));  // 4 slots: 3 are left at the end, so it goes to 0-3
  EXPECT_EQ(ring_->head, 12u);
  EXPECT_FALSE(Produce(3, 8)) << "only slot 4 is free before the tail";
  EXPECT_TRUE(Produce(4, 0));
  EXPECT_FALSE(Produce(5, 0));
  EXPECT_EQ(Consume(), 2);
  EXPECT_EQ(Consume(), 4);
  EXPECT_EQ(Consume(), -1);
}

TEST_F(RingTest, AnExactFitNeedsNoNop) {
  Make(8);
  ASSERT_TRUE(Produce(1, 24));
  ASSERT_TRUE(Produce(2, 24));
  EXPECT_EQ(ring_->head, 8u);
  EXPECT_FALSE(Produce(3, 0));
  EXPECT_EQ(Consume(), 1);
  EXPECT_EQ(Consume(), 2);
}

TEST_F(RingTest, TheSmallestQueue) {
  Make(1);
  EXPECT_FALSE(Produce(1, 1));
  EXPECT_TRUE(Produce(2, 0));
  EXPECT_FALSE(Produce(3, 0));
  EXPECT_EQ(Consume(), 2);
  EXPECT_TRUE(Produce(4, 0));
  EXPECT_EQ(ring_->overflow, 2u);
}

// Whatever the consumer writes into the shared words, the producer stays inside and never trusts head.
TEST_F(RingTest, HostileConsumer) {
  Make(64);
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    ring_->tail = (i % 3 == 0) ? random() : ring_->head + static_cast<uint32_t>(random() % 200) - 100;
    ring_->head = random();
    ring_->overflow = random();
    reinterpret_cast<ghost_queue_header*>(base_)->nelems = random();
    Produce(static_cast<uint32_t>(i), random() % 49);
  }
}

// Random lengths, random pace: what comes out is what went in, in order; what was refused is counted.
TEST_F(RingTest, RandomTraffic) {
  for (uint32_t elems : {8u, 16u, 64u, 1024u}) {
    Make(elems);
    std::mt19937 random(elems);
    std::deque<uint32_t> expected;
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 50'000; ++i) {
      if (random() % 2 == 0) {
        if (Produce(i, random() % 49)) {
          expected.push_back(i);
        } else {
          ++refused;
        }
      } else if (const int64_t seqnum = Consume(); seqnum >= 0) {
        ASSERT_FALSE(expected.empty());
        ASSERT_EQ(seqnum, expected.front());
        expected.pop_front();
      } else {
        ASSERT_TRUE(expected.empty());
      }
    }
    EXPECT_EQ(ring_->overflow, refused);
  }
}

}  // namespace
}  // namespace ghost::usermode
