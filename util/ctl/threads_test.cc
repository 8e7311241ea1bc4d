#include "util/ctl/threads.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latch>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

using ::testing::Contains;
using ::testing::UnorderedElementsAreArray;

TEST(ThreadsOfTest, ListsEveryThreadOfAProcess) {
  std::thread([] {}).join();  // with the first thread ThreadSanitizer starts one of its own
  std::vector<pid_t> expected = ThreadsOf(getpid()).value();
  EXPECT_THAT(expected, Contains(getpid()));
  pid_t other = 0;
  std::latch known(1), end(1);
  std::thread thread([&] {
    other = gettid();
    known.count_down();
    end.wait();
  });
  known.wait();
  absl::StatusOr<std::vector<pid_t>> threads = ThreadsOf(getpid());
  ASSERT_TRUE(threads.ok());
  expected.push_back(other);
  EXPECT_THAT(*threads, UnorderedElementsAreArray(expected));
  // Any of its threads names the process.
  EXPECT_THAT(*ThreadsOf(other), Contains(getpid()));
  end.count_down();
  thread.join();
}

TEST(ThreadsOfTest, NoSuchProcess) { EXPECT_EQ(ErrnoOf(ThreadsOf(0x3fffff).status()), ESRCH); }

TEST(StateOfThreadTest, TellsAZombie) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, child, &info, WEXITED | WNOWAIT), 0);
  absl::StatusOr<ThreadState> state = StateOfThread(child);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->state, 'Z');
  EXPECT_FALSE(state->kernel_thread);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(StateOfThread(child).ok());
}

TEST(StateOfThreadTest, AnOrdinaryThreadIsNeitherTracedNorTheKernels) {
  absl::StatusOr<ThreadState> state = StateOfThread(gettid());
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->state, 'R');
  EXPECT_FALSE(state->kernel_thread);
}

}  // namespace
}  // namespace ghost::ctl
