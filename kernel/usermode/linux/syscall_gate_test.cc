// The gate without BPF on one real child: it is held at the exit of a call that was reported as a block, and at yields.
#include "kernel/usermode/linux/syscall_gate.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "gtest/gtest.h"
#include "lib/base/time.h"

namespace ghost::usermode {
namespace {

class SyscallGateTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Gate>> gate = SyscallGate::Create([this](const gate_event& e) { OnEvent(e); });
    ASSERT_TRUE(gate.ok()) << gate.status();
    gate_ = *std::move(gate);
    void* memory = mmap(nullptr, sizeof(*progress_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    progress_ = new (memory) std::atomic<uint64_t>(0);
  }

  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, __WALL);
    }
    if (progress_ != nullptr) munmap(progress_, sizeof(*progress_));
  }

  // Forks a child that yields until *progress_ is 1, sets it to 0 and runs `body`; and holds it at its first stop.
  void StartHeld(const std::function<void()>& body) {
    child_ = fork();
    if (child_ == 0) {
      while (progress_->load() == 0) sched_yield();
      *progress_ = 0;
      body();
      _exit(0);
    }
    slot_ = gate_->Take(child_, GATE_ENTERING);
    ASSERT_GE(slot_, 0);
    ASSERT_EQ(gate_->Seize(slot_, child_), 0);
    ASSERT_EQ(gate_->Interrupt(slot_, child_), 0);
    Until([this] { return held_; });
    *progress_ = 1;
  }

  void Run() {
    held_ = false;
    gate_->SetState(slot_, GATE_RUN);
    ASSERT_EQ(gate_->Continue(slot_, child_, 0), 0);
  }

  // As LinuxDriver does: goes on from what changes nothing, and holds the rest.
  void OnEvent(const gate_event& event) {
    if (event.type == GATE_EVENT_BLOCKED) blocked_in_ = static_cast<int64_t>(event.arg);
    if (event.type == GATE_EVENT_CALL) called_ = static_cast<int64_t>(event.arg);
    if (event.type != GATE_EVENT_STOPPED) return;
    const tracee::Stop stop = gate_->Wait(child_);
    if (stop.kind == tracee::Stop::Kind::kGone) {
      gone_ = true;
      child_ = -1;
      return;
    }
    const bool go_on =
        stop.kind == tracee::Stop::Kind::kExit ||
        (stop.kind == tracee::Stop::Kind::kSyscall && gate_->AtSyscallStop(slot_, child_) == Gate::Verdict::kGoOn);
    if (go_on) {
      gate_->Continue(slot_, child_, 0);
      return;
    }
    held_state_ = gate_->State(slot_);
    gate_->SetState(slot_, GATE_HELD);
    held_ = true;
  }

  void Until(const std::function<bool()>& done) {
    const Time deadline = Time::Now() + absl::Seconds(20);
    while (!done()) {
      ASSERT_LT(Time::Now(), deadline);
      pollfd events = {.fd = gate_->event_fd(), .events = POLLIN, .revents = 0};
      poll(&events, 1, 100);
      gate_->Consume();
    }
  }

  // Past the child's own waiting for the start.
  void RunTo(const std::function<bool()>& done) {
    Run();
    Until([&] {
      if (held_ && held_state_ == GATE_YIELDING && progress_->load() == 1) Run();
      return done();
    });
  }

  std::unique_ptr<Gate> gate_;
  std::atomic<uint64_t>* progress_ = nullptr;
  pid_t child_ = -1;
  int slot_ = -1;
  bool held_ = false;
  bool gone_ = false;
  uint32_t held_state_ = GATE_FREE;
  std::optional<int64_t> blocked_in_;
  std::optional<int64_t> called_;
};

TEST_F(SyscallGateTest, SleepIsReportedAndItsEndIsHeld) {
  StartHeld([this] {
    timespec duration = {.tv_sec = 0, .tv_nsec = 50'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr);
    *progress_ = 2;
  });
  RunTo([this] { return blocked_in_.has_value(); });
  EXPECT_EQ(blocked_in_, SYS_clock_nanosleep);
  EXPECT_EQ(gate_->State(slot_), static_cast<uint32_t>(GATE_BLOCKED));
  Until([this] { return held_; });
  EXPECT_EQ(held_state_, static_cast<uint32_t>(GATE_BLOCKED));
  EXPECT_EQ(progress_->load(), 0u);
  Run();
  Until([this] { return gone_; });
  EXPECT_EQ(progress_->load(), 2u);
}

TEST_F(SyscallGateTest, YieldIsHeldAndNoBlock) {
  StartHeld([this] {
    sched_yield();
    *progress_ = 2;
  });
  RunTo([this] { return held_ && progress_->load() == 0; });
  EXPECT_EQ(held_state_, static_cast<uint32_t>(GATE_YIELDING));
  EXPECT_FALSE(blocked_in_.has_value());
  EXPECT_EQ(progress_->load(), 0u);
}

TEST_F(SyscallGateTest, ASpinningThreadIsStopped) {
  StartHeld([this] {
    *progress_ = 2;
    for (;;) progress_->fetch_add(1, std::memory_order_relaxed);
  });
  RunTo([this] { return progress_->load() > 2; });
  ASSERT_TRUE(gate_->ChangeState(slot_, GATE_RUN, GATE_PREEMPTING));
  gate_->Interrupt(slot_, child_);
  Until([this] { return held_; });
  EXPECT_EQ(held_state_, static_cast<uint32_t>(GATE_PREEMPTING));
  const uint64_t before = progress_->load();
  EXPECT_EQ(progress_->load(), before);
  EXPECT_GT(gate_->RuntimeNs(slot_, 0), 0u);
}

TEST_F(SyscallGateTest, ASchedulingCallIsToldOfOnceItIsDone) {
  StartHeld([this] {
    cpu_set_t all;
    sched_getaffinity(0, sizeof(all), &all);
    sched_setaffinity(0, sizeof(all), &all);
    *progress_ = 2;
  });
  RunTo([this] { return gone_; });
  EXPECT_EQ(called_, SYS_sched_setaffinity);
  EXPECT_FALSE(gate_->scheduling_call_under_way());
}

TEST_F(SyscallGateTest, TheEndOfAKilledThreadIsSeen) {
  StartHeld([] { pause(); });
  kill(child_, SIGKILL);
  Until([this] { return gone_; });
}

}  // namespace
}  // namespace ghost::usermode
