// Clients that are processes of their own, and write into their tables, and do with them, whatever they can. A
// scheduler that polls them goes on, tells only hints in range, and tells them of their own tasks only.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/time.h"
#include "schedulers/hints/hint_rules.h"
#include "schedulers/hints/hints_test_base.h"
#include "schedulers/hints/prio_table_hints.h"
#include "shared/prio_table.h"
#include "shared/prio_table_helper.h"
#include "shared/shmem.h"

namespace ghost {
namespace {

using Line = TestClient::Line;

constexpr int kItems = 50;
constexpr int kTasks = 8;

// Checks each hint.
class Judge : public HintRecorder {
 public:
  explicit Judge(const TestClient& client) : pid_(client.pid()) {}

  void OnHint(int64_t gtid, const WorkHint& hint) override {
    EXPECT_EQ(Gtid(gtid).tid(), pid_);
    EXPECT_LT(hint.work_class, PrioTable::kMaxClasses);
    EXPECT_GE(hint.exec_ns, 0);
    EXPECT_LE(hint.exec_ns, kMaxHintNs);
    if (hint.repeating) {
      EXPECT_GE(hint.period_ns, kMinPeriodNs);
      EXPECT_LE(hint.period_ns, kMaxHintNs);
    } else {
      EXPECT_EQ(hint.period_ns, 0);
    }
    EXPECT_GE(hint.deadline, Time());
    HintRecorder::OnHint(gtid, hint);
  }

 private:
  const pid_t pid_;
};

// The whole of a table's memory, from the region's header on, as its client has it.
std::byte* MemoryOf(PrioTable& table) {
  return reinterpret_cast<std::byte*>(table.sched_item(0)) - 512 - GhostShmem::kHeaderSize;
}
size_t SizeOf(PrioTable& table) {
  return static_cast<size_t>(reinterpret_cast<std::byte*>(table.work_class(table.NumClasses() - 1) + 1) -
                             MemoryOf(table));
}

// What is told of a client's tasks while it does `body` and until it has ended or says something.
class HostileTest : public testing::Test {
 protected:
  // A client with a good table, which its tasks find; it goes on with `body` then.
  void StartWithTable(absl::FunctionRef<void(PrioTableHelper&, const Line&)> body) {
    Start([body](const Line& line) {
      PrioTableHelper table(kItems, 2);
      for (int i = 0; i < kTasks; ++i) {
        table.table().sched_item(i)->gpid = static_cast<uint64_t>(GtidOf(getpid(), 1 + i));
        table.MarkRunnable(i);
      }
      line.Say();
      line.Hear();
      body(table, line);
    });
    EXPECT_EQ(hints_.num_tables(), 1u);
    for (int polls = 0; polls < 2; ++polls) Poll();
    EXPECT_EQ(judge_->count(), kTasks);
    client_->line().Say();
  }
  // A client that does `body` and has something to be looked at once it says so.
  void Start(absl::FunctionRef<void(const Line&)> body) {
    client_.emplace(body);
    judge_.emplace(*client_);
    ASSERT_TRUE(client_->line().Hear().has_value());
    for (int i = 0; i < kTasks; ++i) hints_.OnTaskNew(GtidOf(client_->pid(), 1 + i));
  }
  void Poll() {
    if (!hints_.Poll(&*judge_)) hints_.Upkeep();
    for (int i = 0; i < kTasks; ++i) hints_.SetHasWork(GtidOf(client_->pid(), 1 + i));
  }
  // Polls for a second at least, and until `done`; then the client is to end.
  template <typename Done>
  void PollUntil(Done done) {
    const Time start = Time::Now();
    while (Time::Now() - start < absl::Seconds(1) || !done()) {
      ASSERT_LT(Time::Now() - start, absl::Seconds(50));
      for (int polls = 0; polls < 100; ++polls) Poll();
    }
    EXPECT_TRUE(client_->End().ok());
  }
  // Polls until the client has ended; it must be by itself.
  void PollUntilItsEnd() {
    const Time end = Time::Now() + absl::Seconds(60);
    while (!WaitForExit(client_->pidfd(), Time::Now())) {
      ASSERT_LT(Time::Now(), end);
      for (int polls = 0; polls < 100; ++polls) Poll();
    }
    for (int polls = 0; polls < 1000; ++polls) Poll();
  }
  void EndTasks() {
    for (int i = 0; i < kTasks; ++i) hints_.OnTaskGone(GtidOf(client_->pid(), 1 + i));
    EXPECT_EQ(hints_.num_tables(), 0u);
    EXPECT_EQ(hints_.num_processes(), 0u);
  }

