// schedlat: how long tasks wait for a CPU.
#include <memory>

#include "bpf/tools/histogram_tool.h"
#include "bpf/tools/tool.h"
#include "third_party/bpf/schedlat.skel.h"

namespace ghost::tools {
namespace {

// As in enum tool_latency.
constexpr HistogramPart kParts[TOOL_LATENCIES] = {{"runnable_to_latched", "runnable, until latched (ghost tasks)"},
                                                  {"latched_to_run", "latched, until it ran (ghost tasks)"},
                                                  {"runnable_to_run", "runnable, until it ran"}};

}  // namespace
}  // namespace ghost::tools

int main(int argc, char** argv) {
  return ghost::tools::RunTool(
      {.name = "schedlat",
       .summary = "how long tasks wait for a CPU: ghost tasks first to be latched, then to run",
       .examples = {"schedlat -g                       # ghost tasks, until Ctrl-C",
                    "schedlat -p 4711 --interval 1s    # one process, each second",
                    "schedlat --cgroup /sys/fs/cgroup/system.slice --json"},
       .notes = "Under ghostd a task counts as latched when ghostd continues it. See docs/tools.md.\n"},
      argc, argv, std::make_unique<ghost::tools::HistogramTool<schedlat>>(ghost::tools::kParts));
}
