// Where the bits of a word are that is not 0. For a schedule pass: std::countr_zero and std::countl_zero know what to
// say of 0, too, and ask each time, as we compile for CPUs of no particular kind.
//
// Thread-safe: pure functions.
#ifndef GHOST_LIB_BASE_BITS_H_
#define GHOST_LIB_BASE_BITS_H_

#include <cstdint>

namespace ghost {

constexpr int LowestBit(uint64_t word) { return __builtin_ctzll(word); }
constexpr int HighestBit(uint64_t word) { return 63 - __builtin_clzll(word); }

}  // namespace ghost

#endif  // GHOST_LIB_BASE_BITS_H_
