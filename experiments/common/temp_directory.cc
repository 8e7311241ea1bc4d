#include "experiments/common/temp_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// The child: until nobody has the pipe's other end any more.
[[noreturn]] void RemoveAtTheEnd(int pipe, const std::string& path) {
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  // Others' pipes, standard output among them: who reads those waits for their end.
  dup2(pipe, STDIN_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, 0);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  if (chdir("/") != 0) _exit(1);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) continue;
  std::error_code error;
  std::filesystem::remove_all(path, error);
  _exit(error ? 1 : 0);
}

}  // namespace

absl::StatusOr<TempDirectory> TempDirectory::Make(absl::string_view name) {
  const char* const variable = getenv("TMPDIR");
  const std::string parent = variable == nullptr || *variable == '\0' ? "/tmp" : variable;
  std::error_code error;
  std::string path = absl::StrCat(std::filesystem::absolute(parent, error).string(), "/", name, ".XXXXXX");
  if (error || mkdtemp(path.data()) == nullptr) {
    return WithHint(
        ErrnoStatus(error ? error.value() : errno, absl::StrCat("making a temporary directory in ", parent)),
        "TMPDIR names another place");
  }
  int ends[2];
  const pid_t child = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
  if (child == 0) RemoveAtTheEnd(ends[0], path);
  if (child < 0) {
    const absl::Status status = ErrnoStatus(errno, absl::StrCat("starting who removes ", path));
    rmdir(path.c_str());
    return status;
  }
  close(ends[0]);
  return TempDirectory(std::move(path), child, ScopedFd(ends[1]));
}

TempDirectory::~TempDirectory() {
  if (remover_ < 0) return;
  pipe_.reset();
  while (waitpid(remover_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace ghost
