#include "shared/prio_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/process.h"
#include "lib/base/shared_word.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

using Capacity = PrioTable::StreamCapacity;

// A table as both sides have it.
struct Pair {
  Pair(uint32_t num_items, uint32_t num_classes, Capacity capacity) : ours(num_items, num_classes, capacity) {
    EXPECT_TRUE(ours.status().ok()) << ours.status();
    const absl::Status status = theirs.Attach(getpid());
    EXPECT_TRUE(status.ok()) << status;
  }
  PrioTable ours;
  PrioTable theirs;
};

std::set<int> Updates(PrioTable& table) {
  std::set<int> updates;
  for (int i = 0; i < 1000; ++i) {
    const int index = table.NextUpdatedIndex();
    if (index == PrioTable::kNoUpdate) return updates;
    updates.insert(index);
  }
  ADD_FAILURE() << "no end of updates";
  return updates;
}

// Writes the same value into all fields of an item.
void WriteItem(PrioTable& table, int index, uint32_t value) {
  struct sched_item& item = *table.sched_item(index);
  const uint32_t begin = item.seqcount.write_begin();
  StoreShared<Order::kRelaxed>(item.wcid, value);
  StoreShared<Order::kRelaxed>(item.gpid, uint64_t{value});
  StoreShared<Order::kRelaxed>(item.flags, value);
  StoreShared<Order::kRelaxed>(item.deadline, uint64_t{value});
  item.seqcount.write_end(begin);
}

// The value of an item, if it is whole.
uint32_t ValueOf(const struct sched_item& item) {
  EXPECT_EQ(item.gpid, item.wcid);
  EXPECT_EQ(item.flags, item.wcid);
  EXPECT_EQ(item.deadline, item.wcid);
  return item.wcid;
}

TEST(PrioTableTest, Owner) {
  PrioTable table;
  EXPECT_EQ(table.Owner(), 0);
  EXPECT_TRUE(absl::IsNotFound(table.Attach(getpid())));
  EXPECT_EQ(table.Owner(), 0);
  PrioTable ours(1, 1, Capacity::kStreamCapacity11);
  EXPECT_EQ(ours.Owner(), getpid());
  ASSERT_TRUE(table.Attach(getpid()).ok());
  EXPECT_EQ(table.Owner(), getpid());
  EXPECT_FALSE(table.Attach(1 << 30).ok());
  EXPECT_EQ(table.Owner(), 0);
}

TEST(PrioTableTest, CountsAreKept) {
  Pair pair(5, 3, Capacity::kStreamCapacity19);
  for (PrioTable* table : {&pair.ours, &pair.theirs}) {
    EXPECT_EQ(table->NumItems(), 5);
    EXPECT_EQ(table->NumClasses(), 3);
    for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(table->sched_item(i)->sid, i);
    for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(table->work_class(i)->id, i);
  }
  pair.ours.work_class(2)->qos = 77;
  pair.ours.work_class(2)->exectime = 1ull << 40;
  EXPECT_EQ(pair.theirs.ReadClass(2).qos, 77u);
  EXPECT_EQ(pair.theirs.ReadClass(2).exectime, 1ull << 40);
}

TEST(PrioTableTest, CountsThatMakeNoSense) {
  EXPECT_FALSE(PrioTable(0, 1, Capacity::kStreamCapacity11).status().ok());
  EXPECT_FALSE(PrioTable(1, 0, Capacity::kStreamCapacity11).status().ok());
  EXPECT_FALSE(PrioTable(PrioTable::kMaxItems + 1, 1, Capacity::kStreamCapacity11).status().ok());
  EXPECT_FALSE(PrioTable(1, PrioTable::kMaxClasses + 1, Capacity::kStreamCapacity11).status().ok());
  EXPECT_FALSE(PrioTable(1, 1, static_cast<Capacity>(12)).status().ok());
  EXPECT_TRUE(PrioTable(PrioTable::kMaxItems, PrioTable::kMaxClasses, Capacity::kStreamCapacity97).status().ok());
}

TEST(PrioTableTest, SimpleEnqueueThenDequeue) {
  Pair pair(100, 1, Capacity::kStreamCapacity19);
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
  for (const int index : {3, 99, 0}) pair.ours.MarkUpdatedIndex(index, 3);
  pair.ours.MarkUpdatedIndex(99, 3);  // told as one
  std::vector<int> told;
  for (int i = 0; i < 3; ++i) told.push_back(pair.theirs.NextUpdatedIndex());
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, (std::vector<int>{0, 3, 99}));
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
}

TEST(PrioTableTest, CapacityOverflow) {
  for (const Capacity capacity : {Capacity::kStreamCapacity11, Capacity::kStreamCapacity97}) {
    const int size = static_cast<int>(capacity);
    Pair pair(2 * size, 1, capacity);
    for (int i = 0; i < size; ++i) pair.ours.MarkUpdatedIndex(i, size);
    EXPECT_EQ(Updates(pair.theirs).size(), static_cast<size_t>(size));
    for (int i = 0; i <= size; ++i) pair.ours.MarkUpdatedIndex(i, size);
    EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kOverflow);
    EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
    pair.ours.MarkUpdatedIndex(2 * size - 1, 0);
    EXPECT_EQ(pair.theirs.NextUpdatedIndex(), 2 * size - 1);
    EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
  }
}

