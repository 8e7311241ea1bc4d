// FdServer: hands a file descriptor to another process that knows a secret word (the nonce).
//
//     FdServer server(fd, "secret");                     absl::StatusOr<ScopedFd> fd =
//     GHOST_ASSIGN_OR_RETURN(path, server.Init());           FdServer::GetSharedFd(path, "secret");
//     absl::Status status = server.Serve();
//
// The two meet at an abstract Unix socket, whose name the kernel picks: no file is left behind, and anyone in the same
// network namespace may connect. So no client is trusted: several are served at once, each may say one word, and one
// that says nothing or the wrong word keeps no other from getting the descriptor. The server is done when one client
// has got it, or at its deadline.
//
// Threads: one object, one thread; AsyncFdServer has a thread of its own.
#ifndef GHOST_SHARED_FD_SERVER_H_
#define GHOST_SHARED_FD_SERVER_H_

#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/file.h"
#include "lib/base/notification.h"
#include "lib/base/time.h"

namespace ghost {

class FdServer {
 public:
  static constexpr absl::Duration kTimeout = absl::Seconds(1);
  static constexpr size_t kMaxNonce = 255;  // bytes
  static constexpr int kMaxClients = 16;    // that are connected and have not said their word; the oldest makes room

  // Takes over `fd`. The timeout runs from Init.
  FdServer(ScopedFd fd, absl::string_view nonce, absl::Duration timeout = kTimeout);

  // Opens the socket; returns its path: "@" and the name. InvalidArgument: an empty or too long nonce, or no
  // descriptor.
  absl::StatusOr<std::string> Init();
  // Waits until a client has got the descriptor. DeadlineExceeded: none has. Once, after Init.
  absl::Status Serve();

  // The client's side. `path` as Init returned it (with or without the "@"). PermissionDenied: the nonce is another;
  // InvalidArgument: it is empty; Unavailable: nobody serves there, or no longer; DeadlineExceeded.
  static absl::StatusOr<ScopedFd> GetSharedFd(absl::string_view path, absl::string_view nonce,
                                              absl::Duration timeout = kTimeout);

 private:
  ScopedFd fd_;
  const std::string nonce_;
  const absl::Duration timeout_;
  ScopedFd socket_;
  Time deadline_;
};

// The same with a thread of its own, which ends with the object.
class AsyncFdServer {
 public:
  AsyncFdServer(ScopedFd fd, absl::string_view nonce, absl::Duration timeout = FdServer::kTimeout)
      : server_(std::move(fd), nonce, timeout) {}
  ~AsyncFdServer();  // waits until the server is done
  AsyncFdServer(const AsyncFdServer&) = delete;
  AsyncFdServer& operator=(const AsyncFdServer&) = delete;

  // As FdServer's; serves from now on.
  absl::StatusOr<std::string> Init();
  // What came of it; DeadlineExceeded: nothing yet after `timeout`, or nothing at all. After Init.
  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration());

 private:
  FdServer server_;
  absl::Status result_;  // once done_
  Notification done_;
  std::thread thread_;
};

}  // namespace ghost

#endif  // GHOST_SHARED_FD_SERVER_H_
