#include "lib/program/agent_requests.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/status.h"
#include "lib/tunable.h"

namespace ghost {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

class FakeRuntime : public Runtime {
 public:
  absl::Status Start() override { return absl::OkStatus(); }
  void Stop() override {}
  const CpuSet& cpus() const override { return cpus_; }
  RuntimeCounters Counters(int cpu) const override {
    RuntimeCounters counters;
    counters.commits = 10 + cpu;
    return counters;
  }
  int64_t CountTasks() const override { return 5; }
  std::string DumpState(absl::Duration) override { return dump; }
  std::vector<Tunable*> Tunables() override {
    if (without_tunables) return {};
    return {&slice, &depth};
  }

  std::string dump = "the state\n";
  bool without_tunables = false;
  Tunable slice{"slice", "how long", Tunable::Unit::kNanoseconds, 50'000, 1'000, INT64_MAX};
  Tunable depth{"depth", "how many", Tunable::Unit::kCount, 8, 1, 64};

 private:
  const CpuSet cpus_{1, 3};
};

class AgentRequestsTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(nullptr); }
  void TearDown() override { Stop(); }
  void Start(HandleProgramRpc own) {
    Stop();
    requests_.emplace("test_agent", &runtime_, std::move(own));
    auto sockets = *MakeRpcSockets();
    client_ = std::make_unique<AgentClient>(std::move(sockets.first));
    server_socket_ = std::move(sockets.second);
    server_ = std::thread(
        [this] { ServeRpc(server_socket_.get(), [this](RpcRequest& request) { return requests_->Handle(request); }); });
  }
  void Stop() {
    client_.reset();
    if (server_.joinable()) server_.join();
  }

  FakeRuntime runtime_;
  std::optional<AgentRequests> requests_;
  std::unique_ptr<AgentClient> client_;
  ScopedFd server_socket_;
  std::thread server_;
};

TEST_F(AgentRequestsTest, Describes) {
  absl::StatusOr<AgentClient::Description> description = client_->Describe();
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->program, "test_agent");
  EXPECT_EQ(description->cpus, "1,3");
  EXPECT_EQ(description->pid, getppid());
  EXPECT_THAT(description->counters, Contains(Pair("commits", 24)));
  EXPECT_EQ(description->counters.size(), std::size(kRuntimeCounters));
}

TEST_F(AgentRequestsTest, CountersOfACpu) {
  absl::StatusOr<std::vector<uint64_t>> counters = client_->Counters(3);
  ASSERT_TRUE(counters.ok()) << counters.status();
  EXPECT_THAT(*counters, Contains(13));
  for (int cpu : {-1, 0, 2, 4, 100'000}) EXPECT_FALSE(client_->Counters(cpu).ok()) << cpu;
}

TEST_F(AgentRequestsTest, CountsTasks) { EXPECT_EQ(*client_->CountTasks(), 5); }

TEST_F(AgentRequestsTest, ListsTunables) {
  absl::StatusOr<std::vector<AgentClient::TunableView>> tunables = client_->Tunables();
  ASSERT_TRUE(tunables.ok()) << tunables.status();
  ASSERT_EQ(tunables->size(), 2u);
  EXPECT_EQ((*tunables)[0].name, "slice");
  EXPECT_EQ((*tunables)[0].value, "50us");
  EXPECT_EQ((*tunables)[0].range, "from 1us to inf");
  EXPECT_EQ((*tunables)[0].what, "how long");
  EXPECT_EQ((*tunables)[1].name, "depth");
  runtime_.without_tunables = true;
  EXPECT_TRUE(client_->Tunables()->empty());
}

TEST_F(AgentRequestsTest, SetsTunables) {
  EXPECT_TRUE(client_->Set({"slice=1ms", "depth=9"}).ok());
  EXPECT_EQ(runtime_.slice.Get(), 1'000'000);
  EXPECT_EQ(runtime_.depth.Get(), 9);
}

TEST_F(AgentRequestsTest, SetsAllOrNone) {
  const struct {
    std::vector<std::string> assignments;
    const char* message;
    const char* hint;
  } kCases[] = {
      {{"slice=1ms", "depth=65"}, "depth=65: out of range", "depth: from 1 to 64"},
      {{"slice=1ms", "width=1"}, "there is no tunable 'width'", "test_agent has slice, depth"},
      {{"slice=1ms", "depth=x"}, "depth=x", "depth: from 1 to 64"},
      {{"slice=1ms", "depth"}, "depth=", "depth: from 1 to 64"},
      {{"slice=1ms", ""}, "there is no tunable ''", "test_agent has slice, depth"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = client_->Set(c.assignments);
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage) << c.message;
    EXPECT_THAT(status.message(), HasSubstr(c.message));
    EXPECT_EQ(HintOf(status), c.hint);
    EXPECT_EQ(runtime_.slice.Get(), 50'000);
    EXPECT_EQ(runtime_.depth.Get(), 8);
  }
  runtime_.without_tunables = true;
  EXPECT_EQ(HintOf(client_->Set({"slice=1ms"})), "test_agent has none");
}

TEST_F(AgentRequestsTest, MoreAssignmentsPromisedThanSent) {
  RpcRequest request = {.code = kRpcSetTunables, .arg0 = INT64_MAX};
  EXPECT_TRUE(request.buffer.SerializeString("depth=9").ok());
  EXPECT_EQ(requests_->Handle(request).code, 1);
  EXPECT_EQ(runtime_.depth.Get(), 8);
}

TEST_F(AgentRequestsTest, DumpsOfAnySize) {
  for (size_t size : {size_t{0}, size_t{1}, RpcBuffer::kCapacity, 10 * RpcBuffer::kCapacity + 1}) {
    runtime_.dump.assign(size, 'd');
    absl::StatusOr<std::string> dump = client_->Dump();
    ASSERT_TRUE(dump.ok()) << dump.status();
    EXPECT_EQ(dump->size(), size);
  }
}

TEST_F(AgentRequestsTest, DumpsOfTwoClientsDoNotMix) {
  runtime_.dump.assign(2 * RpcBuffer::kCapacity, 'd');
  RpcRequest first = {.code = kRpcReadDump};
  RpcResponse begun = requests_->Handle(first);
  const int64_t id = *begun.buffer.Deserialize<int64_t>();
  RpcRequest second = {.code = kRpcReadDump};
  EXPECT_EQ(requests_->Handle(second).code, 0);
  RpcRequest next = {.code = kRpcReadDump, .arg0 = 100, .arg1 = id};
  EXPECT_EQ(requests_->Handle(next).code, 1);
}

TEST_F(AgentRequestsTest, AProgramsOwnRequestsGoFirst) {
  Start([](Runtime& runtime, RpcRequest& request, RpcResponse* response) {
    if (request.code != kRpcCountTasks && request.code != 3) return false;
    response->code = 100 * runtime.CountTasks() + request.code;
    return true;
  });
  EXPECT_EQ(*client_->CountTasks(), 502);
  RpcRequest own = {.code = 3};
  EXPECT_EQ(requests_->Handle(own).code, 503);
  EXPECT_TRUE(client_->Describe().ok());
}

TEST_F(AgentRequestsTest, UnknownRequests) {
  for (int64_t code : {int64_t{0}, int64_t{3}, int64_t{99}, int64_t{1000}, INT64_MIN}) {
    RpcRequest request = {.code = code};
    EXPECT_EQ(requests_->Handle(request).code, -1) << code;
  }
}

}  // namespace
}  // namespace ghost
