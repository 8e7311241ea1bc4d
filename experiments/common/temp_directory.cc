#include "experiments/common/temp_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// The child: makes the directory, says its path (or nothing, if it can't be made), and removes it when nobody has the
// other end of `pipe` any more. It makes it itself, so that there is never one without somebody to remove it. Returns
// an errno value.
int KeepDirectory(std::string path, int pipe, int answer) {
  prctl(PR_SET_PDEATHSIG, 0);  // a ChildProcess dies with its parent
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  // Others' pipes, standard output among them: who reads those waits for their end.
  dup2(pipe, STDIN_FILENO);
  dup2(answer, STDOUT_FILENO);
  close_range(STDERR_FILENO, ~0U, 0);
  if (chdir("/") != 0 || mkdtemp(path.data()) == nullptr) return errno;
  const bool said = write(STDOUT_FILENO, path.data(), path.size()) == static_cast<ssize_t>(path.size());
  close(STDOUT_FILENO);
  char byte;
  while (said && read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) continue;
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error.value();
}

// What the child says, until it closes its end.
std::string ReadAnswer(int fd) {
  std::string answer;
  char buffer[PATH_MAX];
  for (;;) {
    const ssize_t size = read(fd, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return answer;
    answer.append(buffer, static_cast<size_t>(size));
  }
}

}  // namespace

absl::StatusOr<TempDirectory> TempDirectory::Make(absl::string_view name) {
  const char* const variable = getenv("TMPDIR");
  const std::string parent = variable == nullptr || *variable == '\0' ? "/tmp" : variable;
  const auto failed = [&](int error) {
    return WithHint(ErrnoStatus(error, absl::StrCat("making a temporary directory in ", parent)),
                    "TMPDIR names another place");
  };
  std::error_code error;
  const std::string pattern = absl::StrCat(std::filesystem::absolute(parent, error).string(), "/", name, ".XXXXXX");
  if (error) return failed(error.value());
  int life[2], answer[2];
  if (pipe2(life, O_CLOEXEC) != 0) return failed(errno);
  ScopedFd life_read(life[0]), life_write(life[1]);
  if (pipe2(answer, O_CLOEXEC) != 0) return failed(errno);
  ScopedFd answer_read(answer[0]), answer_write(answer[1]);
  absl::StatusOr<ChildProcess> remover =
      ChildProcess::Fork([&] { return KeepDirectory(pattern, life_read.get(), answer_write.get()); });
  if (!remover.ok()) return failed(ErrnoOf(remover.status()));
  answer_write.reset();
  std::string path = ReadAnswer(answer_read.get());
  if (path.empty()) {
    const ExitState state = remover->Wait();
    return failed(state.signal == 0 ? state.code : ECHILD);
  }
  return TempDirectory(std::move(path), *std::move(remover), std::move(life_write));
}

TempDirectory::~TempDirectory() {
  if (!pipe_.valid()) return;  // moved from
  pipe_.reset();
  remover_.Wait();
}

}  // namespace ghost
