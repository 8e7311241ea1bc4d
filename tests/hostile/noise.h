// Numbers for attackers.
#ifndef GHOST_TESTS_HOSTILE_NOISE_H_
#define GHOST_TESTS_HOSTILE_NOISE_H_

#include <cstdint>

namespace ghost::hostile {

// A sequence that looks random and is the same every time.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

 private:
  uint64_t state_;
};

}  // namespace ghost::hostile

#endif  // GHOST_TESTS_HOSTILE_NOISE_H_
