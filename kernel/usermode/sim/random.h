// Random numbers that are the same everywhere: the standard library's distributions are not. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_RANDOM_H_
#define GHOST_KERNEL_USERMODE_SIM_RANDOM_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ghost::sim {

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA'14).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // A generator whose numbers have nothing to do with this one's.
  Random Split() { return Random(Next()); }
  // 0..bound-1; bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // [0, 1)
  double Real() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  bool Chance(double p) { return Real() < p; }
  // At least 0, and at most 100 means.
  int64_t Exponential(int64_t mean) {
    return static_cast<int64_t>(std::min(-std::log(1.0 - Real()), 100.0) * static_cast<double>(mean));
  }

 private:
  uint64_t state_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_RANDOM_H_
