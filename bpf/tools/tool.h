// What the five scheduling tools share: their flags, a report after each interval and at the end, a live view on a
// terminal, the end by Ctrl-C. A tool itself loads its BPF programs, reads what they count, and says what that means.
//
//     int main(int argc, char** argv) {
//       return ghost::tools::RunTool({.name = "schedrun", …}, argc, argv, std::make_unique<SchedRun>());
//     }
//
// One thread does all of it.
#ifndef GHOST_BPF_TOOLS_TOOL_H_
#define GHOST_BPF_TOOLS_TOOL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bpf/tools/histogram.h"
#include "bpf/tools/options.h"
#include "lib/cli.h"

namespace ghost::tools {

// Whatever a tool counts, in an order of its own. Counts only grow: an interval is the difference of two readings.
using Counts = std::vector<uint64_t>;

class Tool {
 public:
  virtual ~Tool() = default;

  // Loads and attaches the programs.
  virtual absl::Status Start(const Options& options) = 0;
  virtual Counts Read() = 0;
  // A report. `total`: since the start; else of an interval.
  virtual std::string Text(const Counts& counts, bool total) const = 0;
  virtual Json ToJson(const Counts& counts, bool total) const = 0;
  // How often the programs had to forget a task for another's sake.
  virtual uint64_t lost() const = 0;
  // Called several times a second.
  virtual void Refresh() {}
};

// The whole program; returns its exit code.
int RunTool(const ProgramInfo& program, int argc, char** argv, std::unique_ptr<Tool> tool);

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_TOOL_H_
