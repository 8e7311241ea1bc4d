// One command of ghostctl: its name, its help, and what runs it. main (util/ghostctl.cc) holds the table.
#ifndef GHOST_UTIL_CTL_COMMAND_H_
#define GHOST_UTIL_CTL_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ghost::ctl {

struct Command {
  const char* name;
  const char* summary;  // one line for the program's --help
  const char* help;     // usage, options, examples
  // `args` are those after the command's name. Returns the exit status. An InvalidArgument without a hint gets one that
  // points to the command's --help.
  absl::StatusOr<int> (*run)(const std::vector<std::string>& args);
};

extern const Command kDoctorCommand;
extern const Command kRunCommand;
extern const Command kExecCommand;
extern const Command kEnclaveCommand;
extern const Command kMoveCommand;
extern const Command kStatusCommand;
extern const Command kGetCommand;
extern const Command kSetCommand;
extern const Command kDumpCommand;
extern const Command kRpcCommand;

// Replaces this process by a program found in $PATH; returns only if that fails, with a message on stderr and 126 or
// 127, as a shell does.
int ExecProgram(const std::vector<std::string>& argv);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_COMMAND_H_
