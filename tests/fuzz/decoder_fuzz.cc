// The decoder of messages on any bytes, at every ABI: what it takes, the encoder must give back.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "kernel/abi/abi_version.h"
#include "kernel/abi/message.h"
#include "lib/base/logging.h"
#include "tests/fuzz/fuzz_input.h"

namespace ghost {
namespace {

void Decode(const AbiVersion& abi, std::span<const std::byte> bytes) {
  Message message;
  message.seqnum = 77;
  if (DecodeMessage(abi, bytes, &message) != DecodeError::kOk) {
    GHOST_CHECK(message.seqnum == 77 && message.type == MSG_NOP) << "changed on an error";
    return;
  }
  GHOST_CHECK(!ToString(message).empty());
  if (message.type == MSG_NOP) return;
  GHOST_CHECK(TypeOf(message.payload) == message.type);
  std::array<std::byte, kMaxMessageBytes> wire;
  const size_t length = EncodeMessage(abi, message, wire);
  GHOST_CHECK(length > 0 && length <= wire.size()) << "abi " << abi.number << " type " << message.type;
  Message again;
  GHOST_CHECK(DecodeMessage(abi, std::span(wire).first(length), &again) == DecodeError::kOk);
  std::array<std::byte, kMaxMessageBytes> wire_again;
  GHOST_CHECK(EncodeMessage(abi, again, wire_again) == length);
  GHOST_CHECK(std::memcmp(wire.data(), wire_again.data(), length) == 0) << ToString(message);
  GHOST_CHECK(ToString(again) == ToString(message)) << ToString(message);
}

}  // namespace
}  // namespace ghost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // An odd address, on a heap of its own: a read beyond it shows.
  const auto copy = std::make_unique<std::byte[]>(size + 1);
  if (size > 0) std::memcpy(copy.get() + 1, data, size);
  for (uint32_t number = 0; number < 256; ++number) {
    const ghost::AbiVersion* abi = ghost::FindAbi(number);
    if (abi != nullptr) ghost::Decode(*abi, {copy.get() + 1, size});
  }
  return 0;
}
