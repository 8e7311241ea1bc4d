#include "util/ctl/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

struct Pipe {
  ScopedFd read;
  ScopedFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
  return Pipe{ScopedFd(fds[0]), ScopedFd(fds[1])};
}

// In the child: becomes the program, or ends with 126 or 127 as a shell would.
[[noreturn]] void BecomeProgram(const Daemon::Options& options, pid_t parent, int out, int err) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGINT);
  if (getppid() != parent) _exit(1);
  int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  for (const std::string& variable : options.environment) putenv(strdup(variable.c_str()));
  if (options.prepare) {
    if (absl::Status status = options.prepare(); !status.ok()) _exit(Report(options.name, status));
  }
  std::vector<char*> argv;
  for (const std::string& arg : options.argv) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  sigprocmask(SIG_SETMASK, &options.signal_mask, nullptr);
  execv(argv[0], argv.data());
  Report(options.name, ErrnoStatus(errno, absl::StrCat("cannot run ", options.argv[0])));
  _exit(errno == ENOENT ? 127 : 126);
}

// Reads what there is. False at the end of the stream.
bool ReadSome(int fd, std::string* out) {
  char buffer[4096];
  ssize_t n = read(fd, buffer, sizeof(buffer));
  if (n > 0) out->append(buffer, static_cast<size_t>(n));
  return n > 0 || (n < 0 && errno == EINTR);
}

void PassOn(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = write(STDERR_FILENO, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) return;  // nobody listens: not the daemon's trouble
    if (n > 0) done += static_cast<size_t>(n);
  }
}

}  // namespace

Daemon::~Daemon() {
  if (stdout_.valid()) poller_->Unwatch(stdout_.get());
  if (stderr_.valid()) poller_->Unwatch(stderr_.get());
}

absl::Status Daemon::Start() {
  GHOST_ASSIGN_OR_RETURN(Pipe out, MakePipe());
  GHOST_ASSIGN_OR_RETURN(Pipe err, MakePipe());
  const pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, absl::StrCat("cannot start ", options_.name));
  if (pid == 0) BecomeProgram(options_, parent, out.write.get(), err.write.get());
  pid_ = pid;
  stdout_ = std::move(out.read);
  stderr_ = std::move(err.read);
  poller_->Watch(stdout_.get(), [this] { OnStdout(); });
  poller_->Watch(stderr_.get(), [this] { OnStderr(); });
  return absl::OkStatus();
}

void Daemon::OnExit(int wait_status) {
  exited_ = true;
  wait_status_ = wait_status;
}

void Daemon::Kill(int signal) {
  if (running()) kill(pid_, signal);
}

void Daemon::OnStdout() {
  std::string text;
  if (!ReadSome(stdout_.get(), &text)) {
    poller_->Unwatch(stdout_.get());
    stdout_.reset();
    return;
  }
  if (options_.verbose && !silent_) PassOn(text);
  if (ready_) return;
  line_ += text;
  for (size_t end; !ready_ && (end = line_.find('\n')) != std::string::npos; line_.erase(0, end + 1)) {
    if (line_.find(options_.ready_text) >= end) continue;
    ready_ = true;
    ready_line_ = line_.substr(0, end);
  }
}

void Daemon::OnStderr() {
  std::string text;
  if (!ReadSome(stderr_.get(), &text)) {
    poller_->Unwatch(stderr_.get());
    stderr_.reset();
    return;
  }
  if (!silent_) PassOn(text);
}

std::string DescribeWaitStatus(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return absl::StrCat("was killed by signal ", signal, " (", strsignal(signal), ")");
  }
  return absl::StrCat("exited with status ", WEXITSTATUS(wait_status));
}

int ExitStatusOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace ghost::ctl
