#include "lib/base/find_program.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

namespace fs = std::filesystem;

TEST(FindProgramTest, BesideThisOneComesBeforePath) {
  const fs::path self = fs::read_symlink("/proc/self/exe");
  EXPECT_EQ(*FindProgram(self.filename()), self);
}

TEST(FindProgramTest, InPathIfItCanBeRun) {
  const fs::path folder = fs::path(testing::TempDir()) / "find_program_test";
  fs::create_directories(folder / "some_folder");
  std::ofstream(folder / "some_program") << "#!/bin/sh\n";
  setenv("PATH", absl::StrCat("/nowhere::", folder.string()).c_str(), 1);
  EXPECT_TRUE(absl::IsNotFound(FindProgram("some_program").status()));
  fs::permissions(folder / "some_program", fs::perms::owner_all);
  EXPECT_EQ(*FindProgram("some_program"), folder / "some_program");
  EXPECT_TRUE(absl::IsNotFound(FindProgram("some_folder").status()));
  unsetenv("PATH");
  EXPECT_TRUE(absl::IsNotFound(FindProgram("some_program").status()));
}

TEST(FindProgramTest, OneThatIsNotThereIsNamed) {
  const absl::Status status = FindProgram("no_such_program").status();
  EXPECT_EQ(status.message(), "there is no program no_such_program beside find_program_test or in $PATH");
  EXPECT_EQ(HintOf(status), "bazel build -c opt no_such_program");
}

}  // namespace
}  // namespace ghost
