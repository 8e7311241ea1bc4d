#include "kernel/usermode/sim/fiber.h"

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ghost::sim {
namespace {

TEST(FiberTest, TakesTurns) {
  std::vector<int> order;
  Fiber a([&] {
    order.push_back(1);
    Fiber::Suspend();
    order.push_back(3);
  });
  Fiber b([&] {
    order.push_back(2);
    Fiber::Suspend();
    order.push_back(4);
  });
  EXPECT_EQ(Fiber::Current(), nullptr);
  for (Fiber* fiber : {&a, &b, &a, &b}) fiber->Resume();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_TRUE(a.finished() && b.finished());
}

TEST(FiberTest, ADroppedFiberIsUnwound) {
  auto token = std::make_shared<int>(1);
  struct SuspendsWhenDestroyed {
    ~SuspendsWhenDestroyed() { Fiber::Suspend(); }  // no second exception
  };
  bool went_on = false;
  {
    Fiber fiber([&] {
      const std::shared_ptr<int> copy = token;
      const std::string allocated(1000, 'x');
      const SuspendsWhenDestroyed last;
      Fiber::Suspend();
      went_on = true;
    });
    fiber.Resume();
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_FALSE(went_on);
}

TEST(FiberTest, OneThatWasNeverStarted) {
  bool ran = false;
  {
    Fiber fiber([&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

// Its stack is deep enough for what agents do, and there are as many as CPUs.
TEST(FiberTest, ManyDeepOnes) {
  std::vector<std::unique_ptr<Fiber>> fibers;
  int sum = 0;
  for (int i = 0; i < 1024; ++i) {
    fibers.push_back(std::make_unique<Fiber>([&sum, i] {
      volatile char deep[64 << 10];
      deep[0] = static_cast<char>(i & 1);
      Fiber::Suspend();
      sum += deep[0];
    }));
  }
  for (int turn = 0; turn < 2; ++turn) {
    for (auto& fiber : fibers) fiber->Resume();
  }
  EXPECT_EQ(sum, 512);
}

}  // namespace
}  // namespace ghost::sim
