#include "lib/program/agent_main.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/status.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kActive[] = "Initialization complete, ghOSt active.\n";

// How the runtime of a test behaves.
struct Behaviour {
  absl::Status start = absl::OkStatus();
  bool hang_in_stop = false;
  bool crash_in_dump = false;
  bool kernel_goes_at_dump = false;
};

class FakeRuntime : public Runtime {
 public:
  FakeRuntime(Enclave* enclave, RuntimeOptions options, const Behaviour& behaviour)
      : cpus_(enclave->cpus()), options_(std::move(options)), behaviour_(behaviour) {}

  absl::Status Start() override { return behaviour_.start; }
  void Stop() override {
    while (behaviour_.hang_in_stop) pause();
  }
  const CpuSet& cpus() const override { return cpus_; }
  RuntimeCounters Counters(int cpu) const override {
    RuntimeCounters counters;
    counters.commits = 100 + cpu;
    return counters;
  }
  int64_t CountTasks() const override { return 7; }
  std::string DumpState(absl::Duration) override {
    if (behaviour_.crash_in_dump) abort();
    if (behaviour_.kernel_goes_at_dump) options_.on_kernel_gone(absl::UnavailableError("the kernel went away"));
    return "the state\n";
  }

 private:
  const CpuSet cpus_;
  const RuntimeOptions options_;
  const Behaviour behaviour_;
};

// An agent program in a process of its own, over a mock kernel, and what it says.
class Program {
 public:
  explicit Program(std::vector<std::string> flags, Behaviour behaviour = {}, absl::Status kernel = absl::OkStatus()) {
    int out[2], err[2];
    EXPECT_EQ(pipe(out), 0);
    EXPECT_EQ(pipe(err), 0);
    absl::StatusOr<ChildProcess> process = ChildProcess::Fork([&] {
      dup2(out[1], STDOUT_FILENO);
      dup2(err[1], STDERR_FILENO);
      for (int fd : {out[0], out[1], err[0], err[1]}) close(fd);
      return Main(std::move(flags), behaviour, kernel);
    });
    EXPECT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    close(out[1]);
    close(err[1]);
    out_fd_.reset(out[0]);
    err_fd_.reset(err[0]);
  }

  void Signal(int signo) { EXPECT_TRUE(SendSignal(process_->pidfd(), signo).ok()); }
  // Reads until the text has come, or fails.
  void WaitForOut(const std::string& text) { WaitFor(text, out_fd_, &out_); }
  void WaitForErr(const std::string& text) { WaitFor(text, err_fd_, &err_); }
  // Reads to the end. Returns the exit code; -1 if a signal ended it.
  int Wait() {
    while (ReadSome(out_fd_, &out_)) {
    }
    while (ReadSome(err_fd_, &err_)) {
    }
    const ExitState state = process_->Wait();
    return state.signal == 0 ? state.code : -1;
  }
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  static int Main(std::vector<std::string> flags, const Behaviour& behaviour, const absl::Status& kernel) {
    // A sanitizer may have a thread of its own.
    flags.insert(flags.begin(), {"test_agent", "--emit_fork_warnings=false"});
    std::vector<char*> argv;
    for (std::string& flag : flags) argv.push_back(flag.data());
    AgentProgram program;
    program.info = {.name = "test_agent", .summary = "is tested"};
    program.make_runtime = [&behaviour](Enclave* enclave, RuntimeOptions options) {
      return std::make_unique<FakeRuntime>(enclave, std::move(options), behaviour);
    };
    program.open_kernel = [&kernel]() -> absl::StatusOr<std::unique_ptr<Kernel>> {
      if (!kernel.ok()) return kernel;
      return std::make_unique<MockKernel>(4);
    };
    return RunAgentProgram(program, static_cast<int>(argv.size()), argv.data());
  }

  static bool ReadSome(const ScopedFd& fd, std::string* text) {
    pollfd entry = {.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (poll(&entry, 1, 60'000) != 1) {
      ADD_FAILURE() << "nothing more after: " << *text;
      return false;
    }
    char bytes[4096];
    const ssize_t size = read(fd.get(), bytes, sizeof(bytes));
    if (size > 0) text->append(bytes, size);
    return size > 0;
  }
  static void WaitFor(const std::string& wanted, const ScopedFd& fd, std::string* text) {
    while (!absl::StrContains(*text, wanted)) {
      if (!ReadSome(fd, text)) {
        ADD_FAILURE() << "'" << wanted << "' did not come, only: " << *text;
        return;
      }
    }
  }

  std::optional<ChildProcess> process_;
  ScopedFd out_fd_, err_fd_;
  std::string out_, err_;
};

class AgentMainSignal : public ::testing::TestWithParam<int> {};

TEST_P(AgentMainSignal, EndsItInOrder) {
  Program program({"--ghost_cpus=0-1"});
  program.WaitForOut(kActive);
  program.Signal(GetParam());
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_EQ(program.out(), absl::StrCat("Initializing...\n", kActive, "\nDone!\n"));
  EXPECT_EQ(program.err(), "");
}

INSTANTIATE_TEST_SUITE_P(Signals, AgentMainSignal, ::testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST(AgentMain, ASecondSignalEndsItAtOnce) {
  Program program({}, {.hang_in_stop = true});
  program.WaitForOut(kActive);
  program.Signal(SIGINT);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.out(), EndsWith(kActive));
  EXPECT_THAT(program.err(), StartsWith("test_agent: ended by a second signal\nhint: "));
}

TEST(AgentMain, DumpsAtSigusr1) {
  Program program({});
  program.WaitForOut(kActive);
  for (int i = 0; i < 3; ++i) {
    program.Signal(SIGUSR1);
    std::string expected;
    for (int n = 0; n <= i; ++n) expected += "the state\n";
    program.WaitForErr(expected);
  }
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 0);
}

TEST(AgentMain, DumpsEachSecondIfVerbose) {
  Program program({"--verbose=1"});
  program.WaitForErr("the state\nthe state\n");
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 0);
}

