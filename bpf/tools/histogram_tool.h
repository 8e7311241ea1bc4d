// HistogramTool: a scheduling tool whose report is a list of histograms, which its programs fill in a map of this name
// (third_party/bpf/sched_tool.bpf.h).
//
//     constexpr HistogramPart kParts[TOOL_LATENCIES] = {{"runnable_to_run", "runnable, until it ran"}, …};
//     RunTool(…, std::make_unique<HistogramTool<schedlat>>(kParts));
//
// A tool that shows more of them than its programs fill derives from it, and adds them in Read.
#ifndef GHOST_BPF_TOOLS_HISTOGRAM_TOOL_H_
#define GHOST_BPF_TOOLS_HISTOGRAM_TOOL_H_

#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "bpf/tools/programs.h"
#include "bpf/tools/tool.h"

namespace ghost::tools {

struct HistogramPart {
  const char* name;   // in JSON
  const char* title;  // in text
};

template <typename Skeleton>
class HistogramTool : public Tool {
 public:
  // `parts`: of what Read returns, in its order. They outlive this.
  explicit HistogramTool(std::span<const HistogramPart> parts) : parts_(parts) {}

  absl::Status Start(const Options& options) override {
    unit_ = options.unit;
    GHOST_RETURN_IF_ERROR(programs_.Load(options.selection));
    return programs_.Attach();
  }

  Counts Read() override { return ReadSums(programs_->maps.histograms); }

  std::string Text(const Counts& counts, bool) const override {
    std::string text;
    for (size_t part = 0; part < parts_.size(); ++part) {
      absl::StrAppend(&text, "\n", View(counts, part).Text(parts_[part].title));
    }
    return text;
  }

  Json ToJson(const Counts& counts, bool) const override {
    Json json;
    for (size_t part = 0; part < parts_.size(); ++part) json[parts_[part].name] = View(counts, part).ToJson();
    return json;
  }

  uint64_t lost() const override { return programs_->bss->lost; }

 private:
  HistogramView View(const Counts& counts, size_t part) const {
    return {std::span(counts).subspan(part * kHistogramWords, kHistogramWords), unit_};
  }

  const std::span<const HistogramPart> parts_;
  Unit unit_ = Unit::kUs;
  Programs<Skeleton> programs_;
};

}  // namespace ghost::tools

#endif  // GHOST_BPF_TOOLS_HISTOGRAM_TOOL_H_
