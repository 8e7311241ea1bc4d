// schedfair: what share of the time that they wanted a CPU tasks had one, by nice value.
#include <algorithm>
#include <memory>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bpf/tools/histogram.h"
#include "bpf/tools/programs.h"
#include "bpf/tools/tool.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "third_party/bpf/schedfair.skel.h"

namespace ghost::tools {
namespace {

constexpr size_t kWords = sizeof(tool_fairness) / sizeof(uint64_t);
constexpr size_t kHalf = kWords * TOOL_NICES;  // stretches first, then lives

// A tool_fairness's words.
class FairnessView {
 public:
  explicit FairnessView(std::span<const uint64_t> words) : words_(words) {}

  uint64_t count() const {
    uint64_t count = 0;
    for (uint64_t share : words_.first(TOOL_SHARES)) count += share;
    return count;
  }
  uint64_t run_ns() const { return words_[TOOL_SHARES]; }
  uint64_t wait_ns() const { return words_[TOOL_SHARES + 1]; }
  // Of all their time together.
  double Share() const {
    const auto all = static_cast<double>(run_ns() + wait_ns());
    return all > 0 ? static_cast<double>(run_ns()) / all : 0;
  }
  // The share that the fraction `p` does not exceed: the upper end of its 5 %.
  double Percentile(double p) const {
    if (count() == 0) return 0;
    return static_cast<double>(PercentileSlot(words_.first(TOOL_SHARES), count(), p) + 1) / TOOL_SHARES;
  }
  Json Shares() const { return Json(std::vector<uint64_t>(words_.begin(), words_.begin() + TOOL_SHARES)); }

 private:
  std::span<const uint64_t> words_;
};

class SchedFair : public Tool {
 public:
  absl::Status Start(const Options& options) override {
    GHOST_RETURN_IF_ERROR(programs_.Load(options.selection));
    GHOST_ASSIGN_OR_RETURN(tasks_, Mapping::Map(bpf_map__fd(programs_->maps.tasks),
                                                sizeof(tool_fair_task) * TOOL_MAX_TASKS, /*writable=*/false));
    return programs_.Attach();
  }

  // Lives are those that have ended, and those of tasks that are there now up to now.
  Counts Read() override {
    Counts counts = ReadSums(programs_->maps.fairness);
    const auto* tasks = reinterpret_cast<const tool_fair_task*>(tasks_.data());
    for (size_t slot = 0; slot < TOOL_MAX_TASKS; ++slot) {
      if (tasks[slot].pid != 0) AddLife(tasks[slot], &counts);
    }
    return counts;
  }

  std::string Text(const Counts& counts, bool total) const override {
    std::string text = Table("from wake-up to block", std::span(counts).first(kHalf));
    // How far a task's whole life has come is no matter of an interval.
    if (total) absl::StrAppend(&text, Table("whole lives", std::span(counts).subspan(kHalf)));
    return text;
  }

  Json ToJson(const Counts& counts, bool total) const override {
    Json json = {{"stretches", Rows(std::span(counts).first(kHalf))}};
    if (total) json["lives"] = Rows(std::span(counts).subspan(kHalf));
    return json;
  }

  uint64_t lost() const override { return programs_->bss->lost; }

 private:
  // A copy: the programs go on.
  static void AddLife(tool_fair_task task, Counts* counts) {
    uint64_t run = task.life_run_ns;
    uint64_t wait = task.life_wait_ns;
    const auto now = static_cast<uint64_t>(Time::Now().ns());
    if (task.since_ns != 0 && now > task.since_ns) (task.running ? run : wait) += now - task.since_ns;
    if (run + wait == 0 || task.nice >= TOOL_NICES) return;
    uint64_t* words = counts->data() + kHalf + task.nice * kWords;
    ++words[std::min<uint64_t>(run * TOOL_SHARES / (run + wait), TOOL_SHARES - 1)];
    words[TOOL_SHARES] += run;
    words[TOOL_SHARES + 1] += wait;
  }

  static std::string Table(const char* title, std::span<const uint64_t> half) {
    std::string text = absl::StrFormat(
        "\n%s: share of the time with a CPU\n  nice      count      ran s   waited s  "
        "share    p10    p50    p90\n",
        title);
    for (int nice = 0; nice < TOOL_NICES; ++nice) {
      const FairnessView view(half.subspan(nice * kWords, kWords));
      if (view.count() == 0) continue;
      absl::StrAppendFormat(&text, "  %4d %10d %10.3f %10.3f %5.1f%% %5.0f%% %5.0f%% %5.0f%%\n", nice - 20,
                            view.count(), static_cast<double>(view.run_ns()) / 1e9,
                            static_cast<double>(view.wait_ns()) / 1e9, 100 * view.Share(), 100 * view.Percentile(0.1),
                            100 * view.Percentile(0.5), 100 * view.Percentile(0.9));
    }
    return text;
  }

  static Json Rows(std::span<const uint64_t> half) {
    Json rows = Json::array();
    for (int nice = 0; nice < TOOL_NICES; ++nice) {
      const FairnessView view(half.subspan(nice * kWords, kWords));
      if (view.count() == 0) continue;
      rows.push_back({{"nice", nice - 20},
                      {"count", view.count()},
                      {"run_ns", view.run_ns()},
                      {"wait_ns", view.wait_ns()},
                      {"share", view.Share()},
                      {"p10", view.Percentile(0.1)},
                      {"p50", view.Percentile(0.5)},
                      {"p90", view.Percentile(0.9)},
                      {"counts_by_5_percent", view.Shares()}});
    }
    return rows;
  }

  Programs<schedfair> programs_;
  Mapping tasks_;
};

}  // namespace
}  // namespace ghost::tools

int main(int argc, char** argv) {
  return ghost::tools::RunTool(
      {.name = "schedfair",
       .summary = "what share of the time that they wanted a CPU tasks had one, by nice value",
       .examples = {"schedfair                         # all tasks, until Ctrl-C", "schedfair -p 4711 --interval 1s"},
       .notes = "A task wants a CPU from its wake-up until it blocks. 100 %: it never waited. Tasks of real-time and "
                "deadline classes are left out. See docs/tools.md.\n"},
      argc, argv, std::make_unique<ghost::tools::SchedFair>());
}
