// What the port says where there is no ghostfs. With one: tests/e2e, over ghostd.
#include "lib/ghostfs.h"

#include <sys/stat.h>

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

class GhostfsTest : public testing::Test {
 protected:
  void SetUp() override { unsetenv("GHOSTFS"); }
  void TearDown() override { unsetenv("GHOSTFS"); }

  static void ExpectNoKernel(const absl::Status& status, const std::string& word) {
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kNoKernel);
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << status;
    EXPECT_NE(HintOf(status), "");
  }
};

TEST_F(GhostfsTest, AGivenPathIsTheOnlyOne) {
  for (const std::string path : {"/nonexistent", "/proc", "/"}) {
    ExpectNoKernel(FindGhostfs(path).status(), path);
    ExpectNoKernel(OpenGhostfs(path).status(), path);
  }
}

TEST_F(GhostfsTest, TheEnvironmentIsNamedWhenItIsWrong) {
  setenv("GHOSTFS", "/nonexistent", 1);
  ExpectNoKernel(OpenGhostfs().status(), "$GHOSTFS");
}

TEST_F(GhostfsTest, AGivenPathGoesBeforeTheEnvironment) {
  setenv("GHOSTFS", "/nonexistent", 1);
  ExpectNoKernel(OpenGhostfs("/proc").status(), "/proc");
}

TEST_F(GhostfsTest, AnEmptyVariableIsNone) {
  setenv("GHOSTFS", "", 1);
  const absl::StatusOr<std::string> found = FindGhostfs();
  if (!found.ok()) {
    EXPECT_EQ(found.status().message().find("$GHOSTFS"), absl::string_view::npos);
  }
}

TEST_F(GhostfsTest, AnOrdinaryDirectoryIsNone) {
  const std::string directory = std::string(testing::TempDir()) + "/not_ghostfs";
  mkdir(directory.c_str(), 0755);
  ExpectNoKernel(OpenGhostfs(directory).status(), directory);
}

TEST_F(GhostfsTest, GhostdMountsWhereItsUserMay) {
  const std::string mount = DefaultGhostdMount();
  EXPECT_EQ(mount.substr(mount.size() - 6), "/ghost");
  EXPECT_EQ(mount[0], '/');
}

}  // namespace
}  // namespace ghost
