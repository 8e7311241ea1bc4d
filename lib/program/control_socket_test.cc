#include "lib/program/control_socket.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr uid_t kNobody = 65534;

// Of this thread only: glibc's seteuid would change the server's, too.
void BecomeUser(uid_t user) { ASSERT_EQ(syscall(SYS_setresuid, -1, user, -1), 0); }

// What every server here does: the code comes back, with a full buffer.
RpcResponse Echo(RpcRequest& request) {
  RpcResponse response = {.code = request.code};
  EXPECT_TRUE(response.buffer.SerializeString(std::string(RpcBuffer::kCapacity - sizeof(uint32_t), 'e')).ok());
  return response;
}

// A process of its own that runs `body`, then waits to be killed. The constructor returns when `body` has.
class Process {
 public:
  explicit Process(absl::FunctionRef<void()> body) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    process_ = *ChildProcess::Fork([&] {
      body();
      EXPECT_EQ(write(ready[1], "r", 1), 1);
      pause();
      return 0;
    });
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1) << "the process died";
    close(ready[0]);
  }
  void Kill() {
    EXPECT_TRUE(SendSignal(process_->pidfd(), SIGKILL).ok());
    EXPECT_EQ(process_->Wait().signal, SIGKILL);
  }

 private:
  std::optional<ChildProcess> process_;
};

class ControlSocketTest : public ::testing::Test {
 protected:
  // Not in the test's own folder, where other users may not look.
  ControlSocketTest() {
    char path[] = "/tmp/control_socket_test.XXXXXX";
    directory_ = mkdtemp(path);
    std::filesystem::permissions(directory_, std::filesystem::perms::all);
  }
  ~ControlSocketTest() override {
    sockets_.first.reset();
    if (server_.joinable()) server_.join();
    std::filesystem::remove_all(directory_);
  }
  // A server in a thread of this process.
  void StartServer() {
    sockets_ = *MakeRpcSockets();
    absl::StatusOr<ScopedFd> listener = ListenForControl(directory_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    server_ = std::thread([this] { ServeAgent(sockets_.second.get(), listener_.get(), Echo); });
  }
  void ExpectAnswer(RpcClient& client) {
    absl::StatusOr<RpcResponse> response = client.Call({.code = 7}, kLong);
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->code, 7);
  }
  std::unique_ptr<RpcClient> Connect() {
    absl::StatusOr<ScopedFd> connection = ConnectToAgent(directory_);
    if (!connection.ok()) return nullptr;
    return std::make_unique<RpcClient>(*std::move(connection), -1);
  }

  std::string directory_;
  std::pair<ScopedFd, ScopedFd> sockets_;
  ScopedFd listener_;
  std::thread server_;
};

TEST_F(ControlSocketTest, AnswersItsParentAndOthers) {
  StartServer();
  RpcClient parent(ScopedFd(dup(sockets_.first.get())), -1);
  std::unique_ptr<RpcClient> a = Connect(), b = Connect();
  ASSERT_TRUE(a != nullptr && b != nullptr);
  for (int i = 0; i < 3; ++i) {
    ExpectAnswer(*a);
    ExpectAnswer(parent);
    ExpectAnswer(*b);
  }
  a.reset();
  ExpectAnswer(*b);
}