TEST(PrioTableTest, ContentionOverflow) {
  Pair pair(100, 1, Capacity::kStreamCapacity11);
  pair.ours.MarkUpdatedIndex(1, 0);
  pair.ours.MarkUpdatedIndex(1 + 11, 1);  // its second place is free
  EXPECT_EQ(Updates(pair.theirs), (std::set<int>{1, 12}));
  pair.ours.MarkUpdatedIndex(1, 0);
  pair.ours.MarkUpdatedIndex(1 + 11, 0);
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kOverflow);
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
}

// Every item that is announced is told at least once, or an overflow is.
TEST(PrioTableTest, StressThreads) {
  constexpr int kThreads = 4;
  constexpr int kItems = 200;
  constexpr uint32_t kRounds = 5'000;
  Pair pair(kItems, 1, Capacity::kStreamCapacity53);
  std::atomic<int> done = 0;
  std::vector<std::thread> writers;
  for (int thread = 0; thread < kThreads; ++thread) {
    writers.emplace_back([&, thread] {
      for (uint32_t round = 1; round <= kRounds; ++round) {
        const int index = static_cast<int>((round * 7 + static_cast<uint32_t>(thread)) % kItems);
        // All threads write all items; the item's lock keeps each write whole.
        WriteItem(pair.ours, index, round);
        pair.ours.MarkUpdatedIndex(index, 5);
      }
      ++done;
    });
  }
  std::vector<uint32_t> seen(kItems);
  const auto look = [&](int index) {
    struct sched_item item;
    if (pair.theirs.ReadItem(index, &item)) seen[index] = ValueOf(item);
  };
  uint64_t updates = 0;
  for (bool over = false; !over;) {
    over = done == kThreads;  // asked first: what comes after the last update is not missed
    for (int index; (index = pair.theirs.NextUpdatedIndex()) != PrioTable::kNoUpdate; ++updates) {
      if (index != PrioTable::kOverflow) {
        look(index);
      } else {
        for (int i = 0; i < kItems; ++i) look(i);
      }
    }
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(updates, 0u);
  for (int i = 0; i < kItems; ++i) EXPECT_EQ(seen[i], pair.ours.sched_item(i)->wcid) << i;
}

// Who is told of an item sees a value at least as new as the one that was announced, and never an older one later.
TEST(PrioTableTest, StressOrdering) {
  constexpr uint32_t kRounds = 100'000;
  Pair pair(1, 1, Capacity::kStreamCapacity11);
  std::atomic<uint32_t> announced = 0;
  std::jthread writer([&] {
    for (uint32_t round = 1; round <= kRounds; ++round) {
      WriteItem(pair.ours, 0, round);
      pair.ours.MarkUpdatedIndex(0, 0);
      announced.store(round, std::memory_order_release);
    }
  });
  uint32_t last = 0;
  bool owed = false;  // an update for an item that was being written
  const Time end = Time::Now() + absl::Seconds(120);
  while (last != kRounds) {
    ASSERT_LT(Time::Now(), end);
    const uint32_t before = announced.load(std::memory_order_acquire);
    const int index = pair.theirs.NextUpdatedIndex();
    if (index == PrioTable::kNoUpdate) {
      EXPECT_TRUE(owed || last >= before) << last << " " << before;  // otherwise its change is lost
      continue;
    }
    ASSERT_EQ(index, 0);
    struct sched_item item;
    owed = !pair.theirs.ReadItem(0, &item);
    if (owed) continue;
    const uint32_t value = ValueOf(item);
    EXPECT_GE(value, last);
    EXPECT_GE(value, before);
    last = value;
  }
  writer.join();
  Updates(pair.theirs);  // the last value may have been read before it was announced
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
}

TEST(PrioTableTest, CopiesAreWhole) {
  Pair pair(1, 1, Capacity::kStreamCapacity11);
  std::atomic<bool> over = false;
  std::jthread writer([&] {
    for (uint32_t round = 1; !over; ++round) WriteItem(pair.ours, 0, round);
  });
  int whole = 0;
  struct sched_item item;
  const Time start = Time::Now();
  while (whole < 10'000 || Time::Now() - start < absl::Milliseconds(300)) {
    if (Time::Now() - start > absl::Seconds(50)) {
      over = true;
      FAIL() << whole << " copies only";
    }
    for (int i = 0; i < 1000; ++i) {
      if (!pair.theirs.ReadItem(0, &item)) continue;
      ++whole;
      if (item.gpid != item.wcid || item.flags != item.wcid || item.deadline != item.wcid) {
        over = true;
        FAIL() << item.wcid << " " << item.gpid << " " << item.flags << " " << item.deadline;
      }
    }
  }
  over = true;
}

// Another writer was killed between the two steps of its announcement.
TEST(PrioTableTest, AnAnnouncementThatWasHalfMade) {
  Pair pair(20, 1, Capacity::kStreamCapacity11);
  pair.ours.MarkUpdatedIndex(3, 0);
  auto* pending = reinterpret_cast<uint64_t*>(reinterpret_cast<std::byte*>(pair.ours.sched_item(0)) - 512 + 64 + 8);
  ASSERT_EQ(*pending, uint64_t{1} << 3);
  *pending = 0;
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
  pair.ours.MarkUpdatedIndex(3, 0);
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), 3);
}

