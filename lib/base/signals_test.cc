#include "lib/base/signals.h"

#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/process.h"

namespace ghost {
namespace {

SignalFd OpenOrDie(std::initializer_list<int> signals) {
  absl::StatusOr<SignalFd> fd = SignalFd::Open(SignalSet(signals));
  if (!fd.ok()) std::abort();
  return *std::move(fd);
}

bool Readable(const SignalFd& signals) {
  pollfd fd = {.fd = signals.fd(), .events = POLLIN, .revents = 0};
  return poll(&fd, 1, 0) == 1;
}

TEST(SignalFd, GivesEachSignalOnce) {
  SignalFd signals = OpenOrDie({SIGUSR1, SIGUSR2});
  EXPECT_FALSE(Readable(signals));
  EXPECT_FALSE(signals.Next().has_value());
  kill(getpid(), SIGUSR2);
  EXPECT_TRUE(Readable(signals));
  const auto signal = signals.Next();
  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(signal->ssi_signo, static_cast<uint32_t>(SIGUSR2));
  EXPECT_EQ(signal->ssi_pid, static_cast<uint32_t>(getpid()));
  EXPECT_FALSE(signals.Next().has_value());
}

TEST(SignalFd, BlocksThemInThreadsStartedLater) {
  SignalFd signals = OpenOrDie({SIGUSR1});
  std::thread other([] {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    EXPECT_EQ(sigismember(&blocked, SIGUSR1), 1);
    EXPECT_EQ(sigismember(&blocked, SIGWINCH), 0);
  });
  other.join();
}

TEST(SignalFd, LeavesThemBlocked) {
  auto child = ChildProcess::Fork([] {
    OpenOrDie({SIGTERM});
    kill(getpid(), SIGTERM);
    return 3;
  });
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait().ToString(), "exit code 3");
}

TEST(SignalFd, OthersActAsEver) {
  auto child = ChildProcess::Fork([] {
    SignalFd signals = OpenOrDie({SIGUSR1});
    kill(getpid(), SIGTERM);
    return 3;
  });
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait().signal, SIGTERM);
}

}  // namespace
}  // namespace ghost
