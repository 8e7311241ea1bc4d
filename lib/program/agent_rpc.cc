#include "lib/program/agent_rpc.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// The head of each packet; `size` bytes of buffer follow.
struct PacketHeader {
  uint64_t id;
  int64_t code;
  int64_t arg0;
  int64_t arg1;
  uint32_t size;
  uint32_t unused;
};

constexpr size_t kMaxPacket = sizeof(PacketHeader) + RpcBuffer::kCapacity;

struct Packet {
  PacketHeader header;
  RpcBuffer buffer;
};

ssize_t Send(int socket, PacketHeader header, const RpcBuffer& buffer, int flags) {
  header.size = static_cast<uint32_t>(buffer.bytes().size());
  std::string packet(reinterpret_cast<const char*>(&header), sizeof(header));
  packet.append(buffer.bytes().data(), buffer.bytes().size());
  ssize_t sent;
  do {
    sent = send(socket, packet.data(), packet.size(), MSG_NOSIGNAL | flags);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

enum class Received { kPacket, kMalformed, kNothing, kClosed };

Received Receive(int socket, int flags, Packet* packet) {
  // One byte more than a packet can have, so that a longer one shows.
  auto bytes = std::make_unique<std::array<char, kMaxPacket + 1>>();
  ssize_t size;
  do {
    size = recv(socket, bytes->data(), bytes->size(), flags);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Received::kNothing;
  if (size <= 0) return Received::kClosed;
  packet->header = {};
  memcpy(&packet->header, bytes->data(), std::min(static_cast<size_t>(size), sizeof(PacketHeader)));
  if (static_cast<size_t>(size) < sizeof(PacketHeader)) return Received::kMalformed;
  if (static_cast<size_t>(size) > kMaxPacket) return Received::kMalformed;
  if (packet->header.size != static_cast<size_t>(size) - sizeof(PacketHeader)) return Received::kMalformed;
  packet->buffer = RpcBuffer::FromBytes(absl::string_view(bytes->data() + sizeof(PacketHeader), packet->header.size));
  return Received::kPacket;
}

}  // namespace

absl::Status RpcBuffer::AppendItem(const void* data, size_t size) {
  const uint32_t length = static_cast<uint32_t>(size);
  if (size > kCapacity || bytes_.size() + sizeof(length) + size > kCapacity) {
    return absl::ResourceExhaustedError(absl::StrCat(size, " bytes do not fit into the RPC buffer of ", kCapacity));
  }
  bytes_.append(reinterpret_cast<const char*>(&length), sizeof(length));
  if (size > 0) bytes_.append(static_cast<const char*>(data), size);
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> RpcBuffer::NextItem(size_t exact, size_t unit) {
  uint32_t length;
  const size_t left = bytes_.size() - read_;
  if (left < sizeof(length)) return absl::InvalidArgumentError("nothing is left in the RPC buffer");
  memcpy(&length, bytes_.data() + read_, sizeof(length));
  if (length > left - sizeof(length)) return absl::InvalidArgumentError("an item of the RPC buffer is cut short");
  if (exact != 0 ? length != exact : length % unit != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the next item of the RPC buffer has ", length, " bytes, not ",
                                                   exact != 0 ? "" : "n times ", unit));
  }
  const size_t start = read_ + sizeof(length);
  read_ = start + length;
  return absl::string_view(bytes_).substr(start, length);
}

RpcBuffer RpcBuffer::FromBytes(absl::string_view bytes) {
  RpcBuffer buffer;
  buffer.bytes_ = std::string(bytes.substr(0, kCapacity));
  return buffer;
}

absl::StatusOr<std::string> RpcBuffer::DeserializeString() {
  absl::StatusOr<absl::string_view> item = NextItem(0, 1);
  if (!item.ok()) return item.status();
  return std::string(*item);
}

absl::Status RpcBuffer::SerializeStatus(const absl::Status& status) {
  std::vector<std::pair<std::string, std::string>> payloads;
  status.ForEachPayload([&payloads](absl::string_view url, const absl::Cord& value) {
    payloads.emplace_back(std::string(url), std::string(value));
  });
  GHOST_RETURN_IF_ERROR(Serialize(static_cast<int32_t>(status.code())));
  GHOST_RETURN_IF_ERROR(SerializeString(status.message()));
  GHOST_RETURN_IF_ERROR(Serialize(static_cast<uint32_t>(payloads.size())));
  for (const auto& [url, value] : payloads) {
    GHOST_RETURN_IF_ERROR(SerializeString(url));
    GHOST_RETURN_IF_ERROR(SerializeString(value));
  }
  return absl::OkStatus();
}

RpcBuffer RpcBuffer::OfStatus(const absl::Status& status) {
  constexpr size_t kCutTo = 1024;
  RpcBuffer buffer;
  if (buffer.SerializeStatus(status).ok()) return buffer;
  buffer = RpcBuffer();
  (void)buffer.SerializeStatus(absl::Status(status.code(), status.message().substr(0, kCutTo)));
  return buffer;
}

absl::Status RpcBuffer::DeserializeStatus(absl::Status* status) {
  GHOST_ASSIGN_OR_RETURN(const int32_t code, Deserialize<int32_t>());
  if (code < 0 || code > static_cast<int32_t>(absl::StatusCode::kUnauthenticated)) {
    return absl::InvalidArgumentError(absl::StrCat("the RPC buffer has a status of the unknown code ", code));
  }
  GHOST_ASSIGN_OR_RETURN(const std::string message, DeserializeString());
  GHOST_ASSIGN_OR_RETURN(const uint32_t payloads, Deserialize<uint32_t>());
  absl::Status result(static_cast<absl::StatusCode>(code), message);
  for (uint32_t i = 0; i < payloads; ++i) {
    GHOST_ASSIGN_OR_RETURN(const std::string url, DeserializeString());
    GHOST_ASSIGN_OR_RETURN(const std::string value, DeserializeString());
    result.SetPayload(url, absl::Cord(value));
  }
  *status = result;
  return absl::OkStatus();
}

absl::StatusOr<std::pair<ScopedFd, ScopedFd>> MakeRpcSockets() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return ErrnoStatus(errno, "socketpair");
  return std::make_pair(ScopedFd(fds[0]), ScopedFd(fds[1]));
}

