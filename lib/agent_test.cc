#include "lib/agent.h"

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/status.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

class AgentTest : public testing::Test {
 protected:
  AgentTest() : kernel_(2) {
    enclave_ = *Enclave::Create(&kernel_, CpuSet::FirstN(2));
    mock_ = kernel_.enclave();
    channel_ = *enclave_->CreateChannel(1024, 0, {});
  }

  MockKernel kernel_;
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_;
  Channel channel_;
};

TEST_F(AgentTest, RunsItsBodyOnceReleased) {
  std::atomic<bool> ran{false};
  std::string name;
  Agent agent(enclave_.get(), 1, &channel_, [&](Agent& self) {
    char buffer[16];
    pthread_getname_np(pthread_self(), buffer, sizeof(buffer));
    name = buffer;
    EXPECT_EQ(self.cpu(), 1);
    ran = true;
    ran.notify_one();
    while (!self.finished()) self.run_request().LocalYield(self.barrier());
  });
  ASSERT_TRUE(agent.Start().ok());
  EXPECT_FALSE(ran);
  EXPECT_EQ(mock_->queue_of_agent(1), channel_.fd());
  agent.Release();
  ran.wait(false);
  agent.Terminate();
  EXPECT_EQ(name, "ap_task_1");
  // Its status word is free again: the place can be taken.
  EXPECT_EQ(mock_->agent_word(1).flags, 0u);
}

TEST_F(AgentTest, CanEndBeforeItIsReleased) {
  bool ran = false;
  Agent agent(enclave_.get(), 0, nullptr, [&](Agent& self) { ran = !self.finished(); });
  ASSERT_TRUE(agent.Start().ok());
  agent.Terminate();
  EXPECT_FALSE(ran);
}

TEST_F(AgentTest, SaysWhyItCannotBeAnAgent) {
  Agent agent(enclave_.get(), 3, nullptr, [](Agent&) { FAIL(); });
  const absl::Status status = agent.Start();
  EXPECT_EQ(ErrnoOf(status), ENODEV);
  EXPECT_NE(status.message().find("cpu 3"), std::string::npos);
}

TEST_F(AgentTest, WaitsForAnAgentThatIsDying) {
  ASSERT_EQ(mock_->BecomeAgent(0, channel_.fd()), 0);
  Agent agent(enclave_.get(), 0, nullptr, [](Agent&) {});
  agent.StartBegin();
  mock_->RemoveAgent(0);
  EXPECT_TRUE(agent.StartComplete().ok());
  agent.Terminate();
}

TEST_F(AgentTest, GivesUpWaitingWhenTold) {
  ASSERT_EQ(mock_->BecomeAgent(0, channel_.fd()), 0);
  Agent agent(enclave_.get(), 0, nullptr, [](Agent&) { FAIL(); });
  agent.StartBegin();
  agent.TerminateBegin();
  EXPECT_EQ(ExitCodeOf(agent.StartComplete()), ExitCode::kBusy);
  agent.TerminateComplete();
}

}  // namespace
}  // namespace ghost
