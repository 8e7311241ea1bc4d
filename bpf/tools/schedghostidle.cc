// schedghostidle: how long CPUs are idle until a ghost task is latched for them.
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bpf/tools/agents.h"
#include "bpf/tools/programs.h"
#include "bpf/tools/tool.h"
#include "third_party/bpf/schedghostidle.skel.h"

namespace ghost::tools {
namespace {

struct Count {
  const char* name;
  const char* title;
};
// As in struct tool_latches.
constexpr Count kCounts[] = {{"latches", "latches"},
                             {"bpf_latches", "of them by BPF"},
                             {"idle_latches", "of an idle CPU"},
                             {"idle_bpf_latches", "of an idle CPU by BPF"}};
static_assert(std::size(kCounts) == sizeof(tool_latches) / sizeof(uint64_t));

class SchedGhostIdle : public Tool {
 public:
  absl::Status Start(const Options& options) override {
    unit_ = options.unit;
    GHOST_RETURN_IF_ERROR(programs_.Load(options.selection));
    agents_.emplace(options.ghostfs);
    Refresh();
    return programs_.Attach();
  }

  // The histogram, then tool_latches.
  Counts Read() override {
    Counts counts = ReadSums(programs_->maps.histograms);
    const Counts latches = ReadSums(programs_->maps.latches);
    counts.insert(counts.end(), latches.begin(), latches.end());
    return counts;
  }

  std::string Text(const Counts& counts, bool) const override {
    std::string text = "\n";
    for (size_t index = 0; index < std::size(kCounts); ++index) {
      absl::StrAppendFormat(&text, "%-22s %10d\n", kCounts[index].title, counts[kHistogramWords + index]);
    }
    return absl::StrCat(text, "\n", View(counts).Text("idle, until a ghost task was latched"));
  }

  Json ToJson(const Counts& counts, bool) const override {
    Json json;
    for (size_t index = 0; index < std::size(kCounts); ++index)
      json[kCounts[index].name] = counts[kHistogramWords + index];
    json["idle_to_latched"] = View(counts).ToJson();
    return json;
  }

  uint64_t lost() const override { return programs_->bss->lost; }
  void Refresh() override { agents_->Refresh(programs_->maps.agents, &programs_->bss->has_agents); }

 private:
  HistogramView View(const Counts& counts) const { return {std::span(counts).first(kHistogramWords), unit_}; }

  Unit unit_ = Unit::kUs;
  Programs<schedghostidle> programs_;
  std::optional<Agents> agents_;
};

}  // namespace
}  // namespace ghost::tools

int main(int argc, char** argv) {
  return ghost::tools::RunTool(
      {.name = "schedghostidle",
       .summary = "how long CPUs are idle until a ghost task is latched for them",
       .examples = {"schedghostidle                    # until Ctrl-C",
                    "schedghostidle --interval 1s --count 10 --json"},
       .notes = "Under ghostd a task counts as latched when ghostd continues it. See docs/tools.md.\n"},
      argc, argv, std::make_unique<ghost::tools::SchedGhostIdle>());
}
