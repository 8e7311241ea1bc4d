#include "tests/conformance/rule.h"

#include <string.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_split.h"
#include "lib/base/logging.h"

namespace ghost::conformance {
namespace {

std::vector<Rule>& Unsorted() {
  static auto& rules = *new std::vector<Rule>();
  return rules;
}

std::vector<int> Numbers(const std::string& section) {
  std::vector<int> numbers;
  for (const auto& part : absl::StrSplit(section, '.')) numbers.push_back(atoi(std::string(part).c_str()));
  return numbers;
}

}  // namespace

void Run::Differ(const std::string& text) {
  if (!over()) verdict_ = {.kind = Verdict::Kind::kDiffers, .text = text};
}

void Run::OfThisAbi(bool is_so, const std::string& reason) {
  if (!is_so && !over()) verdict_ = {.kind = Verdict::Kind::kNotHere, .text = reason};
}

void Run::Skip(const std::string& reason) {
  if (!over()) verdict_ = {.kind = Verdict::Kind::kSkipped, .text = reason};
}

bool Run::Await(const std::string& what, absl::FunctionRef<bool()> done) {
  if (over()) return false;
  if (world_.Await(done)) return true;
  Differ(what + ": it did not come");
  return false;
}

std::vector<std::function<std::unique_ptr<Story>()>>& Stories() {
  static auto& stories = *new std::vector<std::function<std::unique_ptr<Story>()>>();
  return stories;
}

bool AddRule(std::string section, std::string text, std::function<void(Run&)> body) {
  Unsorted().push_back({.section = std::move(section), .text = std::move(text), .body = std::move(body)});
  return true;
}

bool AddStory(const std::vector<StoryStep>& steps, std::function<std::unique_ptr<Story>()> make) {
  const int story = static_cast<int>(Stories().size());
  Stories().push_back(std::move(make));
  for (size_t i = 0; i < steps.size(); ++i) {
    Unsorted().push_back({.section = steps[i].section, .text = steps[i].text, .story = story, .step = i});
  }
  return true;
}

const std::vector<Rule>& AllRules() {
  static const bool sorted = [] {
    auto& rules = Unsorted();
    std::stable_sort(rules.begin(), rules.end(),
                     [](const Rule& a, const Rule& b) { return Numbers(a.section) < Numbers(b.section); });
    std::vector<std::string> names;
    for (const Rule& rule : rules) names.push_back(rule.Name());
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    GHOST_CHECK(twice == names.end()) << "two rules are named: " << *twice;
    return true;
  }();
  GHOST_CHECK(sorted);
  return Unsorted();
}

std::string ResultText(int64_t result) {
  if (result >= 0) return std::to_string(result);
  const char* name = result > -4096 ? strerrorname_np(static_cast<int>(-result)) : nullptr;
  return name == nullptr ? std::to_string(result) : absl::StrCat("-1 ", name);
}

}  // namespace ghost::conformance
