// schedrun: for how long tasks run until they block or lose their CPU.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "bpf/tools/programs.h"
#include "bpf/tools/tool.h"
#include "third_party/bpf/schedrun.skel.h"

namespace ghost::tools {
namespace {

constexpr size_t kWords = sizeof(tool_histogram) / sizeof(uint64_t);

class SchedRun : public Tool {
 public:
  absl::Status Start(const Options& options) override {
    unit_ = options.unit;
    GHOST_RETURN_IF_ERROR(programs_.Load(options.selection));
    return programs_.Attach();
  }

  Counts Read() override { return ReadSums(programs_->maps.histograms); }

  std::string Text(const Counts& counts, bool) const override {
    std::string text;
    for (const Part& part : Parts(counts)) absl::StrAppend(&text, "\n", View(part).Text(part.title));
    return text;
  }

  Json ToJson(const Counts& counts, bool) const override {
    Json json;
    for (const Part& part : Parts(counts)) json[part.name] = View(part).ToJson();
    return json;
  }

  uint64_t lost() const override { return programs_->bss->lost; }

 private:
  struct Part {
    const char* name;
    const char* title;
    Counts words;
  };

  HistogramView View(const Part& part) const { return {part.words, unit_}; }

  static std::vector<Part> Parts(const Counts& counts) {
    const auto of = [&counts](size_t index) {
      return Counts(counts.begin() + index * kWords, counts.begin() + (index + 1) * kWords);
    };
    std::vector<Part> parts = {{"preempted_or_yielded", "ran until preempted, or yielded", of(TOOL_RUN_PREEMPTED)},
                               {"blocked", "ran until blocked", of(TOOL_RUN_BLOCKED)},
                               {"all", "all runs", Counts(kWords)}};
    AddHistograms(parts[0].words, parts[1].words, parts[2].words);
    return parts;
  }

  Unit unit_ = Unit::kUs;
  Programs<schedrun> programs_;
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
