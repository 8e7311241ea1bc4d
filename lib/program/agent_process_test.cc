#include "lib/program/agent_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/notification.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

// Requests of the test body.
enum : int64_t { kEcho = 1, kThreadName, kCrash, kHang };

class TestBody : public AgentBody {
 public:
  struct Options {
    absl::Status start = absl::OkStatus();
    absl::Status stop = absl::OkStatus();
    bool wait_in_start = false;
    bool crash_in_start = false;
    bool crash_in_stop = false;
    absl::Status over = absl::OkStatus();  // not OK: ends by itself
    int tell = -1;                         // a pipe: a letter for each step
  };
  explicit TestBody(Options options) : options_(std::move(options)) {}
  ~TestBody() override { Tell('d'); }

  absl::StatusOr<AgentReport> Start(int cancel) override {
    Tell('s');
    if (options_.crash_in_start) raise(SIGKILL);
    if (options_.wait_in_start) {
      pollfd entry = {.fd = cancel, .events = POLLIN, .revents = 0};
      poll(&entry, 1, -1);
      return absl::CancelledError("given up");
    }
    if (!options_.start.ok()) return options_.start;
    return AgentReport{.enclave = "/nowhere/enclave_7", .note = "noted"};
  }

  RpcResponse HandleRpc(RpcRequest& request) override {
    RpcResponse response;
    switch (request.code) {
      case kEcho:
        response.code = request.arg0;
        break;
      case kThreadName: {
        char name[16] = {};
        prctl(PR_GET_NAME, name);
        absl::StatusOr<std::string> leader = ReadFile(absl::StrCat("/proc/", getpid(), "/comm"));
        response.code = getpgrp() == getpid();
        (void)response.buffer.SerializeString(name);
        (void)response.buffer.SerializeString(leader.ok() ? *leader : "");
        break;
      }
      case kCrash:
        abort();
      case kHang:
        for (;;) pause();
    }
    return response;
  }

  absl::Status WaitUntilOver(int cancel) override {
    return options_.over.ok() ? AgentBody::WaitUntilOver(cancel) : options_.over;
  }

  absl::Status Stop() override {
    Tell('e');
    if (options_.crash_in_stop) raise(SIGKILL);
    return options_.stop;
  }

 private:
  void Tell(char step) {
    if (options_.tell < 0) return;
    EXPECT_EQ(write(options_.tell, &step, 1), 1);
  }
  const Options options_;
};

absl::StatusOr<std::unique_ptr<AgentProcess>> Fork(TestBody::Options options = {}) {
  return AgentProcess::Fork([options] { return std::make_unique<TestBody>(options); });
}

bool IsDeadWithin(int pidfd, int timeout_ms) {
  pollfd entry = {.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

TEST(AgentProcess, LifeOfOne) {
  int steps[2];
  ASSERT_EQ(pipe2(steps, O_NONBLOCK), 0);
  auto process = Fork({.tell = steps[1]});
  ASSERT_TRUE(process.ok()) << process.status();
  absl::StatusOr<AgentReport> report = (*process)->TakeReport();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->enclave, "/nowhere/enclave_7");
  EXPECT_EQ(report->note, "noted");

  absl::StatusOr<RpcResponse> response = (*process)->Rpc({.code = kEcho, .arg0 = 42}, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->code, 42);
  response = (*process)->Rpc({.code = 999}, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->code, -1);

  (*process)->RequestStop();
  EXPECT_EQ((*process)->Wait(), absl::OkStatus());
  EXPECT_EQ((*process)->Wait(), absl::OkStatus());
  EXPECT_EQ((*process)->Rpc({.code = kEcho}, kLong).status().code(), absl::StatusCode::kUnavailable);
  char letters[8] = {};
  EXPECT_EQ(read(steps[0], letters, sizeof(letters) - 1), 3);
  EXPECT_STREQ(letters, "sed");
  close(steps[0]);
  close(steps[1]);
}

TEST(AgentProcess, NamesAndGroup) {
  auto process = Fork();
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->TakeReport().ok());
  absl::StatusOr<RpcResponse> response = (*process)->Rpc({.code = kThreadName}, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->code, 1) << "not a process group of its own";
  EXPECT_EQ(*response->buffer.DeserializeString(), "ap_rpc");
  EXPECT_EQ(*response->buffer.DeserializeString(), "ap_child\n");
}

TEST(AgentProcess, TheTerminalsSignalsDoNotReachIt) {
  auto process = Fork();
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->TakeReport().ok());
  for (int signo : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) ASSERT_EQ(kill((*process)->pid(), signo), 0);
  absl::StatusOr<RpcResponse> response = (*process)->Rpc({.code = kEcho, .arg0 = 1}, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  (*process)->RequestStop();
  EXPECT_EQ((*process)->Wait(), absl::OkStatus());
}

