#include "kernel/usermode/core/status_words.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace ghost::usermode {
namespace {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

class StatusWordsTest : public ::testing::Test {
 protected:
  std::byte* AddRegion(uint32_t id, uint32_t node) {
    void* memory = std::aligned_alloc(4096, StatusWordRegion::kSize);
    std::memset(memory, 0, StatusWordRegion::kSize);
    memory_[count_].reset(memory);
    table_.AddRegion({.id = 100 + id, .address = memory, .size = StatusWordRegion::kSize}, id, node);
    return static_cast<std::byte*>(memory_[count_++].get());
  }
  static ghost_status_word& Shared(std::byte* region, uint32_t index) {
    return reinterpret_cast<ghost_status_word*>(region + 64)[index];
  }

  StatusWordTable table_;
  std::unique_ptr<void, FreeMemory> memory_[2];
  int count_ = 0;
};

// "sw header version 0 id 0 node 0 start 64 capacity 65534 available 65534 size 2097152"
TEST_F(StatusWordsTest, HeaderOfTheRecording) {
  EXPECT_EQ(StatusWordRegion::kSize, 2097152u);
  const auto* header = reinterpret_cast<ghost_sw_region_header*>(AddRegion(7, 1));
  EXPECT_EQ(header->version, 0u);
  EXPECT_EQ(header->id, 7u);
  EXPECT_EQ(header->numa_node, 1u);
  EXPECT_EQ(header->start, 64u);
  EXPECT_EQ(header->capacity, 65534u);
  EXPECT_EQ(header->available, 65534u);
}

TEST_F(StatusWordsTest, NoRegionNoWord) { EXPECT_FALSE(table_.Allocate(1, 0)); }

TEST_F(StatusWordsTest, AllocatesInACircle) {
  std::byte* region = AddRegion(0, 0);
  const auto* header = reinterpret_cast<ghost_sw_region_header*>(region);
  StatusWord first = table_.Allocate(11, 0);
  StatusWord second = table_.Allocate(12, 0);
  EXPECT_EQ(first.info().index, 0u);
  EXPECT_EQ(second.info().index, 1u);
  EXPECT_EQ(header->available, 65532u);
  table_.Free(first);
  EXPECT_EQ(table_.Allocate(13, 0).info().index, 2u) << "not the slot that was just freed";
  for (uint32_t i = 3; i < StatusWordRegion::kCapacity; ++i) ASSERT_TRUE(table_.Allocate(i + 100, 0));
  EXPECT_EQ(table_.Allocate(14, 0).info().index, 0u) << "round the end";
  EXPECT_EQ(header->available, 0u);
  EXPECT_FALSE(table_.Allocate(15, 0));
  EXPECT_EQ(table_.allocated(), 65534u);
}

TEST_F(StatusWordsTest, FallsBackToTheNextRegion) {
  AddRegion(0, 0);
  AddRegion(5, 0);
  for (uint32_t i = 0; i < StatusWordRegion::kCapacity; ++i) ASSERT_EQ(table_.Allocate(i + 1, 0).info().id, 0u);
  EXPECT_EQ(table_.Allocate(99, 0).info().id, 5u);
  EXPECT_TRUE(table_.HasRegion(5));
  EXPECT_FALSE(table_.HasRegion(1));
}

TEST_F(StatusWordsTest, WhatAgentsSee) {
  std::byte* region = AddRegion(0, 0);
  StatusWord word = table_.Allocate(11, GHOST_SW_TASK_RUNNABLE);
  ghost_status_word& shared = Shared(region, 0);
  EXPECT_EQ(shared.gtid, 11u);
  EXPECT_EQ(shared.flags, GHOST_SW_F_INUSE | GHOST_SW_F_ALLOCATED | GHOST_SW_TASK_RUNNABLE);
  EXPECT_EQ(word.IncrementBarrier(), 1u);
  word.SetOnCpu(77);
  word.SetRuntime(5);
  EXPECT_EQ(shared.barrier, 1u);
  EXPECT_EQ(shared.switch_time, 77);
  EXPECT_EQ(shared.runtime, 5u);
  EXPECT_NE(shared.flags & GHOST_SW_TASK_ONCPU, 0u);
  word.SetOffCpu();
  EXPECT_EQ(shared.switch_time, 0);
  EXPECT_EQ(shared.flags & GHOST_SW_TASK_ONCPU, 0u);
  table_.Free(word);
  const ghost_status_word zero = {};
  EXPECT_EQ(std::memcmp(&shared, &zero, sizeof(zero)), 0);
}

TEST_F(StatusWordsTest, SharedMemoryIsNeverReadBack) {
  std::byte* region = AddRegion(0, 0);
  StatusWord word = table_.Allocate(11, 0);
  std::memset(region, 0xff, StatusWordRegion::kSize);
  EXPECT_EQ(word.gtid(), 11);
  EXPECT_EQ(word.IncrementBarrier(), 1u);
  EXPECT_EQ(word.flags(), GHOST_SW_F_INUSE | GHOST_SW_F_ALLOCATED);
  EXPECT_EQ(table_.Allocate(12, 0).info().index, 1u);
}

TEST_F(StatusWordsTest, Find) {
  AddRegion(3, 0);
  EXPECT_TRUE(table_.Find({.id = 3, .index = 65533}));
  EXPECT_FALSE(table_.Find({.id = 3, .index = 65534}));
  EXPECT_FALSE(table_.Find({.id = 0, .index = 0}));
}

}  // namespace
}  // namespace ghost::usermode
