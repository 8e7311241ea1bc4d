#include "util/ctl/options.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ghost::ctl {

Options& Options::AddFlag(const std::string& name, bool* target) {
  options_.push_back({.name = name, .flag = target});
  return *this;
}

Options& Options::AddString(const std::string& name, std::string* target) {
  options_.push_back({.name = name, .text = target});
  return *this;
}

Options& Options::AddList(const std::string& name, std::vector<std::string>* target) {
  options_.push_back({.name = name, .list = target});
  return *this;
}

Options& Options::AddOptionalString(const std::string& name, const std::string& value_if_bare, std::string* target) {
  options_.push_back({.name = name, .text = target, .value_optional = true, .value_if_bare = value_if_bare});
  return *this;
}

const Options::Option* Options::Find(const std::string& name) const {
  for (const Option& option : options_) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

absl::Status Options::Parse(const std::vector<std::string>& args, Placement placement) {
  operands_.clear();
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    const bool is_option = arg.size() > 1 && arg[0] == '-';
    if (arg == "--" || (!is_option && placement == kBeforeOperands)) {
      operands_.insert(operands_.end(), args.begin() + i + (arg == "--" ? 1 : 0), args.end());
      return absl::OkStatus();
    }
    if (!is_option) {
      operands_.push_back(arg);
      continue;
    }

    if (arg == "--help" || arg == "-h") return HelpWanted();
    const size_t equals = arg.find('=');
    const bool has_value = equals != std::string::npos;
    std::string value = has_value ? arg.substr(equals + 1) : "";
    const size_t dashes = arg[1] == '-' ? 2 : 1;
    const Option* option = Find(arg.substr(dashes, has_value ? equals - dashes : std::string::npos));
    if (option == nullptr) return absl::InvalidArgumentError(absl::StrCat("unknown option ", arg));
    if (option->flag != nullptr) {
      if (has_value) return absl::InvalidArgumentError(absl::StrCat("--", option->name, " takes no value"));
      *option->flag = true;
      continue;
    }
    if (!has_value) {
      if (option->value_optional) {
        value = option->value_if_bare;
      } else if (i + 1 < args.size()) {
        value = args[++i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat("--", option->name, " needs a value"));
      }
    }
    if (option->list != nullptr) {
      option->list->push_back(std::move(value));
    } else {
      *option->text = std::move(value);
    }
  }
  return absl::OkStatus();
}

absl::Status HelpWanted() { return absl::CancelledError("help"); }

bool IsHelpWanted(const absl::Status& status) { return status.code() == absl::StatusCode::kCancelled; }

absl::Status ParseNumber(const std::string& text, const std::string& what, int64_t min, int64_t max, int64_t* number) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not ", what));
  }
  *number = value;
  return absl::OkStatus();
}

}  // namespace ghost::ctl
