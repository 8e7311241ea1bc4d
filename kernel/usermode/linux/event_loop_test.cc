#include "kernel/usermode/linux/event_loop.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
  void Put() { EXPECT_EQ(write(write_end.get(), "x", 1), 1); }
  void Take() {
    char byte;
    EXPECT_EQ(read(read_end.get(), &byte, 1), 1);
  }
  ScopedFd read_end, write_end;
};

TEST(EventLoop, CallsTheWatcherAsLongAsItsDescriptorIsReadable) {
  EventLoop loop;
  Pipe pipe;
  int calls = 0;
  ASSERT_TRUE(loop.Watch(pipe.read_end.get(), [&] {
    pipe.Take();
    if (++calls == 3) loop.Stop();
  }));
  for (int i = 0; i < 3; ++i) pipe.Put();
  loop.Run();
  EXPECT_EQ(calls, 3);
}

TEST(EventLoop, ABrokenDescriptorIsReadable) {
  EventLoop loop;
  Pipe pipe;
  loop.Watch(pipe.read_end.get(), [&] { loop.Stop(); });
  pipe.write_end.reset();
  loop.Run();
}

TEST(EventLoop, RefusesWhatCannotBeWaitedFor) {
  EventLoop loop;
  EXPECT_FALSE(loop.Watch(-1, [] {}));
  ScopedFd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(loop.Watch(file.get(), [] {}));
}

TEST(EventLoop, UnwatchHoldsForEventsOfTheSameBatch) {
  EventLoop loop;
  Pipe a, b;
  int calls = 0;
  // Both are ready in one batch; whichever comes first silences the other, and itself.
  const auto once = [&] {
    ++calls;
    loop.Unwatch(a.read_end.get());
    loop.Unwatch(b.read_end.get());
  };
  loop.Watch(a.read_end.get(), once);
  loop.Watch(b.read_end.get(), once);
  a.Put();
  b.Put();
  loop.RunOnce(0);
  loop.RunOnce(0);
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, ANewWatcherReplacesTheOldOne) {
  EventLoop loop;
  Pipe pipe;
  int old_calls = 0, new_calls = 0;
  loop.Watch(pipe.read_end.get(), [&] { ++old_calls; });
  loop.Watch(pipe.read_end.get(), [&] { ++new_calls; });
  pipe.Put();
  loop.RunOnce(0);
  EXPECT_EQ(old_calls, 0);
  EXPECT_EQ(new_calls, 1);
}

TEST(EventLoop, PollersRunUntilNoneHasAnythingLeft) {
  EventLoop loop;
  Pipe pipe;
  std::vector<int> order;
  int a_left = 0, b_left = 0;
  loop.AddPoller([&] { return a_left > 0 ? (order.push_back(1), --a_left, true) : false; });
  loop.AddPoller([&] { return b_left > 0 ? (order.push_back(2), --b_left, a_left = 1, true) : false; });
  loop.Watch(pipe.read_end.get(), [&] {
    pipe.Take();
    a_left = 1;
    b_left = 2;
  });
  pipe.Put();
  loop.RunOnce(0);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 1, 2, 1}));
}

TEST(EventLoop, APollerThatAlwaysFindsMoreLeavesTimeForDescriptors) {
  EventLoop loop;
  Pipe pipe;
  int rounds = 0;
  loop.AddPoller([&] { return ++rounds > 0; });
  int calls = 0;
  loop.Watch(pipe.read_end.get(), [&] {
    ++calls;
    if (calls == 3) loop.Stop();
  });
  pipe.Put();
  loop.Run();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(rounds, 4 * EventLoop::kMaxRounds);
}

TEST(EventLoop, PollersRunBeforeTheFirstWait) {
  EventLoop loop;
  loop.AddPoller([&] {
    loop.Stop();
    return false;
  });
  loop.Run();  // would wait for ever
}

class TimerSetTest : public testing::Test {
 protected:
  // Runs the loop until `count` timers have expired.
  void RunUntil(size_t count) {
    while (expired_.size() < count) loop_.RunOnce(-1);
  }

  EventLoop loop_;
  std::vector<uint64_t> expired_;
  TimerSet timers_{&loop_, [this](uint64_t id) {
                     EXPECT_GE(Time::Now().ns(), due_ns_[id]);
                     expired_.push_back(id);
                   }};
  std::map<uint64_t, int64_t> due_ns_;
};

TEST_F(TimerSetTest, ExpiresInOrderOfTime) {
  const int64_t now = Time::Now().ns();
  for (uint64_t id : {3, 1, 2}) timers_.Arm(id, due_ns_[id] = now + static_cast<int64_t>(id) * 1'000'000);
  RunUntil(3);
  EXPECT_EQ(expired_, (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(timers_.size(), 0u);
}

TEST_F(TimerSetTest, ThePastAndNegativeTimesExpireAtOnce) {
  timers_.Arm(1, 0);
  RunUntil(1);
  timers_.Arm(2, -5);
  RunUntil(2);
  timers_.Arm(3, Time::Now().ns() - 1'000'000'000);
  RunUntil(3);
}

TEST_F(TimerSetTest, ArmReplacesEarlierAndLater) {
  const int64_t now = Time::Now().ns();
  timers_.Arm(1, now + 3'600'000'000'000);
  timers_.Arm(2, now);
  timers_.Arm(1, due_ns_[1] = now + 1'000'000);  // earlier
  timers_.Arm(2, due_ns_[2] = now + 2'000'000);  // later
  RunUntil(2);
  EXPECT_EQ(expired_, (std::vector<uint64_t>{1, 2}));
}

TEST_F(TimerSetTest, ADisarmedTimerDoesNotExpire) {
  const int64_t now = Time::Now().ns();
  timers_.Arm(1, now);
  timers_.Arm(2, due_ns_[2] = now + 1'000'000);
  timers_.Disarm(1);
  timers_.Disarm(77);
  RunUntil(1);
  EXPECT_EQ(expired_, std::vector<uint64_t>{2});
}

TEST(TimerSet, TheCallbackMayArmAgain) {
  EventLoop loop;
  int left = 5;
  TimerSet* timers = nullptr;
  TimerSet set(&loop, [&](uint64_t id) {
    if (--left > 0) timers->Arm(id, 0);
  });
  timers = &set;
  set.Arm(9, 0);
  while (left > 0) loop.RunOnce(-1);
  EXPECT_EQ(set.size(), 0u);
}

// Against a map: a thousand random operations, then everything that is left expires in order.
TEST_F(TimerSetTest, AgreesWithAModel) {
  std::mt19937_64 random(7);
  std::map<uint64_t, int64_t> model;
  const int64_t base = Time::Now().ns() + 20'000'000;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t id = random() % 100;
    if (random() % 3 == 0) {
      timers_.Disarm(id);
      model.erase(id);
    } else {
      const int64_t when = base + static_cast<int64_t>(random() % 10'000'000);
      timers_.Arm(id, when);
      model[id] = due_ns_[id] = when;
    }
    ASSERT_EQ(timers_.size(), model.size());
  }
  RunUntil(model.size());
  ASSERT_EQ(expired_.size(), model.size());
  for (size_t i = 1; i < expired_.size(); ++i) EXPECT_LE(model.at(expired_[i - 1]), model.at(expired_[i]));
}

}  // namespace
}  // namespace ghost::usermode
