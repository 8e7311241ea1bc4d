#include "schedulers/hints/prio_table_hints.h"

#include <sched.h>
#include <sys/wait.h>
#include <time.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/testing/allocation_counter.h"
#include "schedulers/hints/hints_test_base.h"
#include "shared/prio_table.h"
#include "shared/prio_table_helper.h"

namespace ghost {
namespace {

// The client is this process: its one thread stands for all tasks, which differ by their gtids' sequence numbers.
class PrioTableHintsTest : public testing::Test {
 protected:
  int64_t Task(int64_t sequence) const { return GtidOf(OwnTid(), sequence); }
  // Item `sid` speaks for the task.
  void Name(PrioTableHelper& client, int sid, int64_t gtid, int wcid = 0) {
    client.table().sched_item(sid)->gpid = static_cast<uint64_t>(gtid);
    client.MarkRunnable(sid, wcid, absl::InfiniteDuration());
  }
  // Polls; returns how many hints were told.
  int Poll() {
    hints_.Poll(&recorder_);
    return recorder_.TakeCount();
  }
  // Passes and upkeep, as a runtime does them, until `done`.
  template <typename Done>
  bool Run(Done done) {
    const Time end = Time::Now() + absl::Seconds(60);
    while (!done()) {
      if (Time::Now() > end) return false;
      if (!hints_.Poll(&recorder_)) hints_.Upkeep();
    }
    return true;
  }

  PrioTableHints hints_;
  HintRecorder recorder_;
};

TEST_F(PrioTableHintsTest, AProgramWithoutATable) {
  const Time start = Time::Now();
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(hints_.num_processes(), 1u);
  EXPECT_EQ(hints_.num_looks(), 1u);
  EXPECT_TRUE(Run([&] { return hints_.num_looks() == 4; }));
  EXPECT_GE(Time::Now() - start, absl::Milliseconds(2 + 4 + 8));
  EXPECT_EQ(hints_.num_tables(), 0u);
  EXPECT_EQ(recorder_.count(), 0);
  hints_.SetHasWork(Task(1));
  hints_.OnTaskGone(Task(1));
  EXPECT_EQ(hints_.num_processes(), 0u);
  // Nothing is looked for any more: no upkeep is asked for.
  for (uint32_t i = 0; i < 2 * PrioTableHints::kPollsBetweenUpkeeps; ++i) EXPECT_TRUE(hints_.Poll(&recorder_));
}

TEST_F(PrioTableHintsTest, WhatIsThereIsToldByTheNextPoll) {
  PrioTableHelper client(3, 2);
  client.SetWorkClass(1, {.qos = 5, .exectime = absl::Microseconds(3), .period = absl::Milliseconds(1)});
  Name(client, 2, Task(1), /*wcid=*/1);
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(hints_.num_tables(), 1u);
  EXPECT_EQ(Poll(), 1);
  const std::optional<WorkHint> hint = recorder_.Last(Task(1));
  ASSERT_TRUE(hint.has_value());
  EXPECT_TRUE(hint->has_work);
  EXPECT_TRUE(hint->repeating);
  EXPECT_EQ(hint->qos, 5u);
  EXPECT_EQ(hint->work_class, 1u);
  EXPECT_EQ(hint->exec_ns, 3'000);
  EXPECT_EQ(hint->period_ns, 1'000'000);
  EXPECT_EQ(hint->deadline, Time::Infinite());
  EXPECT_EQ(Poll(), 0);
}

TEST_F(PrioTableHintsTest, EachAnnouncementIsToldAlsoWithTheSameValues) {
  PrioTableHelper client(2, 1);
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(Poll(), 0);
  Name(client, 0, Task(1));
  EXPECT_EQ(Poll(), 1);
  client.MarkRunnable(0);
  EXPECT_EQ(Poll(), 1);
  client.table().MarkUpdatedIndex(0, 0);
  EXPECT_EQ(Poll(), 1);
  client.MarkIdle(0);
  client.MarkRunnable(0);
  client.MarkIdle(0);
  EXPECT_EQ(Poll(), 1);
  EXPECT_FALSE(recorder_.Last(Task(1))->has_work);
  client.table().MarkUpdatedIndex(1, 0);  // nobody's
  EXPECT_EQ(Poll(), 0);
}

TEST_F(PrioTableHintsTest, ThreadsByTheirOwnIds) {
  PrioTableHelper client(1, 1);
  client.SetThread(0, 0);
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(Poll(), 1);
  EXPECT_TRUE(recorder_.Last(Task(1))->has_work);
  client.MarkIdle(0);
  EXPECT_EQ(Poll(), 1);
  EXPECT_FALSE(recorder_.Last(Task(1))->has_work);
}

TEST_F(PrioTableHintsTest, ATableThatComesLater) {
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(Poll(), 0);
  PrioTableHelper client(1, 1);
  Name(client, 0, Task(1));
  EXPECT_TRUE(Run([&] { return recorder_.count() > 0; }));
  EXPECT_TRUE(recorder_.Last(Task(1)).has_value());
}

TEST_F(PrioTableHintsTest, ATableThatIsNotReady) {
  PrioTableHelper client(1, 1);
  Name(client, 0, Task(1));
  // The region's header, seen from the first item: a page before the table's header and stream.
  auto* header = reinterpret_cast<ShmemHeader*>(reinterpret_cast<std::byte*>(client.table().sched_item(0)) - 512 -
                                                GhostShmem::kHeaderSize);
  ASSERT_EQ(header->magic, ShmemHeader::kMagic);
  header->ready = 0;
  hints_.OnTaskNew(Task(1));
  EXPECT_TRUE(Run([&] { return hints_.num_looks() == 3; }));
  EXPECT_EQ(hints_.num_tables(), 0u);
  header->ready = 1;
  EXPECT_TRUE(Run([&] { return recorder_.count() > 0; }));
}

TEST_F(PrioTableHintsTest, HowLongItNeedNotBePolled) {
  Time now = Time::Now();
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/true), Time::Infinite());
  // While a table is looked for: until the next look, which Upkeep does.
  hints_.OnTaskNew(Task(1));
  const Time look = hints_.NextPoll(now, /*in_use=*/true);
  EXPECT_GT(look, now);
  EXPECT_LE(look, Time::Now() + PrioTableHints::kMaxPause);
  EXPECT_TRUE(hints_.Poll(&recorder_));
  EXPECT_EQ(hints_.NextPoll(look, /*in_use=*/true), look);
  EXPECT_FALSE(hints_.Poll(&recorder_));
  PrioTableHelper client(1, 1);
  Name(client, 0, Task(1));
  EXPECT_TRUE(Run([&] { return recorder_.TakeCount() > 0; }));
  // With a table: soon after it has told something, less often when it is quiet.
  now = Time::Now();
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/true), now + PrioTableHints::kMinRest);
  now = now + absl::Milliseconds(4);
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/true), now + absl::Microseconds(500));
  now = now + absl::Hours(4);
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/true), now + PrioTableHints::kMaxRest);
  client.MarkIdle(0);
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/true), now + PrioTableHints::kMinRest);
  // While all tasks sleep, nothing that it says would change what runs.
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/false), Time::Infinite());
  hints_.OnTaskGone(Task(1));
  EXPECT_EQ(hints_.NextPoll(now, /*in_use=*/true), Time::Infinite());
}

