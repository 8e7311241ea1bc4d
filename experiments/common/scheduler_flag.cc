#include "experiments/common/scheduler_flag.h"

#include <utility>

#include "experiments/common/enum_flag.h"

namespace ghost {
namespace {

constexpr std::pair<const char*, Scheduler> kWords[] = {{"cfs", Scheduler::kCfs}, {"ghost", Scheduler::kGhost}};

}  // namespace

bool AbslParseFlag(absl::string_view text, Scheduler* scheduler, std::string* error) {
  return ParseWord(kWords, text, scheduler, error);
}

std::string AbslUnparseFlag(Scheduler scheduler) { return WordOf(kWords, scheduler); }

}  // namespace ghost
