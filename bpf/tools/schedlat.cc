// schedlat: how long tasks wait for a CPU.
#include <memory>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "bpf/tools/programs.h"
#include "bpf/tools/tool.h"
#include "third_party/bpf/schedlat.skel.h"

namespace ghost::tools {
namespace {

constexpr size_t kWords = sizeof(tool_histogram) / sizeof(uint64_t);

struct Part {
  const char* name;
  const char* title;
};
constexpr Part kParts[TOOL_LATENCIES] = {{"runnable_to_latched", "runnable, until latched (ghost tasks)"},
                                         {"latched_to_run", "latched, until it ran (ghost tasks)"},
                                         {"runnable_to_run", "runnable, until it ran"}};

class SchedLat : public Tool {
 public:
  absl::Status Start(const Options& options) override {
    unit_ = options.unit;
    GHOST_RETURN_IF_ERROR(programs_.Load(options.selection));
    return programs_.Attach();
  }

  Counts Read() override { return ReadSums(programs_->maps.histograms); }

  std::string Text(const Counts& counts, bool) const override {
    std::string text;
    for (int part = 0; part < TOOL_LATENCIES; ++part) {
      absl::StrAppend(&text, "\n", View(counts, part).Text(kParts[part].title));
    }
    return text;
  }

  Json ToJson(const Counts& counts, bool) const override {
    Json json;
    for (int part = 0; part < TOOL_LATENCIES; ++part) json[kParts[part].name] = View(counts, part).ToJson();
    return json;
  }

  uint64_t lost() const override { return programs_->bss->lost; }

 private:
  HistogramView View(const Counts& counts, int part) const {
    return {std::span(counts).subspan(part * kWords, kWords), unit_};
  }

  Unit unit_ = Unit::kUs;
  Programs<schedlat> programs_;
};

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
      argc, argv, std::make_unique<ghost::tools::SchedLat>());
}
