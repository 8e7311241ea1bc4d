// The flags that every program with the framework has: where the kernel is, and what older scripts pass.
//
// Linking this library defines them. Only programs (mains, tests of programs) may include it; libraries are given
// values.
#ifndef GHOST_LIB_GHOST_FLAGS_H_
#define GHOST_LIB_GHOST_FLAGS_H_

#include <string>

#include "absl/flags/declare.h"

ABSL_DECLARE_FLAG(std::string, ghostfs);
ABSL_DECLARE_FLAG(std::string, enclave);
ABSL_DECLARE_FLAG(int, verbose);
ABSL_DECLARE_FLAG(bool, ghost_version);
ABSL_DECLARE_FLAG(std::string, ghost_procfs_prefix);
ABSL_DECLARE_FLAG(bool, emit_fork_warnings);

#endif  // GHOST_LIB_GHOST_FLAGS_H_
