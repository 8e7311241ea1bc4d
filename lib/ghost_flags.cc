#include "lib/ghost_flags.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, ghostfs, "",
          "Where the kernel's ghostfs is. Empty: $GHOSTFS, then /sys/fs/ghost, then where ghostd mounts.");
ABSL_FLAG(std::string, enclave, "", "The enclave to use: its directory, or its name in ghostfs such as enclave_1.");
ABSL_FLAG(int, verbose, 0, "How much to tell on stderr; an agent dumps its state each second from 1 on.");
ABSL_FLAG(bool, ghost_version, false, "Print the number of the newest ghost ABI that is understood to stderr and end.");
ABSL_FLAG(std::string, ghost_procfs_prefix, "", "Taken for older scripts, without effect: no procfs file is needed.");
ABSL_FLAG(bool, emit_fork_warnings, true, "Warn if the program forks while it has several threads.");
