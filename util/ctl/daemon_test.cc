#include "util/ctl/daemon.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "util/ctl/poller.h"

namespace ghost::ctl {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(20);

Daemon::Options Shell(const std::string& script, const std::string& ready) {
  Daemon::Options options = {.name = "sh", .argv = {"/bin/sh", "-c", script}, .ready_text = ready};
  sigemptyset(&options.signal_mask);
  return options;
}

// Reaps it and tells it so.
void Reap(Daemon* daemon) {
  int status = 0;
  ASSERT_EQ(waitpid(daemon->pid(), &status, 0), daemon->pid());
  daemon->OnExit(status);
}

TEST(DaemonTest, IsReadyWhenItsOutputSaysSo) {
  Poller poller;
  Daemon daemon(&poller, Shell("echo starting; printf 'now ser'; echo 'ving 1'; exec sleep 100", "serving"));
  ASSERT_TRUE(daemon.Start().ok());
  while (!daemon.ready()) ASSERT_TRUE(poller.Wait(Time::Now() + kTimeout));
  EXPECT_EQ(daemon.ready_line(), "now serving 1");
  EXPECT_TRUE(daemon.running());
  daemon.Kill(SIGINT);
  Reap(&daemon);
  EXPECT_FALSE(daemon.running());
  EXPECT_EQ(DescribeWaitStatus(daemon.wait_status()), "was killed by signal 2 (Interrupt)");
  EXPECT_EQ(ExitStatusOf(daemon.wait_status()), 128 + SIGINT);
}

TEST(DaemonTest, EndsWithoutEverBeingReady) {
  Poller poller;
  Daemon daemon(&poller, Shell("echo no; exit 5", "yes"));
  ASSERT_TRUE(daemon.Start().ok());
  Reap(&daemon);
  while (!daemon.ready() && poller.Wait(Time::Now())) continue;  // all that it has said
  EXPECT_FALSE(daemon.ready());
  EXPECT_EQ(ExitStatusOf(daemon.wait_status()), 5);
}

TEST(DaemonTest, HasASessionOfItsOwnAndNoInput) {
  Poller poller;
  Daemon daemon(&poller, Shell("read line; echo \"got $? $(cut -d' ' -f6 /proc/$$/stat) $$\"", "got"));
  ASSERT_TRUE(daemon.Start().ok());
  while (!daemon.ready()) ASSERT_TRUE(poller.Wait(Time::Now() + kTimeout));
  const std::string pid = std::to_string(daemon.pid());
  EXPECT_EQ(daemon.ready_line(), "got 1 " + pid + " " + pid);
  Reap(&daemon);
}

TEST(DaemonTest, AProgramThatCannotBeRunIs127) {
  Poller poller;
  Daemon::Options options = {.name = "nothing", .argv = {"/no/such/program"}, .ready_text = "x"};
  sigemptyset(&options.signal_mask);
  Daemon daemon(&poller, std::move(options));
  ASSERT_TRUE(daemon.Start().ok());
  Reap(&daemon);
  EXPECT_EQ(ExitStatusOf(daemon.wait_status()), 127);
}

TEST(PollerTest, TheDeadlinePasses) {
  Poller poller;
  const Time deadline = Time::Now() + absl::Milliseconds(5);
  EXPECT_FALSE(poller.Wait(deadline));
  EXPECT_GE(Time::Now(), deadline);
}

TEST(PollerTest, ACallbackMayUnwatchAnother) {
  int a[2], b[2];
  ASSERT_EQ(pipe(a), 0);
  ASSERT_EQ(pipe(b), 0);
  Poller poller;
  int calls = 0;
  for (int fd : {a[0], b[0]}) {
    poller.Watch(fd, [&, fd] {
      ++calls;
      poller.Unwatch(fd == a[0] ? b[0] : a[0]);
    });
  }
  ASSERT_EQ(write(a[1], "x", 1), 1);
  ASSERT_EQ(write(b[1], "x", 1), 1);
  EXPECT_TRUE(poller.Wait());
  EXPECT_EQ(calls, 1);
  for (int fd : {a[0], a[1], b[0], b[1]}) close(fd);
}

}  // namespace
}  // namespace ghost::ctl
