// Requests from one of our processes to another over a packet socket: an agent program's parent asks its child, and
// ghostctl asks an agent (lib/program/control_socket.h).
//
// A request is {code, two numbers, a buffer of at most 32 KiB}, a response {code, buffer}. One request is in flight at
// a time. The other side is not trusted: each packet is bounds-checked, and a wrong one is an error, never a CHECK. A
// call never hangs: it ends with the response, the timeout, or the other process's death. Not for hot paths (it
// allocates).
//
// RpcClient is thread-safe. ServeRpc and AnswerRpc run in one thread of the server.
//
//     RpcRequest request{.code = kCountAllTasks};
//     GHOST_ASSIGN_OR_RETURN(RpcResponse response, client.Call(request, absl::Seconds(5)));
#ifndef GHOST_LIB_AGENT_RPC_H_
#define GHOST_LIB_AGENT_RPC_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/file.h"
#include "lib/base/time.h"

namespace ghost {

// Values in a row of bytes, read back in the order in which they were written. Every read is checked: the type's size
// must match and the bytes be there.
class RpcBuffer {
 public:
  static constexpr size_t kCapacity = 32 * 1024;

  // ResourceExhausted if it would exceed kCapacity; the buffer is unchanged then.
  template <typename T>
  absl::Status Serialize(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return AppendItem(&value, sizeof(T));
  }
  template <typename T>
  absl::Status SerializeVector(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    return AppendItem(values.data(), values.size() * sizeof(T));
  }
  absl::Status SerializeString(absl::string_view text) { return AppendItem(text.data(), text.size()); }
  // The whole of a Status: code, message, hint, exit code.
  absl::Status SerializeStatus(const absl::Status& status);
  // A buffer that has only this. What is too long for one is cut, not lost.
  static RpcBuffer OfStatus(const absl::Status& status);

  // InvalidArgument if the next item has another size or there is none.
  template <typename T>
  absl::StatusOr<T> Deserialize() {
    static_assert(std::is_trivially_copyable_v<T>);
    absl::StatusOr<absl::string_view> item = NextItem(sizeof(T), sizeof(T));
    if (!item.ok()) return item.status();
    T value;
    memcpy(&value, item->data(), sizeof(T));
    return value;
  }
  template <typename T>
  absl::StatusOr<std::vector<T>> DeserializeVector() {
    static_assert(std::is_trivially_copyable_v<T>);
    absl::StatusOr<absl::string_view> item = NextItem(0, sizeof(T));
    if (!item.ok()) return item.status();
    std::vector<T> values(item->size() / sizeof(T));
    if (!values.empty()) memcpy(values.data(), item->data(), item->size());
    return values;
  }
  absl::StatusOr<std::string> DeserializeString();
  // Reads a Status into *status. The result says whether that worked.
  absl::Status DeserializeStatus(absl::Status* status);

  absl::string_view bytes() const { return bytes_; }
  // A buffer received from the other side; at most kCapacity bytes are taken.
  static RpcBuffer FromBytes(absl::string_view bytes);

 private:
  absl::Status AppendItem(const void* data, size_t size);
  // The next item's bytes. `exact` 0: any size that is a multiple of `unit`.
  absl::StatusOr<absl::string_view> NextItem(size_t exact, size_t unit);

  std::string bytes_;
  size_t read_ = 0;
};

struct RpcRequest {
  int64_t code = 0;
  int64_t arg0 = 0;
  int64_t arg1 = 0;
  RpcBuffer buffer = {};
};

struct RpcResponse {
  int64_t code = -1;
  RpcBuffer buffer = {};
};

// A connected pair of packet sockets: {client's end, server's end}.
absl::StatusOr<std::pair<ScopedFd, ScopedFd>> MakeRpcSockets();

class RpcClient {
 public:
  // `server` is the server process's pidfd, which must outlive the client, or -1 if there is none to watch.
  RpcClient(ScopedFd socket, int server) : socket_(std::move(socket)), server_(server) {}

  // DeadlineExceeded: no answer in time (a late one is dropped; a timeout is a day at most). Unavailable: the other
  // process is dead.
  absl::StatusOr<RpcResponse> Call(const RpcRequest& request, absl::Duration timeout);

 private:
  absl::Status WaitReady(short events, Time deadline);

  std::mutex mutex_;
  ScopedFd socket_;
  const int server_;
  uint64_t last_id_ = 0;
};

using RpcHandler = std::function<RpcResponse(RpcRequest&)>;

// Waits for one request and answers it; false: the client's end is closed. A packet that is not a request gets the
// response code -EINVAL. An answer that the client leaves no room for (it does not read) is dropped.
bool AnswerRpc(int socket, const RpcHandler& handler);
// Answers requests until the client's end is closed.
void ServeRpc(int socket, const RpcHandler& handler);

}  // namespace ghost

#endif  // GHOST_LIB_AGENT_RPC_H_