TEST_F(PrioTableHintsTest, StatisticsAreOfAClassWhoeverDoesItsWork) {
  PrioTableHelper client(3, 2);
  const auto of = [&](int64_t task) { return recorder_.Last(Task(task))->statistics; };
  for (int64_t task : {1, 2, 3}) hints_.OnTaskNew(Task(task));
  for (int i : {0, 1, 2}) Name(client, i, Task(i + 1), /*wcid=*/i < 2 ? 1 : 0);
  EXPECT_EQ(Poll(), 3);
  EXPECT_NE(of(1), nullptr);
  EXPECT_EQ(of(2), of(1));
  EXPECT_NE(of(3), of(1));
  client.MarkRunnable(2, /*wcid=*/1, absl::Milliseconds(1));
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(of(3), of(1));
  client.MarkRunnable(2, /*wcid=*/17, absl::Milliseconds(1));  // there is none
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(of(3), nullptr);
}

TEST_F(PrioTableHintsTest, AnItemMaySpeakForAnother) {
  PrioTableHelper client(2, 1);
  client.SetWorkClass(0, {.qos = 4});
  for (int64_t task : {1, 2}) hints_.OnTaskNew(Task(task));
  Name(client, 0, Task(1));
  EXPECT_EQ(Poll(), 1);
  Name(client, 0, Task(2));
  EXPECT_EQ(Poll(), 2);
  EXPECT_EQ(recorder_.Last(Task(1))->qos, 0u);  // as one of whom nothing was said
  EXPECT_TRUE(recorder_.Last(Task(1))->has_work);
  EXPECT_EQ(recorder_.Last(Task(2))->qos, 4u);
  // Two items for one task: the later one counts.
  Name(client, 1, Task(2));
  client.MarkIdle(1);
  EXPECT_EQ(Poll(), 1);
  EXPECT_FALSE(recorder_.Last(Task(2))->has_work);
  Name(client, 1, 0);  // nobody
  EXPECT_EQ(Poll(), 1);
  EXPECT_TRUE(recorder_.Last(Task(2))->has_work);
}

