// Rules and their verdicts: the suite's few pieces in place of a test framework, so that it runs anywhere.
//
//     RULE("2.3", "CREATE_QUEUE with flags: EINVAL") {
//       Enclave enclave(run);
//       run.Want("result", Errno(EINVAL), enclave.CreateQueue({.elems = 64, .flags = 1}));
//     }
//
// A rule is named by its section of the specification (docs/conformance.md lists the sections) and its text, which must
// be its own. Its function may say what it wants any number of times: the first difference is the verdict, and all
// that follows is then without effect, so that no case needs an exit for each step.
#ifndef GHOST_TESTS_CONFORMANCE_RULE_H_
#define GHOST_TESTS_CONFORMANCE_RULE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "kernel/abi/abi_version.h"
#include "tests/conformance/world.h"

namespace ghost::conformance {

struct Verdict {
  // kNotHere: the rule is not one of this ABI.
  enum class Kind { kOk, kDiffers, kSkipped, kNotHere } kind = Kind::kOk;
  std::string text;  // the difference, or why it was not tested
  double seconds = 0;
};

// One execution of a rule.
class Run {
 public:
  Run(World* world, const AbiVersion* abi) : world_(*world), abi_(*abi) {}

  World& world() { return world_; }
  const Traits& traits() const { return world_.traits(); }
  const AbiVersion& abi() const { return abi_; }

  template <typename A, typename B>
  void Want(const std::string& what, const A& expected, const B& seen) {
    if (!(expected == seen)) Differ(absl::StrCat(what, ": expected ", expected, ", saw ", seen));
  }
  void Want(const std::string& what, bool is_so) {
    if (!is_so) Differ(absl::StrCat(what, ": is not so"));
  }
  void Differ(const std::string& text);
  void Skip(const std::string& reason);
  // Skips for lack of something, if it lacks.
  void Need(bool have, const std::string& reason) {
    if (!have) Skip(reason);
  }
  // The rule is one of this ABI only if `is_so`; `reason` says why it is not.
  void OfThisAbi(bool is_so, const std::string& reason);
  bool over() const { return verdict_.kind != Verdict::Kind::kOk; }
  // World::Await, but at once once the verdict stands. `what` is said if it does not come.
  bool Await(const std::string& what, absl::FunctionRef<bool()> done);

  Verdict& verdict() { return verdict_; }
  std::map<pid_t, std::string>& names() { return names_; }  // of threads, for texts

 private:
  World& world_;
  const AbiVersion& abi_;
  Verdict verdict_;
  std::map<pid_t, std::string> names_;
};

// Rules that are steps of one story: they run together, and each has its own verdict.
class Story {
 public:
  virtual ~Story() = default;
  // Runs the next step; called once for each rule, in order.
  virtual void Step(Run& run, size_t index) = 0;
};

struct Rule {
  std::string section;
  std::string text;
  std::function<void(Run&)> body;  // empty for a step of a story
  int story = -1;                  // index of the story
  size_t step = 0;

  std::string Name() const { return absl::StrCat(section, " ", text); }
};

// All rules, by section; in a section in the order in which they were added. Sorted at the first call.
const std::vector<Rule>& AllRules();
std::vector<std::function<std::unique_ptr<Story>()>>& Stories();

bool AddRule(std::string section, std::string text, std::function<void(Run&)> body);
struct StoryStep {
  std::string section;
  std::string text;
};
bool AddStory(const std::vector<StoryStep>& steps, std::function<std::unique_ptr<Story>()> make);

// "-1 EINVAL", "5": results as people read them.
std::string ResultText(int64_t result);
inline std::string Errno(int error) { return ResultText(-error); }

#define CONFORMANCE_CAT_(a, b) a##b
#define CONFORMANCE_CAT(a, b) CONFORMANCE_CAT_(a, b)
#define RULE(section, text)                                                          \
  static void CONFORMANCE_CAT(Rule, __LINE__)(::ghost::conformance::Run&);           \
  [[maybe_unused]] static const bool CONFORMANCE_CAT(kRuleAdded, __LINE__) =         \
      ::ghost::conformance::AddRule(section, text, CONFORMANCE_CAT(Rule, __LINE__)); \
  static void CONFORMANCE_CAT(Rule, __LINE__)([[maybe_unused]] ::ghost::conformance::Run & run)

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_RULE_H_
