// A program that `ghostctl run` starts and looks after: ghostd, an agent.
//
// It gets a session of its own (Ctrl-C at the terminal does not reach it), no input, and pipes for its output: what it
// says on stdout is swallowed (or passed on, if verbose) and searched for the line that means "ready"; its stderr is
// passed on. It is sent SIGINT, the graceful end of every agent, when its parent dies in whatever way. For the one
// thread that also runs the Poller and reaps children.
#ifndef GHOST_UTIL_CTL_DAEMON_H_
#define GHOST_UTIL_CTL_DAEMON_H_

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/file.h"
#include "util/ctl/poller.h"

namespace ghost::ctl {

class Daemon {
 public:
  struct Options {
    std::string name = {};                      // for messages
    std::vector<std::string> argv = {};         // argv[0] is the path
    std::vector<std::string> environment = {};  // NAME=VALUE, added to ours
    std::string ready_text = {};                // a stdout line that contains this means "ready"
    bool verbose = false;                       // pass stdout on, to our stderr
    sigset_t signal_mask = {};                  // what the program starts with
    // Runs in the child before exec; an error ends it with a message.
    std::function<absl::Status()> prepare = {};
  };

  Daemon(Poller* poller, Options options) : poller_(poller), options_(std::move(options)) {}
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  absl::Status Start();
  // Its parent's SIGCHLD handling calls this with what waitpid said of pid().
  void OnExit(int wait_status);
  // Does nothing to one that has ended.
  void Kill(int signal);
  // Stops passing output on (it is still drained).
  void Silence() { silent_ = true; }

  const std::string& name() const { return options_.name; }
  pid_t pid() const { return pid_; }
  bool ready() const { return ready_; }
  bool running() const { return pid_ > 0 && !exited_; }
  int wait_status() const { return wait_status_; }  // valid once it is not running
  const std::string& ready_line() const { return ready_line_; }

 private:
  void OnStdout();
  void OnStderr();

  Poller* poller_;
  Options options_;
  pid_t pid_ = 0;
  bool exited_ = false;
  int wait_status_ = 0;
  bool ready_ = false;
  bool silent_ = false;
  std::string line_;  // the unfinished line of stdout
  std::string ready_line_;
  ScopedFd stdout_;
  ScopedFd stderr_;
};

// "exited with status 1", "was killed by signal 9 (Killed)".
std::string DescribeWaitStatus(int wait_status);
// The shell's convention: the exit status, or 128 + the signal.
int ExitStatusOf(int wait_status);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_DAEMON_H_
