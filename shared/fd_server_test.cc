#include "shared/fd_server.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

constexpr char kNonce[] = "some secret";
constexpr char kText[] = "what is shared";
constexpr absl::Duration kLong = absl::Seconds(60);

ScopedFd SharedFile() {
  ScopedFd fd(memfd_create("shared", MFD_CLOEXEC));
  EXPECT_EQ(write(fd.get(), kText, sizeof(kText)), static_cast<ssize_t>(sizeof(kText)));
  return fd;
}

std::string TextOf(const absl::StatusOr<ScopedFd>& fd) {
  EXPECT_TRUE(fd.ok()) << fd.status();
  char text[sizeof(kText)] = {};
  const ssize_t size = fd.ok() ? pread(fd->get(), text, sizeof(text), 0) : 0;
  return std::string(text, size == sizeof(text) ? strlen(text) : 0);
}

// A connection that says `word`, or nothing.
ScopedFd Connect(const std::string& path, const std::string& word = "") {
  ScopedFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX};
  std::memcpy(address.sun_path + 1, path.data() + 1, path.size() - 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0) << strerror(errno);
  if (!word.empty()) {
    EXPECT_EQ(send(fd.get(), word.data(), word.size(), MSG_NOSIGNAL), static_cast<ssize_t>(word.size()));
  }
  return fd;
}

// Serves in a thread of the test's; a client's errors are the test's to look at.
class FdServerTest : public testing::Test {
 protected:
  void Serve(const std::string& nonce, absl::Duration timeout = kLong) {
    server_.emplace(SharedFile(), nonce, timeout);
    absl::StatusOr<std::string> path = server_->Init();
    ASSERT_TRUE(path.ok()) << path.status();
    path_ = *path;
    EXPECT_EQ(path_[0], '@');
  }
  void ExpectSuccess() {
    EXPECT_EQ(TextOf(FdServer::GetSharedFd(path_, kNonce, kLong)), kText);
    EXPECT_TRUE(server_->Wait(kLong).ok());
  }
  void ExpectRefused(const std::string& nonce) {
    EXPECT_TRUE(absl::IsPermissionDenied(FdServer::GetSharedFd(path_, nonce, kLong).status())) << nonce;
  }

  std::optional<AsyncFdServer> server_;
  std::string path_;
};

TEST(FdServerSyncTest, SyncPassFd) {
  FdServer server(SharedFile(), kNonce, kLong);
  absl::StatusOr<std::string> path = server.Init();
  ASSERT_TRUE(path.ok()) << path.status();
  std::thread client([&] { EXPECT_EQ(TextOf(FdServer::GetSharedFd(*path, kNonce, kLong)), kText); });
  EXPECT_TRUE(server.Serve().ok());
  client.join();
}

TEST_F(FdServerTest, AsyncPassFd) {
  Serve(kNonce);
  ExpectSuccess();
  // It served one.
  EXPECT_TRUE(absl::IsUnavailable(FdServer::GetSharedFd(path_, kNonce, kLong).status()));
}

TEST_F(FdServerTest, ThePathMayLackItsFirstLetter) {
  Serve(kNonce);
  EXPECT_EQ(TextOf(FdServer::GetSharedFd(path_.substr(1), kNonce, kLong)), kText);
}

TEST_F(FdServerTest, BadNonce) {
  Serve(kNonce);
  for (const std::string nonce : {"some sacret", "x", "some secret\n"}) ExpectRefused(nonce);
  ExpectRefused(std::string(FdServer::kMaxNonce, 's'));
  ExpectSuccess();
}

TEST_F(FdServerTest, BadSubsetNonce) {
  Serve(kNonce);
  ExpectRefused("some secre");
  ExpectRefused("s");
  ExpectRefused(std::string(kNonce, sizeof(kNonce)));  // with its final zero
  ExpectSuccess();
}

TEST_F(FdServerTest, BadEmptyNonce) {
  Serve(kNonce);
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer::GetSharedFd(path_, "", kLong).status()));
  ExpectSuccess();
}

TEST(FdServerSyncTest, EmptyNonce) {
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer(SharedFile(), "").Init().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer(SharedFile(), std::string(256, 'x')).Init().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(AsyncFdServer(SharedFile(), "").Init().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer(ScopedFd(), kNonce).Init().status()));
}

TEST_F(FdServerTest, TimeoutDoesntFire) {
  Serve(kNonce, absl::InfiniteDuration());
  ExpectSuccess();
}

TEST_F(FdServerTest, TimeoutFires) {
  Serve(kNonce, absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(server_->Wait(kLong)));
  EXPECT_TRUE(absl::IsUnavailable(FdServer::GetSharedFd(path_, kNonce, kLong).status()));
}

TEST_F(FdServerTest, WaitTimeout) {
  Serve(kNonce);
  EXPECT_TRUE(absl::IsDeadlineExceeded(server_->Wait(absl::Milliseconds(1))));
  ExpectSuccess();
}

TEST_F(FdServerTest, SilentClientsKeepNobodyOut) {
  Serve(kNonce);
  std::vector<ScopedFd> silent;
  for (int i = 0; i < 3 * FdServer::kMaxClients; ++i) silent.push_back(Connect(path_));
  ExpectSuccess();
}

TEST_F(FdServerTest, SilentClientsDoNotKeepItFromItsEnd) {
  Serve(kNonce, absl::Milliseconds(50));
  const ScopedFd silent = Connect(path_);
  EXPECT_TRUE(absl::IsDeadlineExceeded(server_->Wait(kLong)));
}

TEST_F(FdServerTest, ClientsThatTalkTooMuchOrHangUp) {
  Serve(kNonce);
  const ScopedFd talker = Connect(path_, std::string(100'000, 'x'));
  Connect(path_);           // and gone
  Connect(path_, "wrong");  // does not wait for the answer
  ExpectSuccess();
}

TEST_F(FdServerTest, AClientDoesNotWaitForEver) {
  const ScopedFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX};
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address.sun_family)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  socklen_t length = sizeof(address);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string path = absl::StrCat("@", absl::string_view(address.sun_path + 1, 5));
  for (int i = 0; i < 4; ++i) {  // first unanswered, then not even accepted
    EXPECT_TRUE(absl::IsDeadlineExceeded(FdServer::GetSharedFd(path, kNonce, absl::Milliseconds(5)).status()));
  }
}

TEST(FdServerSyncTest, PathsThatAreNone) {
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer::GetSharedFd("", kNonce).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer::GetSharedFd("@", kNonce).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FdServer::GetSharedFd(std::string(200, 'x'), kNonce).status()));
  EXPECT_TRUE(absl::IsUnavailable(FdServer::GetSharedFd("@nobody-is-here", kNonce).status()));
}

}  // namespace
}  // namespace ghost
