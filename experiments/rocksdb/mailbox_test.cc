#include "experiments/rocksdb/mailbox.h"

#include <sched.h>

#include <thread>

#include "gtest/gtest.h"

namespace ghost {
namespace {

TEST(MailboxTest, NothingCanBePutBeforeTheWorkerIsThere) {
  Mailbox box(1);
  EXPECT_FALSE(box.IsEmpty());
  EXPECT_FALSE(box.Close());
  box.Done();
  EXPECT_TRUE(box.IsEmpty());
}

TEST(MailboxTest, ItIsTheWorkersFromPutToDone) {
  Mailbox box(4);
  box.Done();
  box.requests()[0].key = 7;
  box.requests()[1].key = 8;
  box.Put(2);
  EXPECT_FALSE(box.IsEmpty());
  EXPECT_FALSE(box.Close());
  ASSERT_TRUE(box.Wait(Mailbox::Waiting::kSleep));
  ASSERT_EQ(box.taken().size(), 2u);
  EXPECT_EQ(box.taken()[1].key, 8u);
  EXPECT_FALSE(box.IsEmpty());
  box.Done();
  EXPECT_TRUE(box.IsEmpty());
}

TEST(MailboxTest, ClosedOnceAndForAll) {
  Mailbox box(1);
  box.Done();
  EXPECT_TRUE(box.Close());
  EXPECT_TRUE(box.Close());
  EXPECT_FALSE(box.IsEmpty());
  for (auto waiting :
       {Mailbox::Waiting::kSpin, Mailbox::Waiting::kYield, Mailbox::Waiting::kHinted, Mailbox::Waiting::kSleep}) {
    EXPECT_FALSE(box.Wait(waiting));
  }
}

class MailboxWaitingTest : public testing::TestWithParam<Mailbox::Waiting> {};

// Each request comes through once and unchanged, however the worker waits; pauses of the dispatcher let it fall asleep.
TEST_P(MailboxWaitingTest, EachRequestIsTakenOnce) {
  constexpr uint32_t kRequests = 3000;
  constexpr int kBatch = 3;
  Mailbox box(kBatch);
  uint32_t expected = 0;
  bool in_order = true;
  std::thread worker([&] {
    box.Done();
    while (box.Wait(GetParam())) {
      for (const Request& request : box.taken()) in_order &= request.key == expected++;
      box.Done();
    }
  });
  for (uint32_t key = 0; key < kRequests; key += kBatch) {
    while (!box.IsEmpty()) sched_yield();
    for (uint32_t i = 0; i < kBatch; ++i) box.requests()[i].key = key + i;
    box.Put(kBatch);
    if (key % 300 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(4));
  }
  while (!box.Close()) sched_yield();
  worker.join();
  EXPECT_EQ(expected, kRequests);
  EXPECT_TRUE(in_order);
}

INSTANTIATE_TEST_SUITE_P(All, MailboxWaitingTest,
                         testing::Values(Mailbox::Waiting::kSpin, Mailbox::Waiting::kYield, Mailbox::Waiting::kHinted,
                                         Mailbox::Waiting::kSleep));

}  // namespace
}  // namespace ghost
