// A kernel with real threads: a mounted ghostfs, a ghost kernel's or a ghostd's (started here, or somebody else's).
//
// Actors are threads of child processes. One thread; the process must have no other while a RealWorld is used, since it
// forks.
#ifndef GHOST_TESTS_CONFORMANCE_REAL_WORLD_H_
#define GHOST_TESTS_CONFORMANCE_REAL_WORLD_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/conformance/world.h"

namespace ghost::conformance {

// The ghostfs that is mounted at `root`.
absl::StatusOr<std::unique_ptr<World>> OpenRealWorld(const std::string& root, uint32_t abi);

// A ghostd (the program `path`) that offers ABI `abi` alone, at a mount of its own; started again should it end.
absl::StatusOr<std::unique_ptr<World>> StartGhostd(const std::string& path, uint32_t abi);

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_REAL_WORLD_H_