  PrioTableHints hints_;
  std::optional<TestClient> client_;
  std::optional<Judge> judge_;
};

TEST_F(HostileTest, GarbageEverywhereWhileItIsPolled) {
  StartWithTable([](PrioTableHelper& table, const Line& line) {
    std::mt19937_64 random(1);
    auto* words = reinterpret_cast<uint64_t*>(MemoryOf(table.table()));
    const size_t num_words = SizeOf(table.table()) / sizeof(uint64_t);
    for (const Time start = Time::Now(); !line.IsOver(start);) {
      for (int i = 0; i < 1000; ++i) {
        uint64_t& word = words[random() % num_words];
        switch (random() % 4) {
          case 0:
            __atomic_store_n(&word, random(), __ATOMIC_RELAXED);
            break;
          case 1:
            __atomic_store_n(&word, random() % 100, __ATOMIC_RELAXED);
            break;
          case 2:
            __atomic_store_n(&word, ~uint64_t{0}, __ATOMIC_RELAXED);
            break;
          case 3:  // a task's name, mostly one of its own
            __atomic_store_n(&word, static_cast<uint64_t>(GtidOf(getpid(), static_cast<int64_t>(random() % 10))),
                             __ATOMIC_RELAXED);
            break;
        }
      }
    }
  });
  const int before = judge_->count();
  PollUntil([&] { return judge_->count() > before + 1'000; });
  EndTasks();
}

// The same, but items stay readable, so that more of what is in them is read.
TEST_F(HostileTest, GarbageInItemsAndClassesOnly) {
  StartWithTable([](PrioTableHelper& table, const Line& line) {
    std::mt19937_64 random(2);
    const auto value = [&] { return random() >> (random() % 64); };
    for (const Time start = Time::Now(); !line.IsOver(start);) {
      for (int i = 0; i < 1000; ++i) {
        const int sid = static_cast<int>(random() % kItems);
        struct sched_item& item = *table.table().sched_item(sid);
        __atomic_store_n(&item.wcid, value(), __ATOMIC_RELAXED);
        __atomic_store_n(&item.flags, value(), __ATOMIC_RELAXED);
        __atomic_store_n(&item.deadline, value(), __ATOMIC_RELAXED);
        __atomic_store_n(&item.gpid, GtidOf(getpid(), static_cast<int64_t>(random() % 10)), __ATOMIC_RELAXED);
        struct work_class& work_class = *table.table().work_class(static_cast<int>(random() % 2));
        __atomic_store_n(&work_class.flags, value(), __ATOMIC_RELAXED);
        __atomic_store_n(&work_class.exectime, value(), __ATOMIC_RELAXED);
        __atomic_store_n(&work_class.period, value(), __ATOMIC_RELAXED);
        table.table().MarkUpdatedIndex(sid, 3);
      }
    }
  });
  const int before = judge_->count();
  PollUntil([&] { return judge_->count() > before + 1'000; });
  EndTasks();
}

TEST_F(HostileTest, AlwaysAnOverflow) {
  StartWithTable([](PrioTableHelper& table, const Line& line) {
    auto* overflow = reinterpret_cast<uint32_t*>(MemoryOf(table.table()) + GhostShmem::kHeaderSize + 64);
    for (const Time start = Time::Now(); !line.IsOver(start);) {
      for (int i = 0; i < 1000; ++i) __atomic_store_n(overflow, 1, __ATOMIC_RELAXED);
    }
  });
  // Where both share a CPU that is one each time that the client had it.
  PollUntil([&] { return hints_.num_overflows() > 20; });
  EndTasks();
}

TEST_F(HostileTest, AnItemIsHeldForEver) {
  StartWithTable([](PrioTableHelper& table, const Line&) {
    for (int i = 0; i < kItems; ++i) {
      table.table().sched_item(i)->seqcount.write_begin();
      table.table().MarkUpdatedIndex(i, 100);
    }
  });
  const int before = judge_->count();
  PollUntilItsEnd();
  EXPECT_EQ(judge_->count(), before);
  EndTasks();
}

TEST_F(HostileTest, NeverReady) {
  Start([](const Line& line) {
    const GhostShmem region(PrioTable::kVersion, PrioTable::kName, 100'000);
    line.Say();
    line.Hear();
  });
  const Time end = Time::Now() + absl::Seconds(60);
  while (hints_.num_looks() < 5 && Time::Now() < end) Poll();
  EXPECT_GE(hints_.num_looks(), 5u);
  EXPECT_EQ(hints_.num_tables(), 0u);
  EXPECT_TRUE(client_->End().ok());
  EndTasks();
}

// It is dead when its first message is read, however far it had come.
TEST_F(HostileTest, DeadBeforeItsFirstMessage) {
  for (int step = 0; step < 6; ++step) {
    TestClient client([step](const Line&) {
      if (step == 0) return;
      if (step == 1) {
        GhostShmem region(PrioTable::kVersion, PrioTable::kName, 4096);
        _exit(0);
      }
      PrioTableHelper table(1, 1);
      if (step >= 3) table.table().sched_item(0)->seqcount.write_begin();
      if (step >= 4) table.table().sched_item(0)->gpid = static_cast<uint64_t>(GtidOf(getpid()));
      if (step >= 5) table.table().MarkUpdatedIndex(0, 0);
      _exit(0);
    });
    ASSERT_TRUE(WaitForExit(client.pidfd(), Time::Now() + absl::Seconds(60)));
    judge_.emplace(client);
    const int64_t gtid = GtidOf(client.pid());
    hints_.OnTaskNew(gtid);  // a zombie still
    for (int polls = 0; polls < 1000; ++polls) {
      if (!hints_.Poll(&*judge_)) hints_.Upkeep();
    }
    hints_.OnTaskGone(gtid);
    client.End();
    hints_.OnTaskNew(gtid);  // not even that
    EXPECT_TRUE(hints_.Poll(&*judge_));
    hints_.OnTaskGone(gtid);
    EXPECT_EQ(judge_->count(), 0);
    EXPECT_EQ(hints_.num_processes(), 0u);
  }
}

TEST_F(HostileTest, DiesInTheMiddleOfAWrite) {
  StartWithTable([](PrioTableHelper& table, const Line&) {
    table.table().sched_item(3)->seqcount.write_begin();
    table.MarkRunnable(4, absl::Hours(1));
    raise(SIGKILL);
  });
  PollUntilItsEnd();
  // What it had said is told; what it was about to say is not.
  EXPECT_NE(judge_->Last(GtidOf(client_->pid(), 1 + 4))->deadline, Time::Infinite());
  EXPECT_EQ(judge_->Last(GtidOf(client_->pid(), 1 + 3))->deadline, Time::Infinite());
  EndTasks();
}

TEST_F(HostileTest, ItCannotTakeTheMemoryAway) {
  StartWithTable([](PrioTableHelper& table, const Line& line) {
    const size_t size = SizeOf(table.table());
    for (int fd = 0; fd < 100; ++fd) {
      char target[100] = {};
      const ssize_t length = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), target, sizeof(target) - 1);
      if (length <= 0 || !absl::StrContains(target, GhostShmem::kNamePrefix)) continue;
      line.Say(ftruncate(fd, 0) == 0 || ftruncate(fd, static_cast<off_t>(size / 2)) == 0 ? 't' : 'n');
      fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size));
    }
    munmap(MemoryOf(table.table()), size);
  });
  PollUntilItsEnd();
  EXPECT_EQ(client_->line().Hear(), 'n');
  EXPECT_FALSE(client_->line().Hear().has_value());
  EndTasks();
}

// A memfd with a name like a table's.
int Forge(size_t size, int seals, uint32_t num_items, uint32_t num_classes) {
  const int fd = memfd_create("ghost-shmem-priotable", MFD_ALLOW_SEALING);
  (void)!ftruncate(fd, static_cast<off_t>(size));
  const ShmemHeader header = {.magic = ShmemHeader::kMagic,
                              .layout = ShmemHeader::kLayout,
                              .ready = 1,
                              .version = PrioTable::kVersion,
                              .size = size - GhostShmem::kHeaderSize};
  const uint32_t counts[] = {num_items, num_classes, 97};
  (void)!pwrite(fd, &header, sizeof(header), 0);
  (void)!pwrite(fd, counts, sizeof(counts), GhostShmem::kHeaderSize);
  if (seals != 0) fcntl(fd, F_ADD_SEALS, seals);
  return fd;
}

TEST_F(HostileTest, TablesThatAreRefused) {
  Start([](const Line& line) {
    Forge(1 << 20, 0, 10, 1);  // unsealed: it truncates it while we look
    Forge(1 << 20, F_SEAL_SHRINK, UINT32_MAX, UINT32_MAX);
    Forge(1 << 20, F_SEAL_SHRINK, 1u << 26, 1u << 26);  // times 64 it is a 0
    Forge(1 << 20, F_SEAL_SHRINK, PrioTable::kMaxItems, PrioTable::kMaxClasses);
    Forge(size_t{1} << 40, F_SEAL_SHRINK, 10, 1);
    Forge(8192, F_SEAL_SHRINK | F_SEAL_WRITE, 10, 1);
    line.Say();
    line.Hear();
  });
  EXPECT_EQ(hints_.num_tables(), 0u);
  EXPECT_TRUE(client_->End().ok());
  EndTasks();
}

TEST_F(HostileTest, AnUnsealedTableIsTruncatedAllTheWhile) {
  Start([](const Line& line) {
    const int fd = Forge(1 << 20, 0, 10, 1);
    line.Say();
    const Time end = Time::Now() + absl::Milliseconds(300);
    while (Time::Now() < end) {
      (void)!ftruncate(fd, 0);
      (void)!ftruncate(fd, 1 << 20);
    }
  });
  PollUntilItsEnd();
  EXPECT_EQ(hints_.num_tables(), 0u);
  EndTasks();
}

TEST_F(HostileTest, AThousandDescriptorsBeforeIt) {
  Start([](const Line& line) {
    for (int i = 0; i < 900; ++i) (void)!dup(line.in.get());
    PrioTableHelper table(1, 1);
    table.SetThread(0, 0);
    line.Say();
    line.Hear();
  });
  EXPECT_EQ(hints_.num_tables(), 0u);  // not with one look
  const Time end = Time::Now() + absl::Seconds(60);
  while (judge_->count() == 0 && Time::Now() < end) Poll();
  EXPECT_EQ(judge_->count(), 1);
  EXPECT_LE(hints_.num_looks(), 1024u / PrioTableHints::kLinksPerLook + 2);
  EXPECT_TRUE(client_->End().ok());
  EndTasks();
}

}  // namespace
}  // namespace ghost
