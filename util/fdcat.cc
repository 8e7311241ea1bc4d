// fdcat: gets a file descriptor from fdsrv (shared/fd_server.h) and copies what can be read from it to standard output.
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "shared/fd_server.h"

ABSL_FLAG(absl::Duration, timeout, ghost::FdServer::kTimeout, "How long the server may take to answer; inf: ever.");

namespace ghost {
namespace {

constexpr char kName[] = "fdcat";

absl::Status Copy(int from, int to) {
  char buffer[65536];
  for (;;) {
    const ssize_t size = read(from, buffer, sizeof(buffer));
    if (size == 0) return absl::OkStatus();
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, "cannot read what is shared");
    for (ssize_t done = 0; done < size;) {
      const ssize_t written = write(to, buffer + done, static_cast<size_t>(size - done));
      if (written < 0 && errno != EINTR) return ErrnoStatus(errno, "cannot write to standard output");
      if (written > 0) done += written;
    }
  }
}

absl::Status Main(const CommandLine& line) {
  if (line.arguments.size() != 2) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("takes two arguments, not ", line.arguments.size())),
                    "fdcat PATH NONCE, as fdsrv has printed them");
  }
  absl::StatusOr<ScopedFd> fd =
      FdServer::GetSharedFd(line.arguments[0], line.arguments[1], absl::GetFlag(FLAGS_timeout));
  if (!fd.ok()) return WithHint(fd.status(), "fdsrv serves once, for a while, and prints PATH and NONCE");
  return Copy(fd->get(), STDOUT_FILENO);
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line =
      ghost::ParseCommandLine({.name = ghost::kName,
                               .summary = "copies the file whose descriptor fdsrv gives away to standard output",
                               .arguments = "PATH NONCE",
                               .examples = {"fdcat @0a1b2 secret"}},
                              argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::Status status = ghost::Main(line);
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
