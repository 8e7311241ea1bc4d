// Packets of any bytes to an agent process's RPC server, and to its client, and what reads their buffers.
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/logging.h"
#include "lib/program/agent_rpc.h"
#include "tests/fuzz/fuzz_input.h"

namespace ghost {
namespace {

struct Record {
  uint64_t a;
  uint32_t b;
};

// Reads items as the input says, until one is refused.
void ReadBuffer(fuzz::FuzzInput& input, RpcBuffer& buffer) {
  for (bool ok = true; ok && !input.empty();) {
    switch (input.Below(5)) {
      case 0:
        ok = buffer.Deserialize<uint64_t>().ok();
        break;
      case 1:
        ok = buffer.Deserialize<Record>().ok();
        break;
      case 2:
        ok = buffer.DeserializeVector<Record>().ok();
        break;
      case 3: {
        const absl::StatusOr<std::string> text = buffer.DeserializeString();
        ok = text.ok();
        GHOST_CHECK(!ok || text->size() <= RpcBuffer::kCapacity);
        break;
      }
      default: {
        absl::Status status;
        ok = buffer.DeserializeStatus(&status).ok();
        RpcBuffer again;
        absl::Status copy;
        if (!ok || !again.SerializeStatus(status).ok()) break;
        GHOST_CHECK(again.DeserializeStatus(&copy).ok() && copy == status) << status.ToString();
      }
    }
  }
}

// A packet that is nearly right, or none at all: a header of 40 bytes, then what its last field says.
std::string NextPacket(fuzz::FuzzInput& input) {
  std::string body = input.Text(255);
  if (input.Below(8) == 0) return body;
  const uint64_t head[4] = {input.Below(4), input.Below(256), input.Below(256), 0};
  const uint32_t tail[2] = {input.Below(16) == 0 ? input.Value<uint32_t>() : static_cast<uint32_t>(body.size()), 0};
  return std::string(reinterpret_cast<const char*>(head), sizeof(head)) +
         std::string(reinterpret_cast<const char*>(tail), sizeof(tail)) + body;
}

void Send(const ScopedFd& socket, const std::string& packet) {
  if (send(socket.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) GHOST_CHECK(errno == EAGAIN);
}

void Serve(fuzz::FuzzInput& input) {
  auto sockets = MakeRpcSockets();
  GHOST_CHECK(sockets.ok());
  const size_t packets = 1 + input.Below(4);
  for (size_t i = 0; i < packets; ++i) Send(sockets->first, NextPacket(input));
  shutdown(sockets->first.get(), SHUT_WR);
  ServeRpc(sockets->second.get(), [&input](RpcRequest& request) {
    ReadBuffer(input, request.buffer);
    RpcResponse response{.code = request.code};
    static_cast<void>(response.buffer.SerializeString(request.buffer.bytes()));
    return response;
  });
}

void Call(fuzz::FuzzInput& input) {
  auto sockets = MakeRpcSockets();
  GHOST_CHECK(sockets.ok());
  const size_t packets = 1 + input.Below(3);
  for (size_t i = 0; i < packets; ++i) Send(sockets->second, NextPacket(input));
  shutdown(sockets->second.get(), SHUT_WR);  // then the server is dead
  RpcClient client(std::move(sockets->first), /*server=*/-1);
  absl::StatusOr<RpcResponse> response = client.Call({.code = 1}, absl::Seconds(60));
  if (response.ok()) ReadBuffer(input, response->buffer);
  GHOST_CHECK(response.status().code() != absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace ghost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ghost::fuzz::FuzzInput input(data, size);
  switch (input.Below(3)) {
    case 0:
      ghost::Serve(input);
      break;
    case 1:
      ghost::Call(input);
      break;
    default: {
      ghost::RpcBuffer buffer = ghost::RpcBuffer::FromBytes(input.Text(65535));
      ghost::ReadBuffer(input, buffer);
    }
  }
  return 0;
}