// Until the socket has `events`; an error if the deadline passes or the server dies first.
absl::Status RpcClient::WaitReady(short events, Time deadline) {
  for (;;) {
    pollfd fds[2] = {{.fd = socket_.get(), .events = events, .revents = 0},
                     {.fd = server_, .events = POLLIN, .revents = 0}};
    const timespec timeout = absl::ToTimespec(std::max(absl::ZeroDuration(), deadline - Time::Now()));
    const int ready = ppoll(fds, 2, &timeout, nullptr);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    // What it still said before it died is read first.
    if (ready > 0 && (fds[0].revents & events) != 0) return absl::OkStatus();
    if (ready > 0) return absl::UnavailableError("the agent process is dead");
    if (Time::Now() >= deadline) return absl::DeadlineExceededError("the agent process gave no answer in time");
  }
}

absl::StatusOr<RpcResponse> RpcClient::Call(const RpcRequest& request, absl::Duration timeout) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Time deadline = Time::Now() + std::min(timeout, absl::Hours(24));
  const PacketHeader header = {
      .id = ++last_id_, .code = request.code, .arg0 = request.arg0, .arg1 = request.arg1, .size = 0, .unused = 0};
  while (Send(socket_.get(), header, request.buffer, MSG_DONTWAIT) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) return absl::UnavailableError("the agent process is dead");
    if (errno != EAGAIN && errno != EWOULDBLOCK) return ErrnoStatus(errno, "sending a request to the agent process");
    GHOST_RETURN_IF_ERROR(WaitReady(POLLOUT, deadline));
  }
  for (;;) {
    GHOST_RETURN_IF_ERROR(WaitReady(POLLIN, deadline));
    Packet packet;
    switch (Receive(socket_.get(), MSG_DONTWAIT, &packet)) {
      case Received::kPacket:
        if (packet.header.id != last_id_) continue;  // the answer of a call that gave up
        return RpcResponse{.code = packet.header.code, .buffer = std::move(packet.buffer)};
      case Received::kMalformed:
        return absl::DataLossError("the agent process sent a malformed answer");
      case Received::kNothing:
        continue;
      case Received::kClosed:
        return absl::UnavailableError("the agent process is dead");
    }
  }
}

bool AnswerRpc(int socket, const RpcHandler& handler) {
  Packet packet;
  RpcResponse response;
  switch (Receive(socket, 0, &packet)) {
    case Received::kPacket: {
      RpcRequest request = {.code = packet.header.code,
                            .arg0 = packet.header.arg0,
                            .arg1 = packet.header.arg1,
                            .buffer = std::move(packet.buffer)};
      response = handler(request);
      break;
    }
    case Received::kMalformed:
      response.code = -EINVAL;
      break;
    case Received::kNothing:
      return true;
    case Received::kClosed:
      return false;
  }
  const PacketHeader header = {
      .id = packet.header.id, .code = response.code, .arg0 = 0, .arg1 = 0, .size = 0, .unused = 0};
  return Send(socket, header, response.buffer, MSG_DONTWAIT) >= 0 || errno == EAGAIN || errno == EWOULDBLOCK;
}

void ServeRpc(int socket, const RpcHandler& handler) {
  while (AnswerRpc(socket, handler)) continue;
}

}  // namespace ghost