TEST(PrioTableTest, SeqcountKeepsReadersAndWritersApart) {
  struct seqcount count = {};
  uint32_t begin = count.read_begin();
  EXPECT_TRUE(count.read_end(begin));
  const uint32_t writing = count.write_begin();
  EXPECT_FALSE(count.try_write_begin().first);
  EXPECT_FALSE(count.read_end(begin));
  begin = count.read_begin();
  EXPECT_FALSE(count.read_end(begin));
  count.write_end(writing);
  EXPECT_FALSE(count.read_end(begin));
  begin = count.read_begin();
  EXPECT_TRUE(count.read_end(begin));
  const auto [taken, second] = count.try_write_begin();
  EXPECT_TRUE(taken);
  EXPECT_NE(second, writing);
  count.write_end(second);
  count.seqnum = UINT32_MAX;  // odd; the next even number is 0
  count.write_end(UINT32_MAX);
  EXPECT_TRUE(count.try_write_begin().first);
}

TEST(PrioTableTest, ADeadWriterIsReplaced) {
  struct seqcount count = {};
  const uint32_t dead = count.write_begin();
  const Time start = Time::Now();
  const uint32_t ours = count.write_begin();
  EXPECT_GE(Time::Now() - start, absl::Milliseconds(100));
  EXPECT_NE(ours, dead);
  count.write_end(dead);  // it wasn't dead: no harm
  EXPECT_FALSE(count.try_write_begin().first);
  count.write_end(ours);
  EXPECT_TRUE(count.try_write_begin().first);
}

TEST(PrioTableTest, AnItemThatIsBeingWrittenIsNotRead) {
  Pair pair(1, 1, Capacity::kStreamCapacity11);
  const uint32_t begin = pair.ours.sched_item(0)->seqcount.write_begin();
  struct sched_item item;
  EXPECT_FALSE(pair.theirs.ReadItem(0, &item));
  pair.ours.sched_item(0)->seqcount.write_end(begin);
  EXPECT_TRUE(pair.theirs.ReadItem(0, &item));
}

// A table as somebody else may make it: `text` after the header of a region.
absl::Status AttachForged(const std::vector<uint32_t>& words, size_t size) {
  GhostShmem region(PrioTable::kVersion, PrioTable::kName, size);
  std::memcpy(region.bytes(), words.data(), std::min(size, words.size() * sizeof(uint32_t)));
  region.MarkReady();
  PrioTable table;
  const absl::Status status = table.Attach(getpid());
  EXPECT_EQ(table.NumItems() != 0, status.ok());
  return status;
}

TEST(PrioTableTest, ForgedCounts) {
  constexpr size_t kSize = 4096;
  EXPECT_TRUE(AttachForged({10, 2, 11}, kSize).ok());
  const std::vector<std::vector<uint32_t>> forged = {
      {0, 2, 11},          {10, 0, 11},        {10, 2, 0},          {10, 2, 12},       {100, 2, 11},     {10, 100, 11},
      {UINT32_MAX, 2, 11}, {10, 1u << 31, 11}, {10, 2, UINT32_MAX}, {65536, 4096, 97}, {1u << 26, 1, 11}};
  for (const std::vector<uint32_t>& words : forged) {
    EXPECT_TRUE(absl::IsFailedPrecondition(AttachForged(words, kSize))) << words[0] << " " << words[1];
  }
  EXPECT_FALSE(AttachForged({10, 2, 11}, 1).ok());
  EXPECT_FALSE(AttachForged({10, 2, 11}, 64).ok());
}

TEST(PrioTableTest, CountsThatChangeLaterAreNotSeen) {
  Pair pair(4, 1, Capacity::kStreamCapacity11);
  std::memset(pair.ours.sched_item(0), 0xff, sizeof(struct sched_item));
  // The header and the stream, all ones.
  constexpr size_t kSize = 512;
  auto* begin = reinterpret_cast<std::byte*>(pair.ours.sched_item(0)) - kSize;
  std::memset(begin, 0xff, kSize);
  EXPECT_EQ(pair.theirs.NumItems(), 4);
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kOverflow);
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
  struct sched_item item;
  EXPECT_FALSE(pair.theirs.ReadItem(0, &item));
  // Bits and places that are none.
  std::memset(begin, 0xff, kSize);
  std::memset(begin + 64, 0, sizeof(uint32_t));  // no overflow
  EXPECT_EQ(pair.theirs.NextUpdatedIndex(), PrioTable::kNoUpdate);
}

}  // namespace
}  // namespace ghost
