#include "util/ctl/front.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

// Runs a front and keeper in a process of their own, which stands for ghostctl. Returns its pid.
pid_t StartGhostctl(const std::function<void(FrontLink*)>& keep) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  absl::StatusOr<int> result = RunBehindFront(keep);
  _exit(result.ok() ? *result : Report("test", result.status()));
}

int ExitStatus(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

FrontLink::Signal AwaitSignal(FrontLink* front) {
  for (;;) {
    if (std::optional<FrontLink::Signal> signal = front->Read()) return *signal;
    if (front->gone()) _exit(99);
    pollfd fd = {.fd = front->fd(), .events = POLLIN, .revents = 0};
    poll(&fd, 1, -1);
  }
}

TEST(FrontTest, EndsWithTheKeepersVerdict) {
  EXPECT_EQ(ExitStatus(StartGhostctl([](FrontLink* front) { front->Finish(42, false); })), 42);
}

TEST(FrontTest, AKeeperThatStaysIsNotWaitedFor) {
  int end[2];
  ASSERT_EQ(pipe(end), 0);
  const pid_t ghostctl = StartGhostctl([&](FrontLink* front) {
    front->Finish(43, true);
    char byte;
    close(end[1]);
    if (read(end[0], &byte, 1) != 0) _exit(98);
  });
  EXPECT_EQ(ExitStatus(ghostctl), 43);
  close(end[1]);
}

TEST(FrontTest, PassesSignalsOn) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t ghostctl = StartGhostctl([&](FrontLink* front) {
    if (write(ready[1], "x", 1) != 1) _exit(98);
    const FrontLink::Signal signal = AwaitSignal(front);
    front->Finish(signal.from_terminal ? 97 : signal.number, false);
  });
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  kill(ghostctl, SIGUSR1);
  EXPECT_EQ(ExitStatus(ghostctl), SIGUSR1);
}

TEST(FrontTest, TheKeeperLearnsOfTheFrontsDeathAndOutlivesIt) {
  int ready[2], after[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(after), 0);
  const pid_t ghostctl = StartGhostctl([&](FrontLink* front) {
    if (write(ready[1], "x", 1) != 1) _exit(98);
    while (!front->gone()) {
      pollfd fd = {.fd = front->fd(), .events = POLLIN, .revents = 0};
      poll(&fd, 1, -1);
      front->Read();
    }
    if (write(after[1], "y", 1) != 1) _exit(98);
  });
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  kill(ghostctl, SIGKILL);
  EXPECT_EQ(ExitStatus(ghostctl), 128 + SIGKILL);
  EXPECT_EQ(read(after[0], &byte, 1), 1);
}

TEST(FrontTest, ALostKeeperIsAnError) {
  EXPECT_EQ(ExitStatus(StartGhostctl([](FrontLink*) { raise(SIGKILL); })), static_cast<int>(ExitCode::kFailed));
}

}  // namespace
}  // namespace ghost::ctl
