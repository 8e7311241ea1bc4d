#include "lib/program/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// Connections that may be open at once, and those that may wait.
constexpr size_t kMaxClients = 16;
constexpr int kBacklog = 16;

absl::StatusOr<struct stat> StatDirectory(const std::string& directory) {
  struct stat attributes;
  if (stat(directory.c_str(), &attributes) != 0) return ErrnoStatus(errno, directory);
  return attributes;
}

// What the names of all sockets of this enclave's agents start with, without the NUL of abstract names.
std::string NamePrefix(const struct stat& directory) {
  return absl::StrCat("ghost-agent/", directory.st_dev, ":", directory.st_ino, "/");
}

// Returns the address's length; a name of ours always has room.
socklen_t MakeAddress(absl::string_view name, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  const size_t size = std::min(name.size(), sizeof(address->sun_path) - 1);
  std::copy_n(name.data(), size, address->sun_path + 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
}

// Nobody who leaves a connection waiting can hold us up.
absl::StatusOr<ScopedFd> MakeSocket() {
  ScopedFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

// Whose the process at the other end is; of a listening socket's: at the time of its listen().
std::optional<uid_t> PeerUser(int socket) {
  ucred peer;
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

// The connections of an agent's clients.
class Clients {
 public:
  explicit Clients(int listener) : listener_(listener) {}

  void AppendTo(std::vector<pollfd>* fds) const {
    fds->push_back({.fd = listener_, .events = POLLIN, .revents = 0});
    for (const ScopedFd& client : clients_) fds->push_back({.fd = client.get(), .events = POLLIN, .revents = 0});
  }
  // `fds`: what AppendTo appended, polled.
  void Serve(const pollfd* fds, const RpcHandler& handler) {
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (fds[i + 1].revents != 0 && !AnswerRpc(clients_[i].get(), handler)) clients_[i].reset();
    }
    std::erase_if(clients_, [](const ScopedFd& client) { return !client.valid(); });
    if (fds[0].revents != 0) Accept();
  }

 private:
  void Accept() {
    ScopedFd client(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.valid()) {
      // Without descriptors it would be tried for ever.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) listener_ = -1;
      return;
    }
    const std::optional<uid_t> user = PeerUser(client.get());
    if (!user.has_value() || (*user != 0 && *user != geteuid())) return;
    if (clients_.size() == kMaxClients) clients_.erase(clients_.begin());
    clients_.push_back(std::move(client));
  }

  int listener_;
  std::vector<ScopedFd> clients_;
};

// The names of listening sockets that start with `prefix`.
absl::StatusOr<std::vector<std::string>> ListNames(const std::string& prefix) {
  GHOST_ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/self/net/unix"));
  std::vector<std::string> names;
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    // "…: refcount protocol flags type state inode @name"; connections have the name of the socket that took them.
    constexpr absl::string_view kListens = " 00010000 0005 ";
    const size_t at = line.find(absl::StrCat(" @", prefix));
    if (at == absl::string_view::npos || !absl::StrContains(line.substr(0, at), kListens)) continue;
    names.emplace_back(line.substr(at + 2));
  }
  return names;
}

}  // namespace

absl::StatusOr<ScopedFd> ListenForControl(const std::string& directory) {
  GHOST_ASSIGN_OR_RETURN(const struct stat attributes, StatDirectory(directory));
  GHOST_ASSIGN_OR_RETURN(ScopedFd listener, MakeSocket());
  uint64_t random;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) return ErrnoStatus(errno, "getrandom");
  sockaddr_un address;
  const socklen_t size = MakeAddress(absl::StrCat(NamePrefix(attributes), absl::Hex(random)), &address);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return ErrnoStatus(errno, "bind");
  if (listen(listener.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen");
  return listener;
}

void ServeAgent(int parent, int listener, const RpcHandler& handler) {
  Clients clients(listener);
  std::vector<pollfd> fds;
  for (;;) {
    fds.assign(1, {.fd = parent, .events = POLLIN, .revents = 0});
    clients.AppendTo(&fds);
    if (poll(fds.data(), fds.size(), -1) < 0) continue;  // EINTR, or no memory just now
    if (fds[0].revents != 0 && !AnswerRpc(parent, handler)) return;
    clients.Serve(&fds[1], handler);
  }
}

absl::StatusOr<ScopedFd> ConnectToAgent(const std::string& directory) {
  GHOST_ASSIGN_OR_RETURN(const struct stat attributes, StatDirectory(directory));
  GHOST_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListNames(NamePrefix(attributes)));
  absl::Status status = absl::NotFoundError(absl::StrCat("no agent of ", directory, " listens"));
  for (const std::string& name : names) {
    GHOST_ASSIGN_OR_RETURN(ScopedFd connection, MakeSocket());
    sockaddr_un address;
    const socklen_t size = MakeAddress(name, &address);
    if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) continue;  // it has ended
    const std::optional<uid_t> user = PeerUser(connection.get());
    if (!user.has_value() || (*user != 0 && *user != geteuid() && *user != attributes.st_uid)) continue;
    if (geteuid() == 0 || geteuid() == *user) return connection;
    status = WithHint(absl::PermissionDeniedError(absl::StrCat("the agent of ", directory, " is user ", *user, "'s")),
                      "only that user and root may ask it");
  }
  return status;
}

}  // namespace ghost
