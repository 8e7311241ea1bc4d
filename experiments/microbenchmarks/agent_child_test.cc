// With scripts in an agent program's place.
#include "experiments/microbenchmarks/agent_child.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kActive[] = "echo Initializing...; echo Initialization complete, ghOSt active.\n";

class AgentChildTest : public testing::Test {
 protected:
  AgentChildTest() : folder_(absl::StrCat(testing::TempDir(), "/agent_child_test.", getpid())) {
    std::filesystem::create_directories(folder_);
    setenv("PATH", absl::StrCat(folder_, ":/usr/bin:/bin").c_str(), 1);
  }
  ~AgentChildTest() override { std::filesystem::remove_all(folder_); }

  // The program "some_agent".
  void Write(const std::string& script) {
    const std::string path = folder_ + "/some_agent";
    std::ofstream(path) << "#!/bin/sh\n" << script;
    chmod(path.c_str(), 0755);
  }
  std::string File(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  const std::string folder_;
};

TEST_F(AgentChildTest, IsActiveAndEndsWithSigint) {
  Write(absl::StrCat("trap 'touch $1; exit 0' INT\n", kActive, "while :; do sleep 0.05; done\n"));
  const auto agent = AgentChild::Start("some_agent", {File("ended")});
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_FALSE(std::filesystem::exists(File("ended")));
  EXPECT_TRUE((*agent)->Stop().ok());
  EXPECT_TRUE(std::filesystem::exists(File("ended")));
  EXPECT_TRUE((*agent)->Stop().ok());  // once is enough
}

TEST_F(AgentChildTest, AnEndAtTheStartHasItsExitCode) {
  Write("echo Initializing...; exit 5\n");
  const absl::Status status = AgentChild::Start("some_agent", {}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBusy) << status;
  Write("exit 77\n");
  EXPECT_NE(ExitCodeOf(AgentChild::Start("some_agent", {}).status()), ExitCode::kOk);
}

TEST_F(AgentChildTest, ABadEndIsTold) {
  Write(absl::StrCat("trap 'exit 1' INT\n", kActive, "while :; do sleep 0.05; done\n"));
  const auto agent = AgentChild::Start("some_agent", {});
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_FALSE((*agent)->Stop().ok());
}

TEST_F(AgentChildTest, AProgramThatIsNotThereIsNamed) {
  const absl::Status status = AgentChild::Start("no_such_agent", {}).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_NE(HintOf(status).find("bazel build -c opt no_such_agent"), std::string::npos);
}

// Its user is killed, in the middle of threads: one signal comes.
TEST_F(AgentChildTest, EndsWellWhenItsUserDies) {
  Write(absl::StrCat("trap 'echo signal >>$1; sleep 0.3; touch $3; exit 0' INT TERM\n", kActive,
                     "touch $2\nwhile :; do sleep 0.05; done\n"));
  absl::StatusOr<ChildProcess> user = ChildProcess::Fork([this] {
    const auto agent = AgentChild::Start("some_agent", {File("signals"), File("begun"), File("ended")});
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([] { pause(); });
    pause();
    return 0;
  });
  ASSERT_TRUE(user.ok());
  ASSERT_TRUE(PollUntil(kPatience, [this] { return std::filesystem::exists(File("begun")); }));
  ASSERT_TRUE(SendSignal(user->pidfd(), SIGKILL).ok());
  ASSERT_TRUE(PollUntil(kPatience, [this] { return std::filesystem::exists(File("ended")); }));
  std::ifstream signals(File("signals"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(signals), {}), "signal\n");
}

}  // namespace
}  // namespace ghost
