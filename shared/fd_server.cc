#include "shared/fd_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/fd_passing.h"
#include "lib/base/logging.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// A client sends one packet, the nonce; it gets one, a byte, and with kGranted the descriptor.
constexpr char kGranted = 'y';
constexpr char kRefused = 'n';

absl::Status CheckNonce(absl::string_view nonce) {
  if (!nonce.empty() && nonce.size() <= FdServer::kMaxNonce) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a nonce has 1 to ", FdServer::kMaxNonce, " bytes"));
}

// How long it takes says nothing about where they differ.
bool SameSecret(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference = difference | static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

// Up to `deadline`; EINTR is a timeout like any other, which callers look at the clock after.
int PollFor(std::vector<pollfd>& fds, Time deadline) {
  const int64_t left_ns = std::max<int64_t>(0, Time::NanosecondsBetween(Time::Now(), deadline));
  const timespec timeout = {.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000};
  return ppoll(fds.data(), fds.size(), deadline == Time::Infinite() ? nullptr : &timeout, nullptr);
}

// `answer` stays 0 if the server has hung up.
absl::Status ReceiveAnswer(int socket, char* answer, ScopedFd* fd) {
  const ssize_t size = ReceiveByteAndFd(socket, answer, fd, 0);
  if (size < 0 && errno == EAGAIN) return absl::DeadlineExceededError("the server does not answer");
  if (size < 0 && errno != ECONNRESET) return ErrnoStatus(errno, "cannot receive from the server");
  return absl::OkStatus();
}

// No call on the socket, connect neither, waits for longer.
absl::Status SetTimeout(int socket, absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return absl::OkStatus();
  // Zero would be for ever.
  const timeval time = absl::ToTimeval(std::max(timeout, absl::Microseconds(1)));
  if (setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) != 0 ||
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) != 0) {
    return ErrnoStatus(errno, "cannot set a timeout");
  }
  return absl::OkStatus();
}

}  // namespace

FdServer::FdServer(ScopedFd fd, absl::string_view nonce, absl::Duration timeout)
    : fd_(std::move(fd)), nonce_(nonce), timeout_(timeout) {}

absl::StatusOr<std::string> FdServer::Init() {
  GHOST_RETURN_IF_ERROR(CheckNonce(nonce_));
  if (!fd_.valid()) return absl::InvalidArgumentError("there is no file descriptor to be shared");
  ScopedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "cannot make a socket");
  sockaddr_un address = {.sun_family = AF_UNIX};
  // No name: the kernel picks an abstract one.
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address.sun_family)) != 0 ||
      listen(socket.get(), kMaxClients) != 0) {
    return ErrnoStatus(errno, "cannot listen at a socket");
  }
  socklen_t length = sizeof(address);
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus(errno, "cannot read a socket's name");
  }
  socket_ = std::move(socket);
  deadline_ = Time::Now() + timeout_;
  const size_t name_length = length - offsetof(sockaddr_un, sun_path) - 1;
  return absl::StrCat("@", absl::string_view(address.sun_path + 1, name_length));
}

absl::Status FdServer::Serve() {
  GHOST_CHECK(socket_.valid()) << "Serve comes once, after Init";
  const ScopedFd listener = std::move(socket_);
  std::vector<ScopedFd> clients;  // in the order in which they came
  for (;;) {
    std::vector<pollfd> fds = {{.fd = listener.get(), .events = POLLIN}};
    for (const ScopedFd& client : clients) fds.push_back({.fd = client.get(), .events = POLLIN});
    if (PollFor(fds, deadline_) < 0 && errno != EINTR) return ErrnoStatus(errno, "cannot wait for clients");
    // Words first: who has said the right one is not to make room for somebody who is silent.
    for (size_t i = 1; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      char word[kMaxNonce + 1];
      const ssize_t size = recv(fds[i].fd, word, sizeof(word), MSG_DONTWAIT);
      if (size > 0 && SameSecret({word, static_cast<size_t>(size)}, nonce_)) {
        if (SendByteAndFd(fds[i].fd, kGranted, fd_.get(), MSG_DONTWAIT)) return absl::OkStatus();
      } else if (size > 0) {
        SendByteAndFd(fds[i].fd, kRefused, -1, MSG_DONTWAIT);
      }
      clients[i - 1].reset();
    }
    std::erase_if(clients, [](const ScopedFd& client) { return !client.valid(); });
    if (Time::Now() >= deadline_) return absl::DeadlineExceededError("no client has asked for the file descriptor");
    ScopedFd client(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid()) continue;
    if (clients.size() == kMaxClients) clients.erase(clients.begin());
    clients.push_back(std::move(client));
  }
}

absl::StatusOr<ScopedFd> FdServer::GetSharedFd(absl::string_view path, absl::string_view nonce,
                                               absl::Duration timeout) {
  GHOST_RETURN_IF_ERROR(CheckNonce(nonce));
  absl::string_view name = path;
  absl::ConsumePrefix(&name, "@");
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (name.empty() || name.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is no abstract socket's path"));
  }
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  ScopedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "cannot make a socket");
  GHOST_RETURN_IF_ERROR(SetTimeout(socket.get(), timeout));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
    if (errno == EAGAIN) return absl::DeadlineExceededError(absl::StrCat("nobody answers at ", path));
    if (errno == ECONNREFUSED) return absl::UnavailableError(absl::StrCat("nobody serves at ", path));
    return ErrnoStatus(errno, absl::StrCat("cannot connect to ", path));
  }
  const std::string gone = absl::StrCat("the server at ", path, " has ended");
  if (send(socket.get(), nonce.data(), nonce.size(), MSG_NOSIGNAL) < 0) return absl::UnavailableError(gone);
  char answer = 0;
  ScopedFd fd;
  GHOST_RETURN_IF_ERROR(ReceiveAnswer(socket.get(), &answer, &fd));
  if (answer == kRefused) return absl::PermissionDeniedError("the server knows another nonce");
  if (answer != kGranted || !fd.valid()) return absl::UnavailableError(gone);
  return fd;
}

AsyncFdServer::~AsyncFdServer() {
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::string> AsyncFdServer::Init() {
  absl::StatusOr<std::string> path = server_.Init();
  if (!path.ok()) return path;
  thread_ = std::thread([this] {
    result_ = server_.Serve();
    done_.Notify();
  });
  return path;
}

absl::Status AsyncFdServer::Wait(absl::Duration timeout) {
  GHOST_CHECK(thread_.joinable()) << "Wait comes after Init";
  if (!done_.WaitUntil(Time::Now() + timeout)) return absl::DeadlineExceededError("no client has asked yet");
  return result_;
}

}  // namespace ghost