TEST(AgentMain, Stats) {
  Program program({"--ghost_cpus=1,3", "--stats"});
  program.WaitForOut(kActive);
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.err(), HasSubstr("cpu 3:"));
  EXPECT_THAT(program.err(), HasSubstr(" commits 103 "));
  EXPECT_THAT(program.err(), HasSubstr("all cpus:"));
  EXPECT_THAT(program.err(), Not(HasSubstr("cpu 0:")));
}

TEST(AgentMain, AllCpusUnlessSaidOtherwise) {
  Program program({"--stats"});
  program.WaitForOut(kActive);
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 0);
  for (const char* cpu : {"cpu 0:", "cpu 1:", "cpu 2:", "cpu 3:"}) EXPECT_THAT(program.err(), HasSubstr(cpu));
}

TEST(AgentMain, ACrashOfTheChildIsOneLineAndAHint) {
  Program program({}, {.crash_in_dump = true});
  program.WaitForOut(kActive);
  program.Signal(SIGUSR1);
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.out(), Not(HasSubstr("Done!")));
  EXPECT_THAT(program.err(), StartsWith("test_agent: "));
}

TEST(AgentMain, AKernelThatGoesAwayIsReported) {
  Program program({}, {.kernel_goes_at_dump = true});
  program.WaitForOut(kActive);
  program.Signal(SIGUSR1);
  EXPECT_EQ(program.Wait(), 1);
  EXPECT_THAT(program.out(), Not(HasSubstr("Done!")));
}

TEST(AgentMain, ErrorsHaveALineAHintAndACode) {
  const absl::Status no_kernel =
      WithExitCode(WithHint(absl::NotFoundError("no ghost kernel"), "start ghostd"), ExitCode::kNoKernel);
  const absl::Status busy = WithHint(WithExitCode(absl::UnavailableError("CPU 1 is busy"), ExitCode::kBusy), "stop it");
  const struct {
    std::vector<std::string> flags;
    absl::Status kernel = {};
    absl::Status start = {};
    int code;
    const char* line;
  } cases[] = {
      {{"--bogus"}, {}, {}, 2, "test_agent: unknown flag --bogus\nhint: "},
      {{"extra"}, {}, {}, 2, "test_agent: unexpected argument \"extra\"\nhint: "},
      {{"--ghost_cpus="}, {}, {}, 2, "test_agent: --ghost_cpus: no CPUs are given\nhint: "},
      {{"--ghost_cpus=foo"}, {}, {}, 2, "test_agent: --ghost_cpus: \"foo\" is not a CPU or a range of CPUs\nhint: "},
      {{"--ghost_cpus=1-"}, {}, {}, 2, "test_agent: --ghost_cpus: \"1-\" is not a CPU or a range of CPUs\nhint: "},
      {{"--ghost_cpus=3-1"}, {}, {}, 2, "test_agent: --ghost_cpus: the range \"3-1\" runs backwards\nhint: "},
      {{"--ghost_cpus=0-99999"}, {}, {}, 2, "test_agent: --ghost_cpus: CPU 99999 does not exist\nhint: "},
      {{"--ghost_cpus=4"}, {}, {}, 2, "test_agent: --ghost_cpus: CPU 4 does not exist\nhint: the CPUs here are 0-3\n"},
      {{}, no_kernel, {}, 3, "test_agent: no ghost kernel\nhint: start ghostd\n"},
      {{}, {}, busy, 5, "test_agent: CPU 1 is busy\nhint: stop it\n"},
  };
  for (const auto& c : cases) {
    Program program(c.flags, {.start = c.start}, c.kernel);
    EXPECT_EQ(program.Wait(), c.code) << c.line;
    EXPECT_THAT(program.err(), StartsWith(c.line));
    EXPECT_THAT(program.out(), Not(HasSubstr("active")));
  }
}

TEST(AgentMain, HelpAndVersionsNeedNoKernel) {
  const absl::Status none = absl::InternalError("was asked for a kernel");
  for (const char* flag : {"--help", "--version", "--ghost_version"}) {
    Program program({flag}, {}, none);
    EXPECT_EQ(program.Wait(), 0) << flag;
    EXPECT_THAT(program.out() + program.err(), Not(HasSubstr("was asked")));
    EXPECT_NE(program.out() + program.err(), "");
  }
}

TEST(AgentMain, FlagsOfOlderScriptsAreTaken) {
  Program program({"--ghost_procfs_prefix=", "--verbose=0"});
  program.WaitForOut(kActive);
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 0);
}

}  // namespace
}  // namespace ghost