TEST(AgentProcess, AFailedStartSaysWhyWithHintAndCode) {
  const absl::Status why = WithHint(ErrnoStatus(EBUSY, "CPU 1 belongs to enclave_3"), "destroy it");
  auto process = Fork({.start = why});
  ASSERT_TRUE(process.ok()) << process.status();
  absl::StatusOr<AgentReport> report = (*process)->TakeReport();
  EXPECT_EQ(report.status(), why);
  EXPECT_EQ(HintOf(report.status()), "destroy it");
  EXPECT_EQ(ExitCodeOf(report.status()), ExitCode::kBusy);
  EXPECT_FALSE((*process)->Wait().ok());
}

TEST(AgentProcess, ACrashAtStartIsReported) {
  auto process = Fork({.crash_in_start = true});
  ASSERT_TRUE(process.ok()) << process.status();
  absl::StatusOr<AgentReport> report = (*process)->TakeReport();
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("signal 9"));
}

TEST(AgentProcess, ALongStartCanBeCancelled) {
  auto process = Fork({.wait_in_start = true});
  ASSERT_TRUE(process.ok()) << process.status();
  (*process)->RequestStop();
  EXPECT_EQ((*process)->TakeReport().status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE((*process)->Wait().ok());
}

TEST(AgentProcess, ACrashDuringACallEndsTheCall) {
  auto process = Fork();
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->TakeReport().ok());
  EXPECT_EQ((*process)->Rpc({.code = kCrash}, kLong).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IsDeadWithin((*process)->pidfd(), 60'000));
  EXPECT_THAT(std::string((*process)->Wait().message()), HasSubstr("signal 6"));
}

TEST(AgentProcess, AHangingCallTimesOut) {
  auto process = Fork();
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->TakeReport().ok());
  EXPECT_EQ((*process)->Rpc({.code = kHang}, absl::Milliseconds(20)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  (*process)->Kill();
  EXPECT_THAT(std::string((*process)->Wait().message()), HasSubstr("signal 9"));
}

TEST(AgentProcess, AFailedStopIsReported) {
  auto process = Fork({.stop = absl::InternalError("an agent would not end")});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->TakeReport().ok());
  (*process)->RequestStop();
  EXPECT_EQ((*process)->Wait().message(), "an agent would not end");

  auto crashing = Fork({.crash_in_stop = true});
  ASSERT_TRUE(crashing.ok()) << crashing.status();
  ASSERT_TRUE((*crashing)->TakeReport().ok());
  (*crashing)->RequestStop();
  EXPECT_THAT(std::string((*crashing)->Wait().message()), HasSubstr("signal 9"));
}

TEST(AgentProcess, ABodyThatCannotGoOnIsStoppedAndSaysWhy) {
  int steps[2];
  ASSERT_EQ(pipe2(steps, O_NONBLOCK), 0);
  auto process = Fork({.over = absl::UnavailableError("the kernel is gone"), .tell = steps[1]});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->TakeReport().ok());
  EXPECT_TRUE(IsDeadWithin((*process)->pidfd(), 60'000));
  EXPECT_EQ((*process)->Wait().message(), "the kernel is gone");
  char letters[8] = {};
  EXPECT_EQ(read(steps[0], letters, sizeof(letters) - 1), 3);
  EXPECT_STREQ(letters, "sed");
  close(steps[0]);
  close(steps[1]);
}

TEST(AgentProcess, TheDestructorKills) {
  ScopedFd pidfd;
  {
    auto process = Fork();
    ASSERT_TRUE(process.ok()) << process.status();
    ASSERT_TRUE((*process)->TakeReport().ok());
    pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, (*process)->pid(), 0)));
    ASSERT_TRUE(pidfd.valid());
  }
  EXPECT_TRUE(IsDeadWithin(pidfd.get(), 0));
}

TEST(AgentProcess, DiesWithItsParent) {
  int pids[2];
  ASSERT_EQ(pipe(pids), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    auto process = Fork();
    if (!process.ok() || !(*process)->TakeReport().ok()) _exit(1);
    const pid_t child = (*process)->pid();
    if (write(pids[1], &child, sizeof(child)) != sizeof(child)) _exit(1);
    for (;;) pause();
  }
  pid_t child = 0;
  ASSERT_EQ(read(pids[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
  ScopedFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  ASSERT_TRUE(pidfd.valid());
  EXPECT_FALSE(IsDeadWithin(pidfd.get(), 0));
  ASSERT_EQ(kill(parent, SIGKILL), 0);
  EXPECT_TRUE(IsDeadWithin(pidfd.get(), 60'000));
  EXPECT_EQ(waitpid(parent, nullptr, 0), parent);
  close(pids[0]);
  close(pids[1]);
}

TEST(AgentProcess, CountsThreads) {
  std::thread([] {}).join();  // with the first thread ThreadSanitizer starts one of its own
  const int before = AgentProcess::CountOtherThreads();
  Notification over;
  std::thread thread([&over] { over.Wait(); });
  EXPECT_EQ(AgentProcess::CountOtherThreads(), before + 1);
  over.Notify();
  thread.join();
}

}  // namespace
}  // namespace ghost
