// The BPF gate on one real child: what the BPF programs report, and that the child never runs user code while it is
// held.
#include "kernel/usermode/linux/bpf_gate.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <functional>

#include "gtest/gtest.h"
#include "kernel/usermode/linux/proc.h"
#include "kernel/usermode/linux/tracee.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

constexpr long kNrClockNanosleep = 230;
constexpr long kNrEpollWait = 232;

class BpfGateTest : public testing::Test {
 protected:
  // In memory that the child shares.
  struct Shared {
    std::atomic<uint64_t> progress{0};
    std::atomic<int> result{0};
  };

  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Gate>> gate = BpfGate::Create([this](const gate_event& e) { events_.push_back(e); });
    if (!gate.ok() && geteuid() != 0) GTEST_SKIP() << "not root: " << gate.status();
    ASSERT_TRUE(gate.ok()) << gate.status();
    gate_ = *std::move(gate);
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    shared_ = new (memory) Shared;
  }

  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, __WALL);
    }
    if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
  }

  // Forks a child that runs `body` once it is continued, and holds it at its first stop.
  void StartHeld(const std::function<void()>& body) {
    int go[2];
    ASSERT_EQ(pipe(go), 0);
    child_ = fork();
    if (child_ == 0) {
      char byte;
      if (read(go[0], &byte, 1) != 1) _exit(1);
      body();
      _exit(0);
    }
    slot_ = gate_->Take(child_, GATE_ENTERING);
    ASSERT_GE(slot_, 0);
    ASSERT_EQ(gate_->Seize(slot_, child_), 0);
    ASSERT_EQ(tracee::Interrupt(child_), 0);
    WaitFor(GATE_EVENT_STOPPED);
    ASSERT_EQ(tracee::Wait(child_).kind, tracee::Stop::Kind::kInterrupt);
    tracee::RestartInterruptedCall(child_);
    gate_->SetState(slot_, GATE_HELD);
    ASSERT_EQ(write(go[1], "x", 1), 1);
    close(go[0]);
    close(go[1]);
  }

  void Run(int signal = 0) {
    gate_->SetState(slot_, GATE_RUN);
    ASSERT_EQ(tracee::Continue(child_, signal), 0);
  }

  // The next event of this type; others are dropped. Fails the test after ten seconds.
  gate_event WaitFor(uint32_t type) {
    Time deadline = Time::Now() + absl::Seconds(10);
    while (Time::Now() < deadline) {
      while (!events_.empty()) {
        gate_event event = events_.front();
        events_.pop_front();
        if (event.type == type) return event;
      }
      pollfd fd = {.fd = gate_->event_fd(), .events = POLLIN, .revents = 0};
      poll(&fd, 1, 100);
      gate_->Consume();
    }
    ADD_FAILURE() << "no event of type " << type;
    return {};
  }

  std::unique_ptr<Gate> gate_;
  std::deque<gate_event> events_;
  Shared* shared_ = nullptr;
  pid_t child_ = -1;
  int slot_ = -1;
};

