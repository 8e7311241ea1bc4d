// schedrun: for how long tasks run until they block or lose their CPU.
#include <memory>
#include <span>

#include "bpf/tools/histogram_tool.h"
#include "bpf/tools/tool.h"
#include "third_party/bpf/schedrun.skel.h"

namespace ghost::tools {
namespace {

// As in enum tool_run, then all.
constexpr HistogramPart kParts[TOOL_RUNS + 1] = {
    {"preempted_or_yielded", "ran until preempted, or yielded"}, {"blocked", "ran until blocked"}, {"all", "all runs"}};

class SchedRun final : public HistogramTool<schedrun> {
 public:
  SchedRun() : HistogramTool(kParts) {}

  Counts Read() override {
    Counts counts = HistogramTool::Read();
    counts.resize(std::size(kParts) * kHistogramWords);
    const auto part = [&counts](int index) {
      return std::span(counts).subspan(index * kHistogramWords, kHistogramWords);
    };
    AddHistograms(part(TOOL_RUN_PREEMPTED), part(TOOL_RUN_BLOCKED), part(TOOL_RUNS));
    return counts;
  }
};

}  // namespace
}  // namespace ghost::tools

int main(int argc, char** argv) {
  return ghost::tools::RunTool({.name = "schedrun",
                                .summary = "for how long tasks run until they block or lose their CPU",
                                .examples = {"schedrun                          # all tasks, until Ctrl-C",
                                             "schedrun -g --interval 1s         # ghost tasks, each second",
                                             "schedrun -p 4711 --unit ns --json"},
                                .notes = "A run that has not ended yet is not counted. See docs/tools.md.\n"},
                               argc, argv, std::make_unique<ghost::tools::SchedRun>());
}
