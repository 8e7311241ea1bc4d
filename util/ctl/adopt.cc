#include "util/ctl/adopt.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "util/ctl/daemon.h"
#include "util/ctl/front.h"
#include "util/ctl/poller.h"

namespace ghost::ctl {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(30);

class Keeper {
 public:
  Keeper(const std::string& path, const std::vector<std::string>& directories, const std::string& ghostfs,
         FrontLink* front)
      : directories_(directories), front_(front) {
    for (const std::string& directory : directories) {
      Daemon::Options options = {.name = path.substr(path.find_last_of('/') + 1),
                                 .argv = {path, absl::StrCat("--enclave=", directory)},
                                 .environment = {absl::StrCat("GHOSTFS=", ghostfs)},
                                 .ready_text = "ghOSt active"};
      options.signal_mask = front->original_mask();
      agents_.push_back(std::make_unique<Daemon>(&poller_, std::move(options)));
    }
  }

  void Run() {
    sigset_t sigchld;
    sigemptyset(&sigchld);
    sigaddset(&sigchld, SIGCHLD);
    sigchld_.reset(signalfd(-1, &sigchld, SFD_CLOEXEC | SFD_NONBLOCK));
    poller_.Watch(sigchld_.get(), [this] { Reap(); });

    const int exit_status = StartAll();
    front_->Finish(exit_status, /*keeper_stays=*/true);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
    for (const auto& agent : agents_) agent->Silence();
    while (Count([](const Daemon& agent) { return agent.running(); }) > 0) poller_.Wait();
  }

 private:
  template <typename Predicate>
  size_t Count(Predicate predicate) const {
    return std::count_if(agents_.begin(), agents_.end(), [&](const auto& agent) { return predicate(*agent); });
  }

  int StartAll() {
    for (const auto& agent : agents_) {
      if (absl::Status status = agent->Start(); !status.ok()) Report("ghostctl enclave", status);
    }
    const Time deadline = Time::Now() + kStartTimeout;
    while (Count([](const Daemon& agent) { return agent.running() && !agent.ready(); }) > 0) {
      if (!poller_.Wait(deadline) && Time::Now() >= deadline) break;
    }
    bool all = true;
    for (size_t i = 0; i < agents_.size(); ++i) {
      const Daemon& agent = *agents_[i];
      all &= agent.ready();
      absl::PrintF("%s: %s\n", directories_[i],
                   agent.ready() ? absl::StrCat("had no agent: served now by ", agent.name(), ", process ", agent.pid())
                                 : absl::StrCat("has no agent: ", agent.name(), " did not start"));
    }
    fflush(stdout);
    return all ? 0 : 1;
  }

  void Reap() {
    signalfd_siginfo info;
    while (read(sigchld_.get(), &info, sizeof(info)) > 0) continue;
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      for (const auto& agent : agents_) {
        if (agent->pid() == pid) agent->OnExit(status);
      }
    }
  }

  const std::vector<std::string> directories_;
  FrontLink* const front_;
  Poller poller_;
  ScopedFd sigchld_;
  std::vector<std::unique_ptr<Daemon>> agents_;
};

}  // namespace

absl::StatusOr<int> AdoptEnclaves(const std::string& path, const std::vector<std::string>& directories,
                                  const std::string& ghostfs) {
  fflush(stdout);  // or the child would print it once more
  return RunBehindFront([&](FrontLink* front) { Keeper(path, directories, ghostfs, front).Run(); });
}

}  // namespace ghost::ctl
