#include "lib/base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

ChildProcess ForkOrDie(absl::FunctionRef<int()> body) {
  absl::StatusOr<ChildProcess> child = ChildProcess::Fork(body);
  if (!child.ok()) std::abort();
  return *std::move(child);
}

int Sleep() {
  for (;;) pause();
}

TEST(ChildProcess, ReturnsTheExitCode) {
  ChildProcess child = ForkOrDie([] { return 7; });
  const ExitState state = child.Wait();
  EXPECT_EQ(state.code, 7);
  EXPECT_FALSE(state.ok());
  EXPECT_EQ(state.ShellCode(), 7);
  EXPECT_EQ(state.ToString(), "exit code 7");
}

TEST(ChildProcess, TellsWhatKilledIt) {
  ChildProcess child = ForkOrDie(Sleep);
  ASSERT_TRUE(SendSignal(child.pidfd(), SIGTERM).ok());
  const ExitState state = child.Wait();
  EXPECT_EQ(state.signal, SIGTERM);
  EXPECT_EQ(state.ShellCode(), 128 + SIGTERM);
  EXPECT_EQ(state.ToString(), "killed by signal 15");
}

TEST(ChildProcess, IsKilledAndReapedWithItsOwner) {
  pid_t pid;
  {
    ChildProcess first = ForkOrDie(Sleep);
    ChildProcess second = std::move(first);
    pid = second.pid();
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(WaitForExit, SeesTheEndBeforeItIsReaped) {
  ChildProcess child = ForkOrDie([] { return 0; });
  EXPECT_TRUE(WaitForExit(child.pidfd()));
  EXPECT_TRUE(SendSignal(child.pidfd(), 0).ok()) << "a zombie is still there";
  EXPECT_TRUE(child.Wait().ok());
  EXPECT_EQ(ErrnoOf(SendSignal(child.pidfd(), 0)), ESRCH);
}

TEST(WaitForExit, GivesUpAtTheDeadline) {
  ChildProcess child = ForkOrDie(Sleep);
  const Time deadline = Time::Now() + absl::Milliseconds(2);
  EXPECT_FALSE(WaitForExit(child.pidfd(), deadline));
  EXPECT_GE(Time::Now(), deadline);
}

TEST(OpenPidfd, FailsForNobody) {
  pid_t gone;
  {
    ChildProcess child = ForkOrDie([] { return 0; });
    gone = child.pid();
  }
  EXPECT_EQ(ErrnoOf(OpenPidfd(gone).status()), ESRCH);
  EXPECT_EQ(ErrnoOf(OpenPidfd(-1).status()), EINVAL);
}

TEST(DieWithParent, RefusesAnotherParent) { EXPECT_EQ(ErrnoOf(DieWithParent(getpid())), ESRCH); }

TEST(DieWithParent, ChildDiesWhenItsParentIsKilled) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  // The grandchild holds the pipe's write end; its death is the end of file.
  ChildProcess parent = ForkOrDie([&] {
    ChildProcess grandchild = ForkOrDie([&] {
      if (write(pipe_fds[1], "x", 1) != 1) return 1;
      return Sleep();
    });
    return grandchild.Wait().code;
  });
  close(pipe_fds[1]);
  char byte;
  ASSERT_EQ(read(pipe_fds[0], &byte, 1), 1) << "the grandchild runs";
  ASSERT_TRUE(SendSignal(parent.pidfd(), SIGKILL).ok());
  EXPECT_EQ(read(pipe_fds[0], &byte, 1), 0) << "it has died with its parent";
  close(pipe_fds[0]);
}

}  // namespace
}  // namespace ghost
