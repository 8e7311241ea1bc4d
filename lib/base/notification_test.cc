#include "lib/base/notification.h"

#include <sys/mman.h>

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/process.h"

namespace ghost {
namespace {

TEST(Notification, StaysNotifiedUntilReset) {
  Notification event;
  EXPECT_FALSE(event.HasBeenNotified());
  event.Notify();
  event.Notify();
  EXPECT_TRUE(event.HasBeenNotified());
  event.Wait();
  event.Reset();
  EXPECT_FALSE(event.HasBeenNotified());
  EXPECT_FALSE(event.WaitUntil(Time::Now() + absl::Milliseconds(1)));
}

TEST(Notification, WaitUntilSeesAPastNotification) {
  Notification event;
  event.Notify();
  EXPECT_TRUE(event.WaitUntil(Time::FromNanoseconds(0)));
}

TEST(Notification, NotifiesAfterATimeout) {
  Notification event;
  EXPECT_FALSE(event.WaitUntil(Time::FromNanoseconds(0)));
  event.Notify();
  event.Wait();
}

TEST(Notification, WakesAllWaitersAndPublishesWhatWasWritten) {
  Notification event;
  int written = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      event.Wait();
      EXPECT_EQ(written, 7);
    });
  }
  written = 7;
  event.Notify();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(Notification, PingPongLosesNoWakeUp) {
  constexpr int kRounds = 2'000;
  Notification ping, pong;
  std::thread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      ping.Wait();
      ping.Reset();
      pong.Notify();
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    ping.Notify();
    pong.Wait();
    pong.Reset();
  }
  other.join();
}

TEST(Notification, WorksBetweenProcesses) {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  // Zeroed memory is two events that have not happened.
  auto* events = static_cast<Notification*>(memory);
  auto child = ChildProcess::Fork([&] {
    events[0].Wait();
    events[1].Notify();
    return 0;
  });
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_FALSE(events[1].HasBeenNotified());
  events[0].Notify();
  events[1].Wait();
  EXPECT_TRUE(child->Wait().ok());
  munmap(memory, 4096);
}

}  // namespace
}  // namespace ghost
