// The command-line options of a ghostctl command: "--name", "--name VALUE", "--name=VALUE".
//
// What it is not: absl flags, which are global to a program and can't differ from command to command.
//
//     Options options;
//     options.AddFlag("json", &json).AddString("ghostfs", &directory);
//     GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
//     for (const std::string& pid : options.operands()) …
#ifndef GHOST_UTIL_CTL_OPTIONS_H_
#define GHOST_UTIL_CTL_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ghost::ctl {

class Options {
 public:
  // Where options may stand: before the first operand only (what follows belongs to another program), or anywhere.
  // A "--" ends them in both cases.
  enum Placement { kBeforeOperands, kAnywhere };

  // The targets keep their value when the option is not given.
  Options& AddFlag(const std::string& name, bool* target);
  Options& AddString(const std::string& name, std::string* target);
  // May be given several times.
  Options& AddList(const std::string& name, std::vector<std::string>* target);
  // "--name" alone stores `value_if_bare`; a value is taken from "--name=VALUE" only.
  Options& AddOptionalString(const std::string& name, const std::string& value_if_bare, std::string* target);

  // InvalidArgument for an unknown option, a missing value or one that is not wanted; HelpWanted() for --help and -h.
  absl::Status Parse(const std::vector<std::string>& args, Placement placement);

  const std::vector<std::string>& operands() const { return operands_; }

 private:
  struct Option {
    std::string name = {};
    bool* flag = nullptr;
    std::string* text = nullptr;
    std::vector<std::string>* list = nullptr;
    bool value_optional = false;
    std::string value_if_bare = {};
  };

  const Option* Find(const std::string& name) const;

  std::vector<Option> options_;
  std::vector<std::string> operands_;
};

// Not an error: the user asked for the command's help.
absl::Status HelpWanted();
bool IsHelpWanted(const absl::Status& status);

// A whole number in min..max, or InvalidArgument that says what `what` should have been.
absl::Status ParseNumber(const std::string& text, const std::string& what, int64_t min, int64_t max, int64_t* number);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_OPTIONS_H_
