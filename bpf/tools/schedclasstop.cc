// schedclasstop: what the CPUs' time goes to, by scheduling class.
#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bpf/tools/agents.h"
#include "bpf/tools/programs.h"
#include "bpf/tools/tool.h"
#include "lib/base/cpu_set.h"
#include "lib/base/time.h"
#include "third_party/bpf/schedclasstop.skel.h"

namespace ghost::tools {
namespace {

constexpr int kBarWidth = 60;

struct Class {
  const char* name;
  char letter;  // in bars
};
// As in enum tool_class.
constexpr std::array<Class, TOOL_CLASSES> kClasses = {
    {{"idle", '.'}, {"cfs", 'c'}, {"rt", 'r'}, {"dl", 'd'}, {"ext", 'x'}, {"ghost", 'g'}, {"agent", 'A'}}};

using Times = std::array<uint64_t, TOOL_CLASSES>;

uint64_t Sum(const Times& times) {
  uint64_t sum = 0;
  for (uint64_t ns : times) sum += ns;
  return sum;
}

// Each class's share of the bar, by largest remainder: they add up to its width.
std::string Bar(const Times& times) {
  const uint64_t sum = Sum(times);
  std::string bar;
  uint64_t seen = 0;
  for (size_t index = 0; index < times.size(); ++index) {
    seen += times[index];
    const auto end =
        static_cast<size_t>(std::lround(static_cast<double>(seen) * kBarWidth / std::max<uint64_t>(sum, 1)));
    if (end > bar.size()) bar.append(end - bar.size(), kClasses[index].letter);
  }
  return bar;
}

// A CPU's time is known from its first switch on: this makes each have one now.
void VisitAllCpus() {
  cpu_set_t own;
  if (sched_getaffinity(0, sizeof(own), &own) != 0) return;
  for (int cpu = 0; cpu < std::min(CpuSet::kMaxCpus, CPU_SETSIZE); ++cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (CPU_ISSET(cpu, &own)) sched_setaffinity(0, sizeof(one), &one);
  }
  sched_setaffinity(0, sizeof(own), &own);
}

class SchedClassTop : public Tool {
 public:
  absl::Status Start(const Options& options) override {
    GHOST_RETURN_IF_ERROR(programs_.Load(options.selection));
    agents_.emplace(options.ghostfs);
    Refresh();
    GHOST_RETURN_IF_ERROR(programs_.Attach());
    VisitAllCpus();
    return absl::OkStatus();
  }

  // TOOL_CLASSES times for each possible CPU, with what runs now up to now.
  Counts Read() override {
    Counts counts;
    for (const tool_cpu_classes& cpu : ReadCpus()) {
      Times times;
      std::copy(std::begin(cpu.ns), std::end(cpu.ns), times.begin());
      const auto now = static_cast<uint64_t>(Time::Now().ns());
      if (cpu.since_ns != 0 && now > cpu.since_ns && cpu.running < TOOL_CLASSES) {
        times[cpu.running] += now - cpu.since_ns;
      }
      counts.insert(counts.end(), times.begin(), times.end());
    }
    return counts;
  }

  std::string Text(const Counts& counts, bool) const override {
    std::string text = "\n";
    for (size_t cpu = 0; cpu * TOOL_CLASSES < counts.size(); ++cpu) {
      const Times times = TimesOf(counts, cpu);
      if (Sum(times) > 0) absl::StrAppendFormat(&text, "cpu %3d |%-*s|\n", cpu, kBarWidth, Bar(times));
    }
    const Times all = TimesOfAll(counts);
    absl::StrAppend(&text, "\n");
    for (size_t index = 0; index < kClasses.size(); ++index) {
      absl::StrAppendFormat(
          &text, "  %c %-6s %10.3f s %6.2f %%\n", kClasses[index].letter, kClasses[index].name,
          static_cast<double>(all[index]) / 1e9,
          100.0 * static_cast<double>(all[index]) / std::max<double>(1, static_cast<double>(Sum(all))));
    }
    return text;
  }

  Json ToJson(const Counts& counts, bool) const override {
    Json json = {{"cpus", Json::array()}, {"total", ToJson(TimesOfAll(counts))}};
    for (size_t cpu = 0; cpu * TOOL_CLASSES < counts.size(); ++cpu) {
      const Times times = TimesOf(counts, cpu);
      if (Sum(times) == 0) continue;
      Json row = {{"cpu", cpu}};
      row.update(ToJson(times));
      json["cpus"].push_back(row);
    }
    return json;
  }

  uint64_t lost() const override { return programs_->bss->lost; }
  void Refresh() override { agents_->Refresh(programs_->maps.agents, &programs_->bss->has_agents); }

 private:
  // A program may be at work on a CPU's entry while it is copied: then once more.
  std::vector<tool_cpu_classes> ReadCpus() const {
    constexpr size_t kWords = sizeof(tool_cpu_classes) / sizeof(uint64_t);
    constexpr int kTries = 100;
    std::vector<tool_cpu_classes> cpus;
    for (int tries = 0; tries < kTries; ++tries) {
      const Counts words = ReadPerCpu(programs_->maps.cpus, 0);
      const Counts again = ReadPerCpu(programs_->maps.cpus, 0);
      if (cpus.empty()) cpus.resize(words.size() / kWords);
      bool all = true;
      for (size_t cpu = 0; cpu < cpus.size(); ++cpu) {
        const uint64_t version = words[cpu * kWords];
        if (cpus[cpu].version != 0) continue;  // had it before
        if (version % 2 == 0 && version == again[cpu * kWords]) {
          std::copy_n(&words[cpu * kWords], kWords, reinterpret_cast<uint64_t*>(&cpus[cpu]));
        } else {
          all = false;
        }
      }
      if (all) break;
    }
    return cpus;
  }

  static Times TimesOf(const Counts& counts, size_t cpu) {
    Times times;
    std::copy_n(counts.begin() + cpu * TOOL_CLASSES, TOOL_CLASSES, times.begin());
    return times;
  }

  static Times TimesOfAll(const Counts& counts) {
    Times all = {};
    for (size_t index = 0; index < counts.size(); ++index) all[index % TOOL_CLASSES] += counts[index];
    return all;
  }

  static Json ToJson(const Times& times) {
    Json json;
    for (size_t index = 0; index < kClasses.size(); ++index) {
      json[absl::StrCat(kClasses[index].name, "_ns")] = times[index];
    }
    return json;
  }

  Programs<schedclasstop> programs_;
  std::optional<Agents> agents_;
};

}  // namespace
}  // namespace ghost::tools

int main(int argc, char** argv) {
  return ghost::tools::RunTool(
      {.name = "schedclasstop",
       .summary = "what the CPUs' time goes to, by scheduling class",
       .examples = {"schedclasstop                     # a bar for each CPU, until Ctrl-C",
                    "schedclasstop --interval 1s       # of each second",
                    "schedclasstop -p 4711             # all but this process's time counts as idle"},
       .notes =
           "Under ghostd, ghost tasks and agents are classes of their own, as on a ghost kernel. See docs/tools.md.\n"},
      argc, argv, std::make_unique<ghost::tools::SchedClassTop>());
}
