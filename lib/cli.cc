#include "lib/cli.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "kernel/abi/abi_version.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// Flags that the abseil library brings along.
bool IsAbseils(const absl::CommandLineFlag& flag) { return absl::StrContains(flag.Filename(), "absl/"); }

absl::Status UsageError(const ProgramInfo& program, absl::string_view what) {
  return WithHint(absl::InvalidArgumentError(what), absl::StrCat("'", program.name, " --help' lists the flags"));
}

// Reads argv word by word; see ParseCommandLine.
class Scanner {
 public:
  Scanner(const ProgramInfo& program, int argc, char** argv)
      : program_(program), words_(argv + std::min(argc, 1), argv + argc) {}

  absl::Status Scan() {
    for (index_ = 0; index_ < words_.size(); ++index_) {
      const std::string& word = words_[index_];
      if (word == "--") {
        arguments_.insert(arguments_.end(), words_.begin() + index_ + 1, words_.end());
        break;
      }
      if (word.size() < 2 || word[0] != '-') {
        arguments_.push_back(word);
        continue;
      }
      if (word == "-h") {
        help_ = true;
        continue;
      }
      GHOST_RETURN_IF_ERROR(ScanFlag(word));
    }
    if (!arguments_.empty() && program_.arguments.empty() && !help_ && !version_) {
      return UsageError(program_, absl::StrCat("unexpected argument \"", arguments_[0], "\""));
    }
    return absl::OkStatus();
  }

  bool help() const { return help_; }
  bool version() const { return version_; }
  bool needs_absl() const { return needs_absl_; }
  std::vector<std::string>& arguments() { return arguments_; }

 private:
  // `word` is --name, --name=value or --noname, with one dash or two; the value may be the next word.
  absl::Status ScanFlag(const std::string& word) {
    const absl::string_view body = absl::string_view(word).substr(absl::StartsWith(word, "--") ? 2 : 1);
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(body, absl::MaxSplits('=', 1));
    const absl::string_view name = parts.first;
    const bool has_value = absl::StrContains(body, '=');
    if (name == "help" || name == "version") {
      (name == "help" ? help_ : version_) = true;
      return absl::OkStatus();
    }
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    bool negated = false;
    if (flag == nullptr && absl::StartsWith(name, "no")) {
      absl::CommandLineFlag* positive = absl::FindCommandLineFlag(name.substr(2));
      if (positive != nullptr && positive->IsOfType<bool>()) {
        flag = positive;
        negated = true;
      }
    }
    if (flag == nullptr) return UnknownFlag(name);
    if (negated && has_value) return UsageError(program_, absl::StrCat("flag --", name, " takes no value"));
    std::string value;
    if (has_value) {
      value = std::string(parts.second);
    } else if (flag->IsOfType<bool>()) {
      value = negated ? "false" : "true";
    } else if (index_ + 1 < words_.size()) {
      value = words_[++index_];
    } else {
      return UsageError(program_, absl::StrCat("flag --", name, " needs a value"));
    }
    if (IsAbseils(*flag)) {
      needs_absl_ = true;  // it reads the whole line once more
      return absl::OkStatus();
    }
    std::string error;
    if (flag->ParseFrom(value, &error)) return absl::OkStatus();
    std::string message = absl::StrCat("bad value \"", value, "\" for flag --", name);
    if (!error.empty()) absl::StrAppend(&message, ": ", error);
    return UsageError(program_, message);
  }

  // absl's --undefok=a,b, anywhere on the line, names flags that may be unknown.
  absl::Status UnknownFlag(absl::string_view name) {
    for (const std::string& word : words_) {
      const absl::string_view text = word;
      const size_t at = text.find("undefok=");
      if (at == absl::string_view::npos || at > 2) continue;
      for (absl::string_view ok : absl::StrSplit(text.substr(at + 8), ',')) {
        if (ok == name) return absl::OkStatus();
      }
    }
    return UsageError(program_, absl::StrCat("unknown flag --", name));
  }

  const ProgramInfo& program_;
  const std::vector<std::string> words_;
  size_t index_ = 0;
  bool help_ = false;
  bool version_ = false;
  bool needs_absl_ = false;
  std::vector<std::string> arguments_;
};

bool FlagIsTrue(absl::string_view name) {
  const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag != nullptr && flag->CurrentValue() == "true";
}

}  // namespace

std::string Help(const ProgramInfo& program) {
  std::string text = absl::StrCat(program.name, ": ", program.summary, "\n\nusage: ", program.name, " [flags]",
                                  program.arguments.empty() ? "" : " ", program.arguments, "\n\nflags:\n");
  std::map<std::string, const absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (!IsAbseils(*flag) && !flag->IsRetired()) flags[std::string(name)] = flag;
  }
  for (const auto& [name, flag] : flags) {
    absl::StrAppend(&text, "  --", name, flag->IsOfType<bool>() ? "" : "=…", "\n      ", flag->Help());
    const std::string value = flag->DefaultValue();
    absl::StrAppend(&text, value.empty() ? "" : absl::StrCat(" (default: ", value, ")"), "\n");
  }
  absl::StrAppend(&text, "  --help, --version\n      Say this, or which version this is; neither needs a kernel.\n");
  if (!program.examples.empty()) absl::StrAppend(&text, "\nexamples:\n");
  for (const std::string& example : program.examples) absl::StrAppend(&text, "  ", example, "\n");
  if (!program.notes.empty()) absl::StrAppend(&text, "\n", program.notes);
  return text;
}

CommandLine ParseCommandLine(const ProgramInfo& program, int argc, char** argv) {
  CommandLine line;
  Scanner scanner(program, argc, argv);
  const absl::Status status = scanner.Scan();
  if (scanner.help()) {
    std::cout << Help(program) << std::flush;
    line.exit_code = static_cast<int>(ExitCode::kOk);
  } else if (scanner.version()) {
    std::cout << program.name << " " << kProjectVersion << " (ghost ABI " << KnownAbis() << ")" << std::endl;
    line.exit_code = static_cast<int>(ExitCode::kOk);
  } else if (!status.ok()) {
    line.exit_code = Report(program.name, status);
  } else {
    if (scanner.needs_absl()) absl::ParseCommandLine(argc, argv);
    line.arguments = std::move(scanner.arguments());
    if (FlagIsTrue("ghost_version")) {
      std::cerr << kNewestAbi << std::endl;
      line.exit_code = static_cast<int>(ExitCode::kOk);
    }
  }
  return line;
}

}  // namespace ghost