TEST_F(PrioTableHintsTest, TasksThatComeAndGo) {
  PrioTableHelper client(2, 1);
  Name(client, 0, Task(1));
  Name(client, 1, Task(2));
  hints_.OnTaskNew(Task(1));
  hints_.OnTaskNew(Task(1));  // known already
  EXPECT_EQ(Poll(), 1);
  hints_.OnTaskNew(Task(2));
  EXPECT_EQ(Poll(), 1);
  hints_.OnTaskGone(Task(1));
  hints_.OnTaskGone(Task(1));
  client.MarkIdle(0);
  client.MarkIdle(1);
  EXPECT_EQ(Poll(), 1);
  EXPECT_TRUE(recorder_.Last(Task(1))->has_work);  // as it was
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(Poll(), 1);
  EXPECT_FALSE(recorder_.Last(Task(1))->has_work);
  hints_.OnTaskGone(Task(1));
  EXPECT_EQ(hints_.num_tables(), 1u);
  hints_.OnTaskGone(Task(2));
  EXPECT_EQ(hints_.num_tables(), 0u);
  EXPECT_EQ(hints_.num_processes(), 0u);
}

TEST_F(PrioTableHintsTest, AfterAnOverflowAllThatWasWrittenIsToldInPieces) {
  constexpr int kItems = 1000;
  constexpr int kWritten = 600;
  PrioTableHelper client(kItems, 1);
  for (int i = 0; i < kItems; ++i) Name(client, i, Task(1 + i));
  for (int i = 0; i < kItems; ++i) hints_.OnTaskNew(Task(1 + i));
  for (int told = 0; told < kItems;) {
    const int now = Poll();
    ASSERT_GT(now, 0);
    ASSERT_LE(now, ClientTable::kMaxReads);
    told += now;
  }
  const uint64_t overflows = hints_.num_overflows();
  for (int i = 0; i < kWritten; ++i) client.MarkIdle(i);
  int told = 0;
  for (int polls = 0; polls < 2 * kItems / ClientTable::kMaxReads; ++polls) {
    const int now = Poll();
    EXPECT_LE(now, ClientTable::kMaxReads);
    told += now;
  }
  EXPECT_EQ(hints_.num_overflows(), overflows + 1);
  EXPECT_EQ(told, kWritten);
  for (int i = 0; i < kItems; ++i) EXPECT_EQ(recorder_.Last(Task(1 + i))->has_work, i >= kWritten) << i;
}

TEST_F(PrioTableHintsTest, ATaskIsToldThatItHasWorkAgain) {
  PrioTableHelper client(1, 1);
  hints_.SetHasWork(Task(1));  // unknown: nothing
  hints_.OnTaskNew(Task(1));
  hints_.SetHasWork(Task(1));  // nobody speaks for it: nothing
  Name(client, 0, Task(1));
  client.MarkIdle(0);
  EXPECT_EQ(Poll(), 1);
  EXPECT_FALSE(client.IsRunnable(0));
  hints_.SetHasWork(Task(1));
  EXPECT_TRUE(client.IsRunnable(0));
  EXPECT_EQ(Poll(), 0);
  // While the application writes it, it is not waited for.
  client.MarkIdle(0);
  const uint32_t begin = client.table().sched_item(0)->seqcount.write_begin();
  hints_.SetHasWork(Task(1));
  EXPECT_FALSE(client.IsRunnable(0));
  // An item that speaks for another by now is left alone.
  client.table().sched_item(0)->gpid = 1;
  client.table().sched_item(0)->seqcount.write_end(begin);
  hints_.SetHasWork(Task(1));
  EXPECT_FALSE(client.IsRunnable(0));
}

TEST_F(PrioTableHintsTest, WhatTheSchedulerWritesIsNoNewsToIt) {
  PrioTableHelper client(120, 1);
  hints_.OnTaskNew(Task(1));
  Name(client, 0, Task(1));
  client.MarkIdle(0);
  EXPECT_EQ(Poll(), 1);
  hints_.SetHasWork(Task(1));
  // All items are looked at.
  for (int i = 1; i < 120; ++i) client.table().MarkUpdatedIndex(i, 0);
  EXPECT_EQ(Poll(), 0);
  EXPECT_EQ(hints_.num_overflows(), 1u);
  // But what the application wrote before, and the scheduler has not seen, is.
  client.table().sched_item(0)->seqcount.write_end(client.table().sched_item(0)->seqcount.write_begin());
  hints_.SetHasWork(Task(1));
  for (int i = 1; i < 120; ++i) client.table().MarkUpdatedIndex(i, 0);
  EXPECT_EQ(Poll(), 1);
}

