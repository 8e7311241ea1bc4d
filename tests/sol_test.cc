// sol_test: how much of the CPUs is left to threads that hand them on all the time, under a ghost agent or under CFS.
//
// N CPUs, OVERCOMMIT threads for each. A thread computes for a piece of work, then yields. The figure is the work that
// was done, as a percentage of what N CPUs could do if nothing was lost to scheduling; a piece is measured beforehand.
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/poll_until.h"
#include "lib/base/spin.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghost_thread.h"

ABSL_FLAG(std::string, c, "ghost", "Who schedules the threads: ghost or cfs.");
ABSL_FLAG(int, d, 5, "For how many seconds, 1 to 30.");
ABSL_FLAG(int, n, 0, "How many CPUs count; 0: those of the enclave but the agent's own, or all for cfs.");
ABSL_FLAG(int, o, 5, "Overcommit: threads for each CPU, 1 to 1000.");
ABSL_FLAG(bool, v, false, "Say how much each thread did.");

namespace ghost {
namespace {

constexpr char kName[] = "sol_test";
// Of a piece: long against a yield on a ghost kernel, short against any time slice.
constexpr absl::Duration kPiece = absl::Microseconds(100);
constexpr absl::Duration kPatience = absl::Seconds(20);

struct Settings {
  bool ghost = true;
  int seconds = 5;
  int cpus = 0;
  int threads = 0;
  std::string enclave;
};

absl::Status OutOfRange(const char* flag, int value, const char* range) {
  return WithHint(absl::InvalidArgumentError(absl::StrCat("-", flag, " ", value, ": out of range")), range);
}

absl::StatusOr<int> CpusToCount(const Settings& settings) {
  if (!settings.ghost) {
    cpu_set_t own;
    if (sched_getaffinity(0, sizeof(own), &own) != 0) return ErrnoStatus(errno, "sched_getaffinity");
    return CpuSet::FromCpuSetT(own).size();
  }
  GHOST_ASSIGN_OR_RETURN(const std::string list, ReadFile(settings.enclave + "/cpulist"));
  CpuSet cpus;
  if (ParseCpuList(list, &cpus) != CpuParseError::kOk) {
    return absl::FailedPreconditionError(absl::StrCat(settings.enclave, "/cpulist reads ", list));
  }
  return std::max(cpus.size() - 1, 1);
}

absl::StatusOr<Settings> ReadFlags() {
  Settings settings;
  const std::string who = absl::GetFlag(FLAGS_c);
  if (who != "ghost" && who != "cfs") {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("-c ", who, ": unknown")), "-c ghost or -c cfs");
  }
  settings.ghost = who == "ghost";
  settings.seconds = absl::GetFlag(FLAGS_d);
  if (settings.seconds < 1 || settings.seconds > 30) return OutOfRange("d", settings.seconds, "1 to 30 seconds");
  const int overcommit = absl::GetFlag(FLAGS_o);
  if (overcommit < 1 || overcommit > 1000) return OutOfRange("o", overcommit, "1 to 1000 threads for each CPU");
  settings.cpus = absl::GetFlag(FLAGS_n);
  if (settings.cpus < 0 || settings.cpus > CpuSet::kMaxCpus) return OutOfRange("n", settings.cpus, "0 to 1024 CPUs");
  if (settings.ghost) {
    GHOST_ASSIGN_OR_RETURN(settings.enclave, FindEnclave(absl::GetFlag(FLAGS_enclave), absl::GetFlag(FLAGS_ghostfs)));
  }
  if (settings.cpus == 0) {
    GHOST_ASSIGN_OR_RETURN(settings.cpus, CpusToCount(settings));
  }
  settings.threads = settings.cpus * overcommit;
  return settings;
}

// Computes so many steps.
void Compute(int64_t steps) {
  for (int64_t i = 0; i < steps; ++i) asm volatile("" : : : "memory");
}

// How many steps a thread that has a CPU of its own does in kPiece.
int64_t StepsOfAPiece() {
  constexpr int64_t kSteps = 20'000'000;
  const absl::Duration before = ThreadCpuTime();
  Compute(kSteps);
  const double pieces = absl::FDivDuration(ThreadCpuTime() - before, kPiece);
  return static_cast<int64_t>(kSteps / pieces);
}

