// A client that does what no scheduler likes, one named attack at a time.
//
//     hostile_client --attack NAME --enclave DIRECTORY
//
// Prints "done" and ends with 0 if everything went as it would without ghost; else says what did not, and ends with 1.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fstream>

#include "absl/flags/flag.h"
#include "lib/cli.h"
#include "tests/hostile/client.h"

ABSL_FLAG(std::string, attack, "", "Which; --list names them all.");
ABSL_FLAG(std::string, enclave, "", "The directory of the enclave.");
ABSL_FLAG(bool, list, false, "List the attacks and end.");

namespace ghost::hostile {

void Expect(bool ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "hostile_client: %s (errno %d: %s)\n", what, errno, strerror(errno));
  fflush(nullptr);
  _exit(1);
}

void NapUs(long us) {
  const timespec nap = {.tv_sec = us / 1'000'000, .tv_nsec = us % 1'000'000 * 1000};
  nanosleep(&nap, nullptr);
}

void Spin(int rounds) {
  volatile unsigned value = 1;
  for (int i = 0; i < rounds; ++i) value = value * 3 + 1;
}

void Await(const std::function<bool()>& done, const char* what) {
  for (int i = 0; !done(); ++i) {
    Expect(i < 20'000, what);
    NapUs(1000);
  }
}

pid_t Fork(const std::function<void()>& body) {
  const pid_t pid = fork();
  Expect(pid >= 0, "fork");
  if (pid > 0) return pid;
  body();
  fflush(nullptr);
  _exit(0);
}

int WaitFor(pid_t pid) {
  int status = 0;
  pid_t waited;
  do {
    waited = waitpid(pid, &status, 0);
  } while (waited < 0 && errno == EINTR);
  Expect(waited == pid, "waitpid");
  return status;
}

void ExpectWell(pid_t pid, const char* what) {
  const int status = WaitFor(pid);
  errno = 0;
  Expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, what);
}

int Enter(const Scene& scene, pid_t tid) {
  const int fd = open((scene.enclave + "/tasks").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const std::string text = std::to_string(tid);
  const int result = write(fd, text.data(), text.size()) < 0 ? -errno : 0;
  close(fd);
  return result;
}

bool IsInside(const Scene& scene, pid_t tid) {
  std::ifstream tasks(scene.enclave + "/tasks");
  for (pid_t listed; tasks >> listed;) {
    if (listed == tid) return true;
  }
  return false;
}

char StateOf(pid_t tid) {
  std::ifstream status("/proc/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("State:", 0) == 0) return line[7];
  }
  return 0;
}

bool IsUnpinned(pid_t tid) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  return sched_getaffinity(tid, sizeof(mask), &mask) == 0 && CPU_COUNT(&mask) == sysconf(_SC_NPROCESSORS_ONLN);
}

namespace {

int Main(int argc, char** argv) {
  const CommandLine line = ParseCommandLine({.name = "hostile_client",
                                             .summary = "A client that does what no scheduler likes; a test.",
                                             .examples = {"hostile_client --attack fork_bomb --enclave /run/ghost/…"}},
                                            argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const Scene scene = {.enclave = absl::GetFlag(FLAGS_enclave), .program = "/proc/self/exe"};
  for (const std::vector<ClientAttack>* attacks : {&kSignalAttacks, &kProcessAttacks, &kMoveAttacks}) {
    for (const ClientAttack& attack : *attacks) {
      if (absl::GetFlag(FLAGS_list)) printf("%-22s %s\n", attack.name, attack.what);
      if (absl::GetFlag(FLAGS_list) || absl::GetFlag(FLAGS_attack) != attack.name) continue;
      attack.run(scene);
      printf("done\n");
      return 0;
    }
  }
  if (absl::GetFlag(FLAGS_list)) return 0;
  fprintf(stderr, "hostile_client: no such attack\nhint: --list names them\n");
  return 2;
}

}  // namespace
}  // namespace ghost::hostile

int main(int argc, char** argv) { return ghost::hostile::Main(argc, argv); }
