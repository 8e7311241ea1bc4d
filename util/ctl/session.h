// One `ghostctl run`, in the keeper process: ghostd where there is no kernel, the agent, and the user's program, from
// the first's start to the last's end. What goes wrong in the middle costs the program its policy, never its life.
//
// For the keeper's one thread; it is the parent of all three and reaps them.
#ifndef GHOST_UTIL_CTL_SESSION_H_
#define GHOST_UTIL_CTL_SESSION_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/signals.h"
#include "lib/base/time.h"
#include "lib/kernel.h"
#include "util/ctl/daemon.h"
#include "util/ctl/front.h"
#include "util/ctl/poller.h"

namespace ghost::ctl {

class Session {
 public:
  struct Options {
    std::vector<std::string> command;
    std::string agent;                    // path of the agent's program
    std::vector<std::string> agent_args;  // besides --ghost_cpus
    bool foreign_agent = false;           // show it the ghostfs at /sys/fs/ghost
    std::string cpus;                     // "": every CPU of the kernel
    std::string ghostfs;
    bool keep = false;     // leave the agent (and ghostd) running
    bool verbose = false;  // show what agent and ghostd print
    std::string stats;     // "", "text" or "json"
  };

  Session(const Options& options, FrontLink* front);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Runs to the program's end, takes down what was started and tells the front the exit status; with --keep, or while
  // others use the ghostd that was started here, stays behind until those have ended, too.
  void Run();

 private:
  enum class Command { kNone, kRunning, kEnded };

  absl::Status Start();
  absl::Status FindOrStartKernel();
  absl::Status StartGhostd();
  absl::Status StartAgent();
  absl::Status FindAgentsEnclave();
  absl::Status StartCommand();
  void AwaitCommand();

  // Handles events until `done`. Aborted: a signal came, or the front is gone. DeadlineExceeded: `what` took too long.
  absl::Status WaitUntil(const std::function<bool()>& done, absl::Duration timeout, const std::string& what);
  absl::Status WaitUntilReady(Daemon* daemon, absl::Duration timeout);
  void OnFront();
  void OnSigchld();
  void OnAgentEnded();
  void OnGhostdEnded();

  void PrintStats();
  void StopAgent();
  void StopGhostd();
  // SIGINT, and SIGKILL to one that does not end.
  void Stop(Daemon* daemon);
  void StayBehind();
  bool GhostdIsUsed();
  void Say(const std::string& line);

  const Options options_;
  FrontLink* const front_;
  Poller poller_;
  SignalFd sigchld_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<KernelEnclave> enclave_;
  std::unique_ptr<Daemon> ghostd_;  // null: not started here
  std::string ghostd_mount_;
  std::unique_ptr<Daemon> agent_;
  bool stopping_ = false;  // ends of agent and ghostd are expected
  int abort_signal_ = 0;   // came before the program ran
  Command command_ = Command::kNone;
  pid_t command_pid_ = 0;
  int command_status_ = 0;  // as waitpid says
};

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_SESSION_H_