class Run {
 public:
  explicit Run(const Settings& settings) : settings_(settings), pieces_(settings.threads) {}

  absl::Status Do() {
    steps_ = StepsOfAPiece();
    for (int i = 0; i < settings_.threads; ++i) {
      const auto who = settings_.ghost ? GhostThread::Scheduler::kGhost : GhostThread::Scheduler::kCfs;
      absl::StatusOr<std::unique_ptr<GhostThread>> thread =
          GhostThread::Start(who, settings_.enclave, [this, i] { Work(i); });
      if (!thread.ok()) {
        end_ns_ = 0;
        return thread.status();
      }
      threads_.push_back(*std::move(thread));
    }
    end_ns_ = (Time::Now() + absl::Seconds(settings_.seconds)).ns();
    const absl::Duration all = absl::Seconds(settings_.seconds) + kPatience;
    if (!PollUntil(all, [this] { return ended_ == settings_.threads; })) {
      // They can't be joined: whoever schedules them does not.
      Report(kName, WithHint(absl::DeadlineExceededError(absl::StrCat(settings_.threads - ended_, " of ",
                                                                      settings_.threads, " threads did not end")),
                             "does the agent still schedule? ghostctl status"));
      fflush(stdout);
      _exit(static_cast<int>(ExitCode::kFailed));
    }
    threads_.clear();
    Print();
    return absl::OkStatus();
  }

 private:
  // Until time is up. What is done before all threads are there does not count.
  void Work(int index) {
    int64_t done = 0;
    for (;;) {
      const int64_t end_ns = end_ns_;
      if (Time::Now().ns() >= end_ns) break;
      Compute(steps_);
      sched_yield();
      if (end_ns != kNotYet) ++done;
    }
    pieces_[index] = done;
    ++ended_;
  }

  void Print() const {
    if (absl::GetFlag(FLAGS_v)) {
      for (int i = 0; i < settings_.threads; ++i) printf("thread %d: %ld pieces of work\n", i, pieces_[i]);
    }
    const int64_t done = std::accumulate(pieces_.begin(), pieces_.end(), int64_t{0});
    const double ideal = settings_.cpus * absl::FDivDuration(absl::Seconds(settings_.seconds), kPiece);
    printf("%s: %d threads on %d CPUs for %d s: %.2f%% of ideal\n", settings_.ghost ? "ghost" : "cfs",
           settings_.threads, settings_.cpus, settings_.seconds, 100.0 * static_cast<double>(done) / ideal);
  }

  static constexpr int64_t kNotYet = INT64_MAX;

  const Settings settings_;
  int64_t steps_ = 0;
  std::atomic<int64_t> end_ns_{kNotYet};
  std::atomic<int> ended_{0};
  std::vector<int64_t> pieces_;  // by thread
  std::vector<std::unique_ptr<GhostThread>> threads_;
};

absl::Status Main() {
  GHOST_ASSIGN_OR_RETURN(const Settings settings, ReadFlags());
  return Run(settings).Do();
}

// -d5 is -d 5, as in getopt.
std::vector<std::string> SplitOptions(int argc, char** argv) {
  std::vector<std::string> words;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool joined = word.size() > 2 && word[0] == '-' && absl::StrContains("cdno", word[1]) && word[2] != '=' &&
                        (word[1] != 'c' ? isdigit(word[2]) != 0 : word == "-ccfs" || word == "-cghost");
    words.push_back(joined ? word.substr(0, 2) : word);
    if (joined) words.push_back(word.substr(2));
  }
  return words;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  std::vector<std::string> words = ghost::SplitOptions(argc, argv);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "how much of the CPUs is left to threads that yield after each 100 us of work",
       .examples = {"sol_test                  # in the first enclave that has an agent", "sol_test -c cfs -d 5 -o 5",
                    "sol_test -d 10 -n 4 -v --enclave enclave_2"},
       .notes =
           "It prints the work that was done as a percentage of what the CPUs could do if scheduling cost nothing.\n"},
      static_cast<int>(pointers.size()), pointers.data());
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::Status status = ghost::Main();
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