TEST_F(PrioTableHintsTest, DeadlinesByEitherClock) {
  PrioTableHelper client(1, 1);
  hints_.OnTaskNew(Task(1));
  const Time before = Time::Now();
  Name(client, 0, Task(1));
  client.MarkRunnable(0, absl::Seconds(5));
  EXPECT_EQ(Poll(), 1);
  EXPECT_GE(recorder_.Last(Task(1))->deadline, before + absl::Seconds(5));
  EXPECT_LE(recorder_.Last(Task(1))->deadline, Time::Now() + absl::Seconds(5));
  client.table().sched_item(0)->deadline = static_cast<uint64_t>(absl::ToUnixNanos(absl::Now() + absl::Seconds(5)));
  client.table().MarkUpdatedIndex(0, 0);
  EXPECT_EQ(Poll(), 1);
  const absl::Duration left = recorder_.Last(Task(1))->deadline - before;
  EXPECT_GT(left, absl::Seconds(4));  // unless the wall clock was just set
  EXPECT_LT(left, absl::Seconds(60));
}

TEST_F(PrioTableHintsTest, OfTwoTablesTheFirst) {
  PrioTableHelper first(1, 1), second(1, 1);
  Name(second, 0, Task(1));
  hints_.OnTaskNew(Task(1));
  EXPECT_EQ(Poll(), 0);
  Name(first, 0, Task(1));
  EXPECT_EQ(Poll(), 1);
}

TEST_F(PrioTableHintsTest, NobodySpeaksForAnotherProcess) {
  PrioTableHelper ours(2, 1);
  TestClient client([](const TestClient::Line& line) {
    // Not the table that it has inherited.
    for (int fd = 3; fd < 100; ++fd) {
      if (fd != line.in.get() && fd != line.out.get()) close(fd);
    }
    const PrioTableHelper theirs(1, 1);
    line.Say();
    line.Hear();
  });
  ASSERT_TRUE(client.line().Hear().has_value());
  hints_.OnTaskNew(Task(1));
  hints_.OnTaskNew(GtidOf(client.pid()));
  EXPECT_EQ(hints_.num_tables(), 2u);
  Name(ours, 0, GtidOf(client.pid()));
  ours.SetThread(1, 0, client.pid());
  EXPECT_EQ(Poll(), 0);
  EXPECT_TRUE(client.End().ok());
  hints_.OnTaskGone(GtidOf(client.pid()));
  EXPECT_EQ(hints_.num_tables(), 1u);
}

TEST_F(PrioTableHintsTest, AfterAForkBothProcessesHaveOneTable) {
  PrioTableHelper table(2, 1);
  table.SetThread(0, 0);
  TestClient client([&](const TestClient::Line& line) {
    table.SetThread(1, 0);
    line.Say();
    line.Hear();
    table.MarkRunnable(1);
    line.Say();
    line.Hear();
  });
  ASSERT_TRUE(client.line().Hear().has_value());
  const int64_t child = GtidOf(client.pid());
  hints_.OnTaskNew(Task(1));
  hints_.OnTaskNew(child);
  EXPECT_EQ(hints_.num_tables(), 1u);
  EXPECT_EQ(Poll(), 2);
  client.line().Say();
  ASSERT_TRUE(client.line().Hear().has_value());
  table.MarkRunnable(0);
  EXPECT_EQ(Poll(), 2);
  EXPECT_TRUE(recorder_.Last(child)->has_work);
  // The table stays while one of them is there.
  hints_.OnTaskGone(Task(1));
  EXPECT_EQ(hints_.num_tables(), 1u);
  EXPECT_TRUE(client.End().ok());
  hints_.OnTaskGone(child);
  EXPECT_EQ(hints_.num_tables(), 0u);
}

