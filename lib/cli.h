// The command line of our programs: the same --help, --version, errors and exit codes everywhere, with no kernel at
// all.
//
// Flags are absl flags (ABSL_FLAG in the file that uses them). What absl would do by itself is not enough for us: its
// error for an unknown flag has another shape and exit code, and its --help has no examples. So the words are read
// here, and handed to absl only where absl's own --flagfile, --fromenv and the like are used. Called once, at the start
// of main.
//
//     int main(int argc, char** argv) {
//       const ghost::CommandLine line = ghost::ParseCommandLine({.name = "schedtool", …}, argc, argv);
//       if (line.exit_code.has_value()) return *line.exit_code;
#ifndef GHOST_LIB_CLI_H_
#define GHOST_LIB_CLI_H_

#include <optional>
#include <string>
#include <vector>

namespace ghost {

inline constexpr char kProjectVersion[] = "0.1.0";

struct ProgramInfo {
  std::string name;            // as the user types it; starts every message
  std::string summary;         // what it does, one line
  std::string arguments = "";  // what follows the flags in the usage line, as "COMMAND…"; empty: it takes no arguments
  std::vector<std::string> examples = {};  // whole command lines, each with a "# comment" or without
  std::string notes = "";                  // printed after the examples, as it stands
};

struct CommandLine {
  std::optional<int> exit_code;        // set: everything is said, leave main with it
  std::vector<std::string> arguments;  // what isn't a flag, without argv[0]; everything after "--"
};

// Sets the flags from argv. --help, -h: prints Help() on stdout, exit code 0. --version: the version and the ABIs, on
// stdout, 0. --ghost_version (where the program has that flag): the newest ABI's number on stderr, 0. Anything wrong:
// one line and a hint on stderr, 2.
CommandLine ParseCommandLine(const ProgramInfo& program, int argc, char** argv);

// The text of --help.
std::string Help(const ProgramInfo& program);

}  // namespace ghost

#endif  // GHOST_LIB_CLI_H_