TEST_F(ControlSocketTest, NobodyListens) {
  EXPECT_EQ(ConnectToAgent(directory_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoOf(ConnectToAgent(directory_ + "/none").status()), ENOENT);
  EXPECT_EQ(ErrnoOf(ListenForControl(directory_ + "/none").status()), ENOENT);
}

TEST_F(ControlSocketTest, AnotherDirectoryIsAnotherAgent) {
  StartServer();
  const std::string other = directory_ + "/other";
  std::filesystem::create_directories(other);
  EXPECT_EQ(ConnectToAgent(other).status().code(), absl::StatusCode::kNotFound);
  // Another path to the same one.
  EXPECT_TRUE(ConnectToAgent(other + "/..").ok());
}

TEST_F(ControlSocketTest, AKilledAgentLeavesNothing) {
  Process agent([this] { ListenForControl(directory_)->release(); });
  EXPECT_TRUE(ConnectToAgent(directory_).ok());
  agent.Kill();
  EXPECT_EQ(ConnectToAgent(directory_).status().code(), absl::StatusCode::kNotFound);
  StartServer();
  std::unique_ptr<RpcClient> client = Connect();
  ASSERT_NE(client, nullptr);
  ExpectAnswer(*client);
}

TEST_F(ControlSocketTest, ANewAgentNeedNotWaitForTheOldOnesName) {
  absl::StatusOr<ScopedFd> old = ListenForControl(directory_);
  ASSERT_TRUE(old.ok());
  StartServer();
  old->reset();
  std::unique_ptr<RpcClient> client = Connect();
  ASSERT_NE(client, nullptr);
  ExpectAnswer(*client);
}

TEST_F(ControlSocketTest, AClientThatDoesNotReadHoldsUpNobody) {
  StartServer();
  absl::StatusOr<ScopedFd> rude = ConnectToAgent(directory_);
  ASSERT_TRUE(rude.ok());
  const std::string request(40, '\0');
  for (int i = 0; i < 100; ++i) {
    // Until its own requests wait, too; the server reads them on.
    ASSERT_TRUE(send(rude->get(), request.data(), request.size(), MSG_NOSIGNAL) > 0 || errno == EAGAIN);
  }
  std::unique_ptr<RpcClient> client = Connect();
  ASSERT_NE(client, nullptr);
  ExpectAnswer(*client);
}

TEST_F(ControlSocketTest, GarbageGetsEinvalAndTheAgentGoesOn) {
  StartServer();
  absl::StatusOr<ScopedFd> rude = ConnectToAgent(directory_);
  ASSERT_TRUE(rude.ok());
  ASSERT_EQ(send(rude->get(), "x", 1, 0), 1);
  pollfd entry = {.fd = rude->get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&entry, 1, 60'000), 1);
  int64_t answer[6];
  ASSERT_EQ(recv(rude->get(), answer, sizeof(answer), 0), 40);
  EXPECT_EQ(answer[1], -EINVAL);
  std::unique_ptr<RpcClient> client = Connect();
  ASSERT_NE(client, nullptr);
  ExpectAnswer(*client);
}

TEST_F(ControlSocketTest, OfTooManyTheFirstOnesGo) {
  StartServer();
  std::vector<std::unique_ptr<RpcClient>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(Connect());
    ASSERT_NE(clients.back(), nullptr);
    ExpectAnswer(*clients.back());
  }
  EXPECT_FALSE(clients.front()->Call({}, kLong).ok());
  ExpectAnswer(*clients.back());
}

TEST_F(ControlSocketTest, AnotherUsersAgent) {
  if (geteuid() != 0) GTEST_SKIP() << "this plays two users, which takes root";
  StartServer();
  BecomeUser(kNobody);
  const absl::Status refused = ConnectToAgent(directory_).status();
  BecomeUser(0);
  EXPECT_EQ(ExitCodeOf(refused), ExitCode::kPermission) << refused;
  EXPECT_NE(HintOf(refused), "");
}

// Somebody who does not ask whether he may.
TEST_F(ControlSocketTest, OtherUsersAreHungUp) {
  if (geteuid() != 0) GTEST_SKIP() << "this plays two users, which takes root";
  StartServer();
  absl::StatusOr<ScopedFd> connection = ConnectToAgent(directory_);
  ASSERT_TRUE(connection.ok());
  sockaddr_un address;
  socklen_t size = sizeof(address);
  ASSERT_EQ(getpeername(connection->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  BecomeUser(kNobody);
  ScopedFd other(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const int connected = connect(other.get(), reinterpret_cast<const sockaddr*>(&address), size);
  BecomeUser(0);
  ASSERT_EQ(connected, 0);
  RpcClient client(std::move(other), -1);
  EXPECT_EQ(client.Call({.code = 7}, kLong).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ControlSocketTest, AnImpostorIsNotBelieved) {
  if (geteuid() != 0) GTEST_SKIP() << "this plays two users, which takes root";
  Process impostor([this] {
    EXPECT_EQ(setresuid(kNobody, kNobody, kNobody), 0);
    ListenForControl(directory_)->release();
  });
  EXPECT_EQ(ConnectToAgent(directory_).status().code(), absl::StatusCode::kNotFound);
  // Where the directory is his, he is none.
  ASSERT_EQ(chown(directory_.c_str(), kNobody, kNobody), 0);
  EXPECT_TRUE(ConnectToAgent(directory_).ok());
  impostor.Kill();
}

}  // namespace
}  // namespace ghost
