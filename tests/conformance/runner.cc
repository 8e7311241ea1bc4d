#include "tests/conformance/runner.h"

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/time.h"

namespace ghost::conformance {
namespace {

bool Wanted(const Rule& rule, const std::string& filter) {
  return filter.empty() || absl::StrContains(rule.Name(), filter);
}

// The kernel is as before; if not, that is what differs.
void EndCase(World& world, Verdict* verdict) {
  const std::string problem = world.EndCase();
  if (problem.empty() || verdict->kind == Verdict::Kind::kDiffers) return;
  *verdict = {.kind = Verdict::Kind::kDiffers, .text = absl::StrCat("afterwards: ", problem)};
}

class Runner {
 public:
  Runner(World& world, const AbiVersion& abi, const std::function<void(const Rule&, const Verdict&)>& seen)
      : world_(world), abi_(abi), seen_(seen) {
    column_ = {.kernel = world.traits().name, .abi = abi.number, .verdicts = {}};
    column_.verdicts.resize(AllRules().size());
  }

  void RunAlone(size_t index) {
    const Time start = Time::Now();
    Run run(&world_, &abi_);
    AllRules()[index].body(run);
    EndCase(world_, &run.verdict());
    Keep(index, run.verdict(), start);
  }

  // All steps of the story of which `first` is the first one.
  void RunStory(size_t first, const std::string& filter) {
    const std::vector<Rule>& rules = AllRules();
    const int number = rules[first].story;
    std::vector<size_t> steps;
    for (size_t i = 0; i < rules.size(); ++i) {
      if (rules[i].story != number) continue;
      if (steps.size() <= rules[i].step) steps.resize(rules[i].step + 1);
      steps[rules[i].step] = i;
    }
    while (!steps.empty() && !Wanted(rules[steps.back()], filter)) steps.pop_back();
    if (steps.empty()) return;
    std::unique_ptr<Story> story = Stories()[static_cast<size_t>(number)]();
    for (size_t i = 0; i < steps.size(); ++i) {
      const Time start = Time::Now();
      Run run(&world_, &abi_);
      story->Step(run, i);
      if (i + 1 == steps.size()) {
        story.reset();
        EndCase(world_, &run.verdict());
      }
      if (Wanted(rules[steps[i]], filter)) Keep(steps[i], run.verdict(), start);
    }
  }

  Column Take() { return std::move(column_); }

 private:
  void Keep(size_t index, Verdict verdict, Time start) {
    verdict.seconds = absl::ToDoubleSeconds(Time::Now() - start);
    seen_(AllRules()[index], verdict);
    column_.verdicts[index] = std::move(verdict);
  }

  World& world_;
  const AbiVersion& abi_;
  const std::function<void(const Rule&, const Verdict&)>& seen_;
  Column column_;
};

}  // namespace

Column RunRules(World& world, const AbiVersion& abi, const std::string& filter,
                const std::function<void(const Rule&, const Verdict&)>& seen) {
  Runner runner(world, abi, seen);
  const std::vector<Rule>& rules = AllRules();
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].story < 0) {
      if (Wanted(rules[i], filter)) runner.RunAlone(i);
    } else if (rules[i].step == 0) {
      runner.RunStory(i, filter);
    }
  }
  return runner.Take();
}

}  // namespace ghost::conformance
