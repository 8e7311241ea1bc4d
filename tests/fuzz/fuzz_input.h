// A fuzzer's bytes, taken apart: each target reads from them what to do next, so that one input is a whole story.
//
// What it is not: random. When the bytes are used up every read gives zero, and a target should stop (empty()).
#ifndef GHOST_TESTS_FUZZ_FUZZ_INPUT_H_
#define GHOST_TESTS_FUZZ_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

namespace ghost::fuzz {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : left_(data, size) {}

  bool empty() const { return left_.empty(); }

  template <typename T>
  T Value() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value = {};
    Copy(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  // Below `limit`; 0 stands for 2^32. One byte where that is enough.
  uint32_t Below(uint32_t limit) {
    if (limit == 0) return Value<uint32_t>();
    return (limit <= 256 ? Value<uint8_t>() : Value<uint32_t>()) % limit;
  }
  template <typename T, size_t kSize>
  const T& Pick(const T (&choices)[kSize]) {
    return choices[Below(kSize)];
  }
  // A text of a length that the input says, at most `max` (up to 65535).
  std::string Text(size_t max) {
    const size_t wanted = max <= 255 ? Value<uint8_t>() : Value<uint16_t>();
    std::string text(std::min({wanted, max, left_.size()}), '\0');
    Copy(std::as_writable_bytes(std::span(text)));
    return text;
  }
  // All that is left.
  std::string Rest() { return std::string(reinterpret_cast<const char*>(left_.data()), left_.size()); }
  // Fills `out`; with zeros once the input is used up.
  void Copy(std::span<std::byte> out) {
    const size_t size = std::min(out.size(), left_.size());
    if (size > 0) std::memcpy(out.data(), left_.data(), size);
    std::fill(out.begin() + static_cast<ptrdiff_t>(size), out.end(), std::byte{0});
    left_ = left_.subspan(size);
  }

 private:
  std::span<const uint8_t> left_;
};

}  // namespace ghost::fuzz

#endif  // GHOST_TESTS_FUZZ_FUZZ_INPUT_H_
