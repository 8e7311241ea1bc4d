#include "lib/base/signals.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "gtest/gtest.h"
#include "lib/base/notification.h"
#include "lib/base/process.h"

namespace ghost {
namespace {

TEST(SignalThread, CallsBackOnAnotherThread) {
  Notification called;
  int signal = 0;
  std::thread::id caller;
  SignalThread signals({{SIGUSR1, [&](int number) {
                           signal = number;
                           caller = std::this_thread::get_id();
                           called.Notify();
                         }}});
  kill(getpid(), SIGUSR1);
  called.Wait();
  EXPECT_EQ(signal, SIGUSR1);
  EXPECT_NE(caller, std::this_thread::get_id());
}

TEST(SignalThread, EachSignalHasItsOwnCallback) {
  Notification usr1, usr2;
  SignalThread signals({{SIGUSR1, [&](int) { usr1.Notify(); }}, {SIGUSR2, [&](int) { usr2.Notify(); }}});
  kill(getpid(), SIGUSR2);
  usr2.Wait();
  EXPECT_FALSE(usr1.HasBeenNotified());
  kill(getpid(), SIGUSR1);
  usr1.Wait();
}

TEST(SignalThread, SecondSignalDuringACallbackIsCalledAfterIt) {
  Notification entered, release, twice;
  std::atomic<int> calls = 0;
  SignalThread signals({{SIGUSR1, [&](int) {
                           if (++calls == 2) return twice.Notify();
                           entered.Notify();
                           release.Wait();
                         }}});
  kill(getpid(), SIGUSR1);
  entered.Wait();
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(calls, 1);
  release.Notify();
  twice.Wait();
}

TEST(SignalThread, StopsWithoutASignal) {
  for (int i = 0; i < 50; ++i) SignalThread signals({{SIGUSR1, [](int) {}}});
}

TEST(SignalThread, LeavesTheSignalsBlocked) {
  auto child = ChildProcess::Fork([] {
    {
      SignalThread signals({{SIGTERM, [](int) {}}});
    }
    kill(getpid(), SIGTERM);
    return 3;
  });
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait().ToString(), "exit code 3");
}

TEST(UnblockSignals, GivesDefaultActionsBack) {
  auto child = ChildProcess::Fork([] {
    {
      SignalThread signals({{SIGTERM, [](int) {}}});
    }
    signal(SIGTERM, SIG_IGN);
    UnblockSignals();
    kill(getpid(), SIGTERM);
    return 3;
  });
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait().signal, SIGTERM);
}

}  // namespace
}  // namespace ghost
