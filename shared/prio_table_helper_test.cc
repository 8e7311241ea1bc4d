#include "shared/prio_table_helper.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"
#include "lib/base/time.h"
#include "shared/prio_table.h"

namespace ghost {
namespace {

class PrioTableHelperTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(hints_.status().ok()) << hints_.status();
    ASSERT_TRUE(scheduler_.Attach(getpid()).ok());
  }
  // The item as the scheduler reads it after it was announced.
  struct sched_item Announced(int sid) {
    EXPECT_EQ(scheduler_.NextUpdatedIndex(), sid);
    EXPECT_EQ(scheduler_.NextUpdatedIndex(), PrioTable::kNoUpdate);
    struct sched_item item = {};
    EXPECT_TRUE(scheduler_.ReadItem(sid, &item));
    return item;
  }

  PrioTableHelper hints_{4, 2};
  PrioTable scheduler_;
};

TEST_F(PrioTableHelperTest, ClassesAreWritten) {
  hints_.SetWorkClass(0, {.qos = 3, .exectime = absl::Microseconds(10)});
  hints_.SetWorkClass(1, {.qos = 4, .exectime = -absl::Seconds(1), .period = absl::Milliseconds(2)});
  const struct work_class once = scheduler_.ReadClass(0);
  EXPECT_EQ(once.flags, WORK_CLASS_ONESHOT);
  EXPECT_EQ(once.qos, 3u);
  EXPECT_EQ(once.exectime, 10'000u);
  EXPECT_EQ(once.period, 0u);
  const struct work_class repeating = scheduler_.ReadClass(1);
  EXPECT_EQ(repeating.flags, WORK_CLASS_REPEATING);
  EXPECT_EQ(repeating.exectime, 0u);
  EXPECT_EQ(repeating.period, 2'000'000u);
}

TEST_F(PrioTableHelperTest, EachChangeIsAnnounced) {
  hints_.SetThread(2, /*wcid=*/1);
  struct sched_item item = Announced(2);
  EXPECT_EQ(item.gpid, static_cast<uint64_t>(gettid()));
  EXPECT_EQ(item.wcid, 1u);
  EXPECT_EQ(item.flags, SCHED_ITEM_RUNNABLE);
  EXPECT_EQ(item.deadline, 0u);
  hints_.MarkIdle(2);
  EXPECT_EQ(Announced(2).flags, 0u);
  EXPECT_FALSE(hints_.IsRunnable(2));

  const Time before = Time::Now();
  hints_.MarkRunnable(2, absl::Milliseconds(5));
  const Time after = Time::Now();
  item = Announced(2);
  EXPECT_EQ(item.flags, SCHED_ITEM_RUNNABLE);
  EXPECT_GE(item.deadline, static_cast<uint64_t>(before.ns() + 5'000'000));
  EXPECT_LE(item.deadline, static_cast<uint64_t>(after.ns() + 5'000'000));
  EXPECT_TRUE(hints_.IsRunnable(2));

  hints_.MarkRunnable(2, /*wcid=*/0, absl::InfiniteDuration());
  item = Announced(2);
  EXPECT_EQ(item.wcid, 0u);
  EXPECT_EQ(item.deadline, 0u);
  hints_.MarkIdle(2);
  EXPECT_EQ(Announced(2).flags, 0u);
  hints_.SetThread(3, 0, /*tid=*/17);
  EXPECT_EQ(Announced(3).gpid, 17u);
}

TEST_F(PrioTableHelperTest, ADeadlineInThePastIsStillOne) {
  hints_.MarkRunnable(0, -absl::InfiniteDuration());
  EXPECT_EQ(Announced(0).deadline, 1u);
}

TEST_F(PrioTableHelperTest, WaitsUntilTheSchedulerSaysSo) {
  EXPECT_FALSE(hints_.WaitUntilRunnable(1, Time::Now() + absl::Milliseconds(2)));
  std::thread scheduler([this] {
    const uint32_t begin = scheduler_.sched_item(1)->seqcount.write_begin();
    __atomic_fetch_or(&scheduler_.sched_item(1)->flags, SCHED_ITEM_RUNNABLE, __ATOMIC_RELEASE);
    scheduler_.sched_item(1)->seqcount.write_end(begin);
  });
  EXPECT_TRUE(hints_.WaitUntilRunnable(1, Time::Now() + absl::Seconds(60)));
  scheduler.join();
}

TEST(PrioTableHelperStatusTest, SaysWhatIsWrong) { EXPECT_FALSE(PrioTableHelper(0, 1).status().ok()); }

}  // namespace
}  // namespace ghost
