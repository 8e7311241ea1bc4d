// What the user of a scheduling tool wants, read from its flags: which tasks, how often, in which form.
#ifndef GHOST_BPF_TOOLS_OPTIONS_H_
#define GHOST_BPF_TOOLS_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bpf/tools/histogram.h"
#include "third_party/bpf/sched_tool.h"

namespace ghost::tools {

struct Options {
  // Which tasks are meant, for the programs. What depends on the kernel is still to be filled in (programs.h).
  tool_options selection = {};
  std::string tasks;    // the same in words, for the first line: "all tasks"
  std::string ghostfs;  // of ghostd; empty: there is none
  Unit unit = Unit::kUs;
  absl::Duration interval = absl::ZeroDuration();  // 0: no reports but the last
  int64_t count = 0;                               // intervals; 0: until a signal comes
  bool json = false;
};

// From the flags. Errors: bad values (exit code 2), a process or cgroup that does not exist, -g without a ghost kernel
// (3).
absl::StatusOr<Options> ReadOptions();

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_OPTIONS_H_
