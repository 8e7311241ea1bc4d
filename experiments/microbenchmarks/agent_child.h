// AgentChild: an agent program of this project as a child process: started, waited for until it schedules, ended.
//
// Unlike ChildProcess it ends well: with SIGINT, so that the agent takes its enclave down, and with SIGTERM when this
// process dies in the middle. Threads: one, which lives as long; made while there are no others (it forks).
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
  AgentChild(std::string program, ChildProcess child, ScopedFd output)
      : program_(std::move(program)), child_(std::move(child)), output_(std::move(output)) {}
  absl::Status WaitUntilActive();

  const std::string program_;
  ChildProcess child_;
  ScopedFd output_;
  bool stopped_ = false;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_AGENT_CHILD_H_