TEST_F(BpfGateTest, SleepIsReportedAndItsEndIsGated) {
  StartHeld([this] {
    timespec duration = {.tv_sec = 0, .tv_nsec = 1'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr);
    shared_->progress = 1;
  });
  Run();
  EXPECT_EQ(WaitFor(GATE_EVENT_BLOCKED).arg, static_cast<uint64_t>(kNrClockNanosleep));
  WaitFor(GATE_EVENT_STOPPED);
  tracee::Stop stop = tracee::Wait(child_);
  EXPECT_EQ(stop.kind, tracee::Stop::Kind::kSignal);
  EXPECT_EQ(stop.signal, SIGURG);
  EXPECT_TRUE(gate_->TakeSignal(slot_));
  EXPECT_TRUE(tracee::SignalIsFromKernel(child_));
  EXPECT_EQ(shared_->progress.load(), 0u);
  Run();
  WaitFor(GATE_EVENT_EXIT);
  EXPECT_EQ(shared_->progress.load(), 1u);
  WaitFor(GATE_EVENT_DEAD);
  EXPECT_EQ(tracee::Wait(child_).kind, tracee::Stop::Kind::kGone);
}

TEST_F(BpfGateTest, YieldIsGated) {
  StartHeld([this] {
    sched_yield();
    shared_->progress = 1;
  });
  Run();
  WaitFor(GATE_EVENT_STOPPED);
  EXPECT_EQ(gate_->State(slot_), static_cast<uint32_t>(GATE_YIELDING));
  EXPECT_EQ(tracee::Wait(child_).signal, SIGURG);
  EXPECT_EQ(shared_->progress.load(), 0u);
}

TEST_F(BpfGateTest, MaskedGateSignalFallsBackToStop) {
  StartHeld([this] {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    sched_yield();
    shared_->progress = 1;
  });
  Run();
  WaitFor(GATE_EVENT_STOPPED);
  tracee::Stop stop = tracee::Wait(child_);
  EXPECT_EQ(stop.kind, tracee::Stop::Kind::kSignal);
  EXPECT_EQ(stop.signal, SIGSTOP);
  EXPECT_EQ(shared_->progress.load(), 0u);
}

TEST_F(BpfGateTest, InterruptStopsASpinningThread) {
  StartHeld([this] {
    for (;;) shared_->progress.fetch_add(1, std::memory_order_relaxed);
  });
  Run();
  while (shared_->progress.load() == 0) sched_yield();
  EXPECT_EQ(SleepsInSystemCall(child_), std::nullopt);
  ASSERT_TRUE(gate_->ChangeState(slot_, GATE_RUN, GATE_PREEMPTING));
  tracee::Interrupt(child_);
  WaitFor(GATE_EVENT_STOPPED);
  EXPECT_EQ(tracee::Wait(child_).kind, tracee::Stop::Kind::kInterrupt);
  EXPECT_GT(gate_->RuntimeNs(slot_, Time::Now().ns()), 0u);
}

TEST_F(BpfGateTest, InterruptedEpollWaitIsRestarted) {
  StartHeld([this] {
    int epoll = epoll_create1(0);
    epoll_event event;
    shared_->progress = 1;
    int ready = epoll_wait(epoll, &event, 1, 50);
    shared_->result = ready == -1 ? errno : 1000 + ready;
  });
  Run();
  EXPECT_EQ(WaitFor(GATE_EVENT_BLOCKED).arg, static_cast<uint64_t>(kNrEpollWait));
  // As in an external detach: an interrupt lands on the sleeping thread.
  gate_->SetState(slot_, GATE_LEAVING);
  tracee::Interrupt(child_);
  WaitFor(GATE_EVENT_STOPPED);
  ASSERT_EQ(tracee::Wait(child_).kind, tracee::Stop::Kind::kInterrupt);
  tracee::RestartInterruptedCall(child_);
  Run();
  WaitFor(GATE_EVENT_STOPPED);  // the gate signal at the end of the call
  tracee::Wait(child_);
  gate_->SetState(slot_, GATE_LEAVING);
  tracee::Continue(child_, 0);
  WaitFor(GATE_EVENT_EXIT);
  EXPECT_EQ(shared_->result.load(), 1000);
}

TEST_F(BpfGateTest, EpollWaitWithoutTheMendingSaysEintr) {
  StartHeld([this] {
    int epoll = epoll_create1(0);
    epoll_event event;
    int ready = epoll_wait(epoll, &event, 1, 10'000);
    shared_->result = ready == -1 ? errno : 1000 + ready;
  });
  Run();
  WaitFor(GATE_EVENT_BLOCKED);
  gate_->SetState(slot_, GATE_LEAVING);
  tracee::Interrupt(child_);
  WaitFor(GATE_EVENT_STOPPED);
  tracee::Wait(child_);
  tracee::Continue(child_, 0);
  WaitFor(GATE_EVENT_EXIT);
  EXPECT_EQ(shared_->result.load(), EINTR);
}

TEST_F(BpfGateTest, TheEndOfAKilledThreadIsSeenWhateverIsSetNext) {
  StartHeld([] { pause(); });
  kill(child_, SIGKILL);
  WaitFor(GATE_EVENT_EXIT);
  gate_->SetState(slot_, GATE_RUN);  // as if it was to run just then
  EXPECT_EQ(gate_->State(slot_), static_cast<uint32_t>(GATE_EXITED));
  WaitFor(GATE_EVENT_DEAD);
  EXPECT_EQ(tracee::Wait(child_).kind, tracee::Stop::Kind::kGone);
}

TEST(ProcTest, ReadsThisThread) {
  std::optional<ThreadStat> stat = ReadThreadStat(getpid());
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->state, 'R');
  EXPECT_FALSE(stat->kernel_thread);
  EXPECT_GT(stat->start_time, 0u);
  std::optional<ThreadStatus> status = ReadThreadStatus(getpid());
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->tgid, getpid());
  EXPECT_EQ(status->euid, geteuid());
  EXPECT_EQ(SleepsInSystemCall(getpid()), SYS_read);  // in the very read
  EXPECT_FALSE(ReadThreadStat(-1).has_value());
}

TEST(ProcTest, KnowsKernelThreads) {
  std::optional<ThreadStat> stat = ReadThreadStat(2);  // kthreadd
  if (!stat.has_value()) GTEST_SKIP() << "no kernel threads are visible in this pid namespace";
  EXPECT_TRUE(stat->kernel_thread);
}

}  // namespace
}  // namespace ghost::usermode
