#include "lib/program/agent_rpc.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);

struct Point {
  int x;
  double y;
};

TEST(RpcBuffer, ValuesComeBackInOrder) {
  RpcBuffer buffer;
  EXPECT_TRUE(buffer.Serialize(Point{3, 0.5}).ok());
  EXPECT_TRUE(buffer.SerializeVector(std::vector<int64_t>{1, -2, 3}).ok());
  EXPECT_TRUE(buffer.SerializeString("").ok());
  EXPECT_TRUE(buffer.SerializeString(absl::string_view("a\0b", 3)).ok());
  EXPECT_TRUE(buffer.SerializeVector(std::vector<int>{}).ok());

  absl::StatusOr<Point> point = buffer.Deserialize<Point>();
  ASSERT_TRUE(point.ok()) << point.status();
  EXPECT_EQ(point->x, 3);
  EXPECT_EQ(point->y, 0.5);
  EXPECT_EQ(*buffer.DeserializeVector<int64_t>(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(*buffer.DeserializeString(), "");
  EXPECT_EQ(*buffer.DeserializeString(), std::string("a\0b", 3));
  EXPECT_TRUE(buffer.DeserializeVector<int>()->empty());
  EXPECT_FALSE(buffer.Deserialize<int>().ok());
}

TEST(RpcBuffer, WrongTypesAreErrors) {
  RpcBuffer empty;
  EXPECT_EQ(empty.Deserialize<int>().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(empty.DeserializeString().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(empty.DeserializeVector<char>().status().code(), absl::StatusCode::kInvalidArgument);
  absl::Status status;
  EXPECT_EQ(empty.DeserializeStatus(&status).code(), absl::StatusCode::kInvalidArgument);

  RpcBuffer buffer;
  ASSERT_TRUE(buffer.SerializeString("abc").ok());
  EXPECT_FALSE(buffer.Deserialize<int>().ok());
  EXPECT_FALSE(buffer.DeserializeVector<int>().ok());
  EXPECT_EQ(*buffer.DeserializeString(), "abc");  // a failed read takes nothing
}

TEST(RpcBuffer, TheCapacityIsExact) {
  RpcBuffer buffer;
  const std::string whole(RpcBuffer::kCapacity - sizeof(uint32_t), 'x');
  EXPECT_EQ(buffer.SerializeString(whole + "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(buffer.SerializeString(whole).ok());
  EXPECT_EQ(buffer.SerializeString("").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*buffer.DeserializeString(), whole);
}

TEST(RpcBuffer, AnyBytesAreSafeToRead) {
  for (const std::string& bytes : {std::string("\xff\xff\xff\xff"), std::string("\x04\0\0", 3),
                                   std::string("\x05\0\0\0abcd", 8), std::string(100000, '\x7f')}) {
    RpcBuffer buffer = RpcBuffer::FromBytes(bytes);
    EXPECT_LE(buffer.bytes().size(), RpcBuffer::kCapacity);
    absl::Status status;
    EXPECT_FALSE(buffer.DeserializeStatus(&status).ok());
    EXPECT_FALSE(buffer.DeserializeString().ok());
  }
}

TEST(RpcBuffer, AStatusKeepsAllOfItself) {
  const absl::Status original =
      WithExitCode(WithHint(ErrnoStatus(EBUSY, "CPUs 0-1 belong to enclave_2"), "destroy it"), ExitCode::kBusy);
  RpcBuffer buffer;
  ASSERT_TRUE(buffer.SerializeStatus(original).ok());
  ASSERT_TRUE(buffer.SerializeStatus(absl::OkStatus()).ok());
  absl::Status copy;
  ASSERT_TRUE(buffer.DeserializeStatus(&copy).ok());
  EXPECT_EQ(copy, original);
  EXPECT_EQ(HintOf(copy), "destroy it");
  EXPECT_EQ(ErrnoOf(copy), EBUSY);
  ASSERT_TRUE(buffer.DeserializeStatus(&copy).ok());
  EXPECT_TRUE(copy.ok());
}

// Found by tests/fuzz/agent_rpc_fuzz.
TEST(RpcBuffer, AStatusOfNoKnownCodeIsRefused) {
  for (int32_t code : {-1, 17, 0x5555}) {
    RpcBuffer buffer;
    ASSERT_TRUE(buffer.Serialize(code).ok() && buffer.SerializeString("").ok() && buffer.Serialize(0u).ok());
    absl::Status status = absl::NotFoundError("as it was");
    EXPECT_EQ(buffer.DeserializeStatus(&status).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "as it was");
  }
}

// A server in a thread of this process.
class RpcTest : public ::testing::Test {
 protected:
  void Start(std::function<RpcResponse(RpcRequest&)> handler) {
    auto sockets = MakeRpcSockets();
    ASSERT_TRUE(sockets.ok()) << sockets.status();
    server_socket_ = std::move(sockets->second);
    client_.emplace(std::move(sockets->first), -1);
    server_ = std::thread([this, handler] { ServeRpc(server_socket_.get(), handler); });
  }
  void TearDown() override {
    client_.reset();
    if (server_.joinable()) server_.join();
  }

  ScopedFd server_socket_;
  std::optional<RpcClient> client_;
  std::thread server_;
};

TEST_F(RpcTest, RoundTrip) {
  Start([](RpcRequest& request) {
    RpcResponse response{.code = request.code + request.arg0 * request.arg1};
    absl::StatusOr<std::string> text = request.buffer.DeserializeString();
    if (text.ok()) (void)response.buffer.SerializeString(*text + *text);
    return response;
  });
  RpcRequest request{.code = 5, .arg0 = 6, .arg1 = -7};
  ASSERT_TRUE(request.buffer.SerializeString("ab").ok());
  absl::StatusOr<RpcResponse> response = client_->Call(request, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->code, 5 - 42);
  EXPECT_EQ(*response->buffer.DeserializeString(), "abab");
}

TEST_F(RpcTest, FullBuffersBothWays) {
  Start([](RpcRequest& request) { return RpcResponse{.code = 0, .buffer = request.buffer}; });
  RpcRequest request;
  ASSERT_TRUE(request.buffer.SerializeString(std::string(RpcBuffer::kCapacity - sizeof(uint32_t), 'q')).ok());
  for (int i = 0; i < 10; ++i) {
    absl::StatusOr<RpcResponse> response = client_->Call(request, kLong);
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->buffer.bytes(), request.buffer.bytes());
  }
}

TEST_F(RpcTest, CallsOfManyThreadsDoNotMix) {
  Start([](RpcRequest& request) { return RpcResponse{.code = request.code * 2}; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 200; ++i) {
        absl::StatusOr<RpcResponse> response = client_->Call({.code = t * 1000 + i}, kLong);
        ASSERT_TRUE(response.ok()) << response.status();
        EXPECT_EQ(response->code, (t * 1000 + i) * 2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RpcTest, ALateAnswerIsNotTheNextOne) {
  int gate[2];
  ASSERT_EQ(pipe(gate), 0);
  Start([gate](RpcRequest& request) {
    char byte;
    if (request.code == 1) {
      EXPECT_EQ(read(gate[0], &byte, 1), 1);
    }
    return RpcResponse{.code = request.code};
  });
  EXPECT_EQ(client_->Call({.code = 1}, absl::Milliseconds(20)).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(write(gate[1], "x", 1), 1);
  absl::StatusOr<RpcResponse> response = client_->Call({.code = 2}, kLong);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->code, 2);
  close(gate[0]);
  close(gate[1]);
}

TEST(Rpc, MalformedRequestsGetEinval) {
  auto sockets = MakeRpcSockets();
  ASSERT_TRUE(sockets.ok());
  std::thread server([fd = sockets->second.get()] {
    ServeRpc(fd, [](RpcRequest&) {
      ADD_FAILURE() << "the handler saw a malformed request";
      return RpcResponse();
    });
  });
  // Too short, with a size that lies, and too long.
  std::string lying(48, '\0');
  lying[33] = 1;
  for (const std::string& packet : {std::string("x"), lying, std::string(RpcBuffer::kCapacity + 100, '\0')}) {
    ASSERT_EQ(send(sockets->first.get(), packet.data(), packet.size(), 0), static_cast<ssize_t>(packet.size()));
    int64_t answer[6];
    ASSERT_EQ(recv(sockets->first.get(), answer, sizeof(answer), 0), 40);
    EXPECT_EQ(answer[1], -EINVAL);
  }
  sockets->first.reset();
  server.join();
}

TEST(Rpc, MalformedAnswersAreErrors) {
  auto sockets = MakeRpcSockets();
  ASSERT_TRUE(sockets.ok());
  ASSERT_EQ(send(sockets->second.get(), "y", 1, 0), 1);
  RpcClient client(std::move(sockets->first), -1);
  EXPECT_EQ(client.Call({}, kLong).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Rpc, AClosedServerIsSeenAtOnce) {
  auto sockets = MakeRpcSockets();
  ASSERT_TRUE(sockets.ok());
  RpcClient client(std::move(sockets->first), -1);
  sockets->second.reset();
  EXPECT_EQ(client.Call({}, kLong).status().code(), absl::StatusCode::kUnavailable);
}

// The process is dead, but somebody else still holds the socket open.
TEST(Rpc, ADeadServerIsSeenByItsPidfd) {
  auto sockets = MakeRpcSockets();
  ASSERT_TRUE(sockets.ok());
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  ScopedFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  ASSERT_TRUE(pidfd.valid());
  RpcClient client(std::move(sockets->first), pidfd.get());
  EXPECT_EQ(client.Call({}, absl::Milliseconds(1)).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  EXPECT_EQ(client.Call({}, kLong).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace ghost
