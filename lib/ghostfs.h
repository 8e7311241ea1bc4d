// The port over ghostfs files: a real ghost kernel, or ghostd.
//
//     GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
//
// Where it looks, in this order: `path` (a program's --ghostfs), $GHOSTFS, /sys/fs/ghost (which it mounts, if the
// running kernel is a ghost kernel whose file system nobody has mounted yet), then where ghostd mounts by default.
// statfs(2) says which of the two kernels it is; kernel/usermode/core/dialect.h is the list of what differs.
//
// No ghostfs, or no ABI that both sides know: a Status with ExitCode::kNoKernel and a hint.
//
// Threads: as lib/kernel.h says.
#ifndef GHOST_LIB_GHOSTFS_H_
#define GHOST_LIB_GHOSTFS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/kernel.h"

namespace ghost {

inline constexpr char kGhostfsMount[] = "/sys/fs/ghost";

absl::StatusOr<std::unique_ptr<Kernel>> OpenGhostfs(absl::string_view path = "");

// ghostd's default mount for the calling user: /run/ghost, or $XDG_RUNTIME_DIR/ghost when not root.
std::string DefaultGhostdMount();

// The one among the places above that has a ghostfs now; NotFound with hint and exit code otherwise. For programs that
// only read files (GhostThread, ghostctl doctor) and want no version negotiation.
absl::StatusOr<std::string> FindGhostfs(absl::string_view path = "");

}  // namespace ghost

#endif  // GHOST_LIB_GHOSTFS_H_
