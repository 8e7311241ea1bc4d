// AgentChild: an agent program of this project as a child process: started, waited for until it schedules, ended.
//
//     this process ──lifeline (a pipe)──> keeper ──fork, exec──> agent
//
// The agent ends well, so that it takes its enclave down, however this process ends: a keeper of one thread sends it
// one SIGINT once the pipe's other end is closed. (The signal that Linux sends when a parent dies comes once for each
// of the parent's threads, and an agent takes a second signal for haste.) Threads: one; made while there are no others
// (it forks).
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_AGENT_CHILD_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_AGENT_CHILD_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/process.h"

namespace ghost {

class AgentChild {
 public:
  // The program is looked for in the folder of this one's file, in the two above (as Bazel lays them out), and in
  // $PATH. Returns once it says that it is active; if it ends before, what it said is on stderr, and its exit code is
  // that of the Status.
  static absl::StatusOr<std::unique_ptr<AgentChild>> Start(const std::string& program,
                                                           const std::vector<std::string>& arguments);
  ~AgentChild();  // Stop()
  AgentChild(const AgentChild&) = delete;

  // Waits for its end. Not OK: it had ended before, or did not end well.
  absl::Status Stop();

 private:
  AgentChild(std::string program, ChildProcess keeper, ScopedFd output, ScopedFd life)
      : program_(std::move(program)), keeper_(std::move(keeper)), output_(std::move(output)), life_(std::move(life)) {}
  absl::Status WaitUntilActive();

  const std::string program_;
  ChildProcess keeper_;
  ScopedFd output_;
  ScopedFd life_;  // while it is open, the agent lives
  bool stopped_ = false;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_AGENT_CHILD_H_
