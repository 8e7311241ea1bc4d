// An agent that breaks the rules of the ghost ABI, one named attack at a time. What it proves is shown by the scripts
// around it: the kernel goes on.
//
//     hostile_agent --attack NAME [--cpus LIST] [--attach ENCLAVE] [--die_at STEP]
//
// It makes an enclave and schedules in it (stage.h), says "ready DIRECTORY", and obeys lines: "attack" makes it strike,
// and say "attacked". It ends with its standard input. With --die_at it kills itself at that step of its start-up.
#include <stdio.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "lib/cli.h"
#include "tests/hostile/stage.h"

ABSL_FLAG(std::string, attack, "none", "Which; --list names them all.");
ABSL_FLAG(bool, list, false, "List the attacks and end.");
ABSL_FLAG(std::string, cpus, "0-1", "The CPUs of its enclave.");
ABSL_FLAG(std::string, attach, "", "The enclave that it takes over, instead of a new one.");
ABSL_FLAG(std::string, die_at, "", "The step of start-up (Stage::Step) at which it kills itself.");

namespace ghost::hostile {
namespace {

const std::vector<const std::vector<Attack>*> kAllAttacks = {&kMemoryAttacks, &kProtocolAttacks, &kLimitAttacks,
                                                             &kBpfAttacks};

const Attack* FindAttack(const std::string& name) {
  static const Attack kNone = {"none", "an agent as it should be", [](Stage&) {}};
  if (name == kNone.name) return &kNone;
  for (const std::vector<Attack>* attacks : kAllAttacks) {
    for (const Attack& attack : *attacks) {
      if (attack.name == name) return &attack;
    }
  }
  return nullptr;
}

int Main(int argc, char** argv) {
  const CommandLine line = ParseCommandLine({.name = "hostile_agent",
                                             .summary = "An agent that breaks the rules; a test of the kernel.",
                                             .examples = {"hostile_agent --attack txn_state --cpus 0-1"}},
                                            argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  if (absl::GetFlag(FLAGS_list)) {
    for (const std::vector<Attack>* attacks : kAllAttacks) {
      for (const Attack& attack : *attacks) printf("%-22s %s\n", attack.name, attack.what);
    }
    return 0;
  }
  const Attack* attack = FindAttack(absl::GetFlag(FLAGS_attack));
  Stage::Options options = attack != nullptr ? attack->options : Stage::Options{};
  if (attack == nullptr || ParseCpuList(absl::GetFlag(FLAGS_cpus), &options.cpus) != CpuParseError::kOk) {
    fprintf(stderr, "hostile_agent: no such attack or CPUs\nhint: --list names the attacks\n");
    return 2;
  }
  options.attach = absl::GetFlag(FLAGS_attach);
  options.die_at = absl::GetFlag(FLAGS_die_at);
  Stage stage(options);
  stage.SetUp();
  printf("ready %s\n", stage.enclave().directory().c_str());
  fflush(stdout);
  for (std::string order; std::getline(std::cin, order);) {
    if (order != "attack") continue;
    attack->run(stage);
    printf("attacked\n");
    fflush(stdout);
  }
  _exit(0);  // other threads are in the middle of things
}

}  // namespace
}  // namespace ghost::hostile

int main(int argc, char** argv) { return ghost::hostile::Main(argc, argv); }
