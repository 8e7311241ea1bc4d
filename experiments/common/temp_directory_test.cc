#include "experiments/common/temp_directory.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "gtest/gtest.h"
#include "lib/base/poll_until.h"

namespace ghost {
namespace {

TEST(TempDirectoryTest, GoneWithAllThatIsInIt) {
  std::optional<TempDirectory> directory = *TempDirectory::Make("temp_directory_test");
  const std::string path = directory->path();
  ASSERT_TRUE(std::filesystem::is_directory(path));
  std::filesystem::create_directories(path + "/a/b");
  std::ofstream(path + "/a/b/file") << "text";
  directory.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TempDirectoryTest, MovedItIsStillThere) {
  std::optional<TempDirectory> first = *TempDirectory::Make("temp_directory_test");
  const std::string path = first->path();
  std::optional<TempDirectory> second = *std::move(first);
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(path));
  second.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TempDirectoryTest, InTmpdir) {
  const TempDirectory parent = *TempDirectory::Make("temp_directory_test");
  setenv("TMPDIR", parent.path().c_str(), 1);
  EXPECT_EQ(std::filesystem::path(TempDirectory::Make("x")->path()).parent_path(), parent.path());
  setenv("TMPDIR", "/nonexistent", 1);
  const absl::Status status = TempDirectory::Make("x").status();
  unsetenv("TMPDIR");
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("/nonexistent"), std::string::npos);
}

// A process that makes one, says where, and waits; killed in the middle of it.
TEST(TempDirectoryTest, GoneAfterKill) {
  for (int signal : {SIGKILL, SIGTERM, SIGABRT}) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      const absl::StatusOr<TempDirectory> directory = TempDirectory::Make("temp_directory_test");
      if (!directory.ok()) _exit(1);
      std::ofstream(directory->path() + "/file") << "text";
      const std::string path = directory->path();
      if (write(ends[1], path.data(), path.size()) < 0) _exit(1);
      close(ends[1]);
      for (;;) pause();
    }
    close(ends[1]);
    char path[4096] = {};
    ASSERT_GT(read(ends[0], path, sizeof(path) - 1), 0);
    EXPECT_EQ(read(ends[0], path + 1000, 1), 0) << "who removes it keeps nobody's pipe";
    close(ends[0]);
    ASSERT_TRUE(std::filesystem::exists(path));
    kill(child, signal);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(PollUntil(absl::Seconds(30), [&] { return !std::filesystem::exists(path); })) << signal;
  }
}

// Killed whenever it is: before there is a directory, just as it comes, or later.
TEST(TempDirectoryTest, GoneAfterKillAtAnyMoment) {
  const TempDirectory parent = *TempDirectory::Make("temp_directory_test");
  setenv("TMPDIR", parent.path().c_str(), 1);
  for (int us = 0; us < 4000; us += 50) {
    const pid_t child = fork();
    if (child == 0) {
      const absl::StatusOr<TempDirectory> directory = TempDirectory::Make("x");
      for (;;) pause();
    }
    usleep(static_cast<useconds_t>(us));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  unsetenv("TMPDIR");
  EXPECT_TRUE(PollUntil(absl::Seconds(30), [&] { return std::filesystem::is_empty(parent.path()); }));
}

}  // namespace
}  // namespace ghost
