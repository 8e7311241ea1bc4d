// fdsrv: gives its standard input's file descriptor to the one process that knows a secret word (shared/fd_server.h).
//
//     fdsrv NONCE < file        prints "@path NONCE", the arguments of fdcat
#include <fcntl.h>
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

ABSL_FLAG(absl::Duration, timeout, ghost::FdServer::kTimeout, "How long to wait for somebody who wants it; inf: ever.");

namespace ghost {
namespace {

constexpr char kName[] = "fdsrv";

absl::Status Main(const CommandLine& line) {
  if (line.arguments.size() != 1) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("takes one argument, not ", line.arguments.size())),
                    "fdsrv NONCE < FILE; the nonce is a secret word of yours");
  }
  if (absl::GetFlag(FLAGS_timeout) < absl::ZeroDuration()) {
    return WithHint(absl::InvalidArgumentError("--timeout must not be negative"), "as 500ms, 1m or inf");
  }
  ScopedFd fd(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) {
    return WithHint(ErrnoStatus(errno, "cannot share standard input"), "fdsrv NONCE < FILE");
  }
  const std::string& nonce = line.arguments[0];
  FdServer server(std::move(fd), nonce, absl::GetFlag(FLAGS_timeout));
  const absl::StatusOr<std::string> path = server.Init();
  if (!path.ok()) return WithHint(path.status(), "the nonce is a secret word that both sides are told");
  printf("%s %s\n", path->c_str(), nonce.c_str());
  fflush(stdout);
  const absl::Status status = server.Serve();
  if (!absl::IsDeadlineExceeded(status)) return status;
  return WithHint(status, "run 'fdcat PATH NONCE' meanwhile; --timeout gives it longer");
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "gives its standard input's file descriptor to the one process that knows a secret word",
       .arguments = "NONCE",
       .examples = {"fdsrv secret < FILE", "fdsrv --timeout 1m secret < FILE   # prints what fdcat is called with"}},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::Status status = ghost::Main(line);
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
