// SimpleExperiments: small experiments with threads that a ghost agent schedules, each of which checks its outcome.
// What simple_exp and simple_edf share, their flags included.
//
//   SimpleExp             one ghost thread that says hello and naps for 10 ms
//   SimpleExpMany         1000 of them
//   BusyExp               threads that compute, 100 for 10 ms each
//   TaskDeparted          a thread that leaves for CFS
//   TaskDepartedMany      1000 of them
//   TaskDepartedManyRace  20 rounds of 1000 napping threads that other threads move to CFS
//
// (Counts are for --scale=1.) A client like any other: it knows of the scheduler nothing but the enclave's directory.
// Not for libraries: linking it defines --scale and --timeout.
#ifndef GHOST_TESTS_SIMPLE_EXPERIMENTS_H_
#define GHOST_TESTS_SIMPLE_EXPERIMENTS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/ghost_thread.h"

ABSL_DECLARE_FLAG(double, scale);
ABSL_DECLARE_FLAG(absl::Duration, timeout);

namespace ghost {

class SimpleExperiments {
 public:
  struct Options {
    std::string program;  // its name, for messages
    int busy_threads = 100;
    absl::Duration busy_time = absl::Milliseconds(10);
  };
  using Body = std::function<void()>;
  using Threads = std::vector<std::unique_ptr<GhostThread>>;

  // In the enclave that the flags say, or the first that has an agent.
  static absl::StatusOr<std::unique_ptr<SimpleExperiments>> Create(const Options& options);

  // All of the above.
  absl::Status RunAll();

  // One more: prints its name, runs it, which returns what it did, and prints that and how long it took. Ends the
  // program if it takes longer than --timeout.
  absl::Status Run(absl::string_view name, const std::function<absl::StatusOr<std::string>()>& experiment);

  // Starts `count` ghost threads that wait, makes sure that all of them are in the enclave, lets them run `body`, does
  // `meanwhile`, and joins them.
  absl::Status RunThreads(int count, const Body& body,
                          const std::function<absl::Status(const Threads&)>& meanwhile = nullptr);

  const std::string& enclave() const { return enclave_; }

 private:
  SimpleExperiments(const Options& options, std::string enclave, double scale)
      : options_(options), enclave_(std::move(enclave)), scale_(scale) {}

  int Scaled(int count) const;
  absl::Status ExpectTasks(int count, absl::string_view when);
  bool IsGhost(pid_t tid);

  absl::StatusOr<std::string> SimpleExp(int count, bool talk);
  absl::StatusOr<std::string> BusyExp(int count);
  absl::StatusOr<std::string> TaskDeparted(int count, bool talk);
  absl::StatusOr<std::string> TaskDepartedManyRace(int count, int rounds);
  absl::Status RaceRound(int count);

  const Options options_;
  const std::string enclave_;
  const double scale_;
  int others_ = 0;  // tasks in the enclave that are not ours
};

}  // namespace ghost

#endif  // GHOST_TESTS_SIMPLE_EXPERIMENTS_H_
