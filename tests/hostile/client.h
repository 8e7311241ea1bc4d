// What the attacks of hostile_client share: ordinary programs, inside an enclave or about to enter it, that do odd
// things. Each is a function that returns if all went as it would without ghost, and ends the process otherwise.
#ifndef GHOST_TESTS_HOSTILE_CLIENT_H_
#define GHOST_TESTS_HOSTILE_CLIENT_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace ghost::hostile {

// Ends the process with exit status 1 and `what` (with errno) unless `ok`.
void Expect(bool ok, const char* what);

// What the command line says.
struct Scene {
  std::string enclave;  // its directory
  std::string program;  // our own, for exec
};

struct ClientAttack {
  const char* name;
  const char* what;
  void (*run)(const Scene& scene);
};
extern const std::vector<ClientAttack> kSignalAttacks;   // client_signals.cc
extern const std::vector<ClientAttack> kProcessAttacks;  // client_processes.cc
extern const std::vector<ClientAttack> kMoveAttacks;     // client_moves.cc

void NapUs(long us);
void Spin(int rounds);
// Until `done`, or the process ends with `what`.
void Await(const std::function<bool()>& done, const char* what);
// A child process that runs `body` and then exits with 0.
pid_t Fork(const std::function<void()>& body);
// Waits for it; returns the wait status.
int WaitFor(pid_t pid);
// … and expects exit status 0.
void ExpectWell(pid_t pid, const char* what);
// Writes `tid` into a file of the enclave ("tasks"); 0 or -errno.
int Enter(const Scene& scene, pid_t tid);
// Whether `tid` is listed in `tasks`.
bool IsInside(const Scene& scene, pid_t tid);
// The state letter of a thread, or 0.
char StateOf(pid_t tid);
// All CPUs of the machine are allowed to it.
bool IsUnpinned(pid_t tid);

}  // namespace ghost::hostile

#endif  // GHOST_TESTS_HOSTILE_CLIENT_H_