TEST_F(PrioTableHintsTest, InAPidNamespaceOfItsOwn) {
  TestClient client([](const TestClient::Line& line) {
    if (unshare(CLONE_NEWPID) != 0) {
      line.Say('n');
      return;
    }
    int ready[2];
    (void)!pipe(ready);
    const pid_t inner = fork();
    if (inner == 0) {
      PrioTableHelper table(1, 1);
      table.SetThread(0, 0);  // by the thread id that it knows: 1
      table.MarkRunnable(0);
      (void)!write(ready[1], ".", 1);
      line.Hear();
      _exit(0);
    }
    char byte;
    (void)!read(ready[0], &byte, 1);
    line.Say('y');
    (void)!write(line.out.get(), &inner, sizeof(inner));
    waitpid(inner, nullptr, 0);
  });
  if (client.line().Hear() != 'y') GTEST_SKIP() << "no right to make a pid namespace";
  pid_t inner = 0;
  ASSERT_EQ(read(client.line().in.get(), &inner, sizeof(inner)), static_cast<ssize_t>(sizeof(inner)));
  hints_.OnTaskNew(GtidOf(inner));
  EXPECT_EQ(Poll(), 1);
  EXPECT_TRUE(recorder_.Last(GtidOf(inner))->has_work);
  EXPECT_TRUE(client.End().ok());
}

// Its procfs is a folder, in which process numbers can be used again when we like.
class ReusedPidTest : public PrioTableHintsTest {
 protected:
  static constexpr pid_t kPid = 4711;

  // Process kPid, started at `start`, has this process's descriptors, or none.
  void SetProcess(int start, bool with_descriptors) {
    const std::filesystem::path folder = std::filesystem::path(procfs_) / absl::StrCat(kPid);
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "status") << "Tgid:\t" << kPid << "\nNSpid:\t" << kPid << "\n";
    std::ofstream(folder / "stat") << kPid << " (x) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 " << start
                                   << "\n";
    if (with_descriptors) {
      std::filesystem::create_symlink("/proc/self/fd", folder / "fd");
    } else {
      std::filesystem::create_directory(folder / "fd");
    }
  }

  const std::string procfs_ = absl::StrCat(testing::TempDir(), "/reused_pid");
};

TEST_F(ReusedPidTest, ANumberThatIsUsedAgainHasNoneOfTheOldTable) {
  PrioTableHelper table(2, 1);
  PrioTableHints hints(procfs_);
  SetProcess(100, true);
  const int64_t old_task = GtidOf(kPid, 1), new_task = GtidOf(kPid, 2);
  Name(table, 0, old_task);
  Name(table, 1, new_task);
  hints.OnTaskNew(old_task);
  EXPECT_EQ(hints.num_tables(), 1u);
  hints.Poll(&recorder_);
  EXPECT_EQ(recorder_.TakeCount(), 1);
  // The old one's end is not told yet when another process has its number.
  SetProcess(200, false);
  hints.OnTaskNew(new_task);
  EXPECT_EQ(hints.num_processes(), 2u);
  hints.Poll(&recorder_);
  EXPECT_EQ(recorder_.TakeCount(), 0);
  hints.OnTaskGone(old_task);
  EXPECT_EQ(hints.num_tables(), 0u);
  EXPECT_EQ(hints.num_processes(), 1u);
}

TEST_F(ReusedPidTest, ATableThatIsFoundTooLateIsNotThatProcesss) {
  PrioTableHints hints(procfs_);
  SetProcess(100, true);
  const int64_t old_task = GtidOf(kPid, 1);
  hints.OnTaskNew(old_task);
  PrioTableHelper table(1, 1);
  Name(table, 0, old_task);
  SetProcess(200, true);
  const Time end = Time::Now() + absl::Seconds(60);
  while (hints.num_looks() < 3 && Time::Now() < end) hints.Upkeep();
  EXPECT_EQ(hints.num_looks(), 3u);
  EXPECT_EQ(hints.num_tables(), 0u);
}

TEST_F(PrioTableHintsTest, APassAllocatesNothing) {
  class Counter : public HintSource::Visitor {
   public:
    void OnHint(int64_t, const WorkHint&) override { ++count; }
    int count = 0;
  } counter;
  constexpr int kItems = 300;
  PrioTableHelper client(kItems, 1);
  AllocationCounter allocations;
  for (int i = 0; i < kItems; ++i) hints_.OnTaskNew(Task(1 + i));
  EXPECT_GT(allocations.count(), 0);  // it counts
  for (int i = 0; i < kItems; ++i) Name(client, i, Task(1 + i));
  allocations.Reset();
  for (int round = 0; round < 100; ++round) {
    Name(client, round, Task(2 + round));  // for another
    client.MarkIdle(round + 1);
    if (round % 10 == 0) {
      for (int i = 0; i < kItems; ++i) client.MarkRunnable(i);  // an overflow
    }
    hints_.Poll(&counter);
    hints_.SetHasWork(Task(1 + round));
  }
  EXPECT_EQ(allocations.count(), 0);
  EXPECT_GT(counter.count, kItems);
  EXPECT_GT(hints_.num_overflows(), 5u);
}

}  // namespace
}  // namespace ghost
