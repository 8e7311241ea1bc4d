// Holds a process with ptrace, as a debugger does, until its own standard input ends.
//
//     debugger PID        prints "attached" once it does
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const pid_t pid = argc == 2 ? atoi(argv[1]) : 0;
  if (pid <= 0) {
    fprintf(stderr, "usage: debugger PID\n");
    return 2;
  }
  if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) {
    fprintf(stderr, "debugger: cannot attach to %d: %s\n", pid, strerror(errno));
    return 1;
  }
  printf("attached\n");
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  return 0;
}
