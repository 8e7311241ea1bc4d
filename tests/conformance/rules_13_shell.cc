// What a shell saw of ghostfs on a real kernel of ABI 69 (kernel/usermode/linux/testdata/ghostfs_abi69.txt): each of
// its commands is a rule, and the rules are one story.
//
// The commands are few and of few shapes; they are carried out here, so that no shell is needed. (The end-to-end half,
// with a shell and FUSE between, is kernel/usermode/linux/ghostfs_recording_test.cc.)
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/conformance/ghostfs_abi69.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

using Lines = std::vector<std::string>;

// "rw-rw----", as ls writes it.
std::string ModeText(uint32_t mode) {
  std::string text(1, S_ISDIR(mode) ? 'd' : '-');
  for (int bit = 8; bit >= 0; --bit) text += ((mode >> bit) & 1) == 0 ? '-' : "xwr"[bit % 3];
  return text;
}

std::string GroupName(gid_t gid) { return gid == 0 ? "root" : gid == 100 ? "users" : std::to_string(gid); }

// The few commands of the recording.
class Shell {
 public:
  explicit Shell(Run& run) : run_(run) {}

  // What it prints: of an error, what it is.
  Lines Do(const std::string& command, std::map<int, int64_t>* fds) {
    Lines output;
    bool failed = false;
    for (const auto& part : absl::StrSplit(command, "; ")) failed = !DoOne(std::string(part), fds, &output);
    if (failed) output.push_back("[exit 1]");
    return output;
  }

 private:
  static std::string Path(const std::string& word) {
    return std::string(absl::StripPrefix(absl::StripPrefix(word, "$G"), "/"));
  }
  bool Fails(int64_t result, Lines* output) {
    if (result < 0) output->push_back(strerror(static_cast<int>(-result)));
    return result < 0;
  }

  bool DoOne(const std::string& command, std::map<int, int64_t>* fds, Lines* output) {
    std::smatch m;
    if (std::regex_match(command, m, std::regex("(echo|printf) '?([^']*?)'? >&?(?: )?(\\S+)"))) {
      const std::string text = m[2].str() + (m[1] == "echo" ? "\n" : "");
      int number = 0;
      if (absl::SimpleAtoi(m[3].str(), &number)) return !Fails(WriteFd(run_, (*fds)[number], text), output);
      return !Fails(Write(run_, Path(m[3]), text), output);
    }
    if (std::regex_match(command, m, std::regex("cat ([^<]\\S*)( \\| od -c)?"))) return Cat(m[1], output);
    if (std::regex_match(command, m, std::regex("(\\(?)exec (\\d)(<>|<)(\\S+?)\\)?"))) {
      const int64_t fd = Open(run_, Path(m[4]), m[3] == "<>" ? O_RDWR : O_RDONLY);
      (*fds)[m[2].str()[0] - '0'] = fd;
      return !Fails(fd, output);
    }
    if (std::regex_match(command, m, std::regex("exec (\\d)>&-"))) {
      Close(run_, (*fds)[m[1].str()[0] - '0']);
      return true;
    }
    if (std::regex_match(command, m, std::regex("cat <&(\\d)"))) {
      return Show(ReadFd(run_, (*fds)[m[1].str()[0] - '0']), output);
    }
    if (absl::StartsWith(command, "ls ")) return Ls(absl::StrSplit(command.substr(3), ' '), output);
    run_.Differ("the suite does not know this command");
    return false;
  }

  bool Cat(const std::string& file, Lines* output) { return Show(Read(run_, Path(file)), output); }
  bool Show(const std::string& text, Lines* output) {
    if (absl::StartsWith(text, "-1 E")) {
      for (int error = 1; error < 200; ++error) {
        if (text == Errno(error)) return !Fails(-error, output);
      }
    }
    if (!text.empty()) output->push_back(text);
    return true;
  }

  bool Ls(const Lines& words, Lines* output) {
    const bool details = words[0] == "-l" || words[0] == "-ld", itself = words[0] == "-ld";
    Lines files(words.begin() + (details ? 1 : 0), words.end());
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      const FileInfo info = run_.world().Stat(Path(file)).value_or(FileInfo{});
      if (itself || !S_ISDIR(info.mode)) {
        output->push_back(Line(info, file, details));
        continue;
      }
      if (files.size() > 1) output->push_back(file + ":");
      for (const std::string& name : run_.world().List(Path(file))) {
        const std::string path = Path(file).empty() ? name : absl::StrCat(Path(file), "/", name);
        if (name != "stats") output->push_back(Line(run_.world().Stat(path).value_or(FileInfo{}), name, details));
      }
    }
    return true;
  }
  static std::string Line(const FileInfo& info, const std::string& name, bool details) {
    if (!details) return name;
    return absl::StrCat(ModeText(info.mode), " ", info.uid == 0 ? "root" : "?", " ", GroupName(info.gid), " ",
                        S_ISDIR(info.mode) ? 0 : info.size, " ", name);
  }

  Run& run_;
};

// What od -c shows of a text: each byte in four columns.
std::string FromOd(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) {
    for (size_t at = 0; at < line.size(); at += 4) {
      const std::string byte(absl::StripAsciiWhitespace(line.substr(at, 4)));
      text += byte.empty() ? " " : byte == "\\n" ? "\n" : byte;
    }
  }
  return text;
}

struct Step {
  std::string command;
  Lines output;
};

std::string Normal(std::string line) {
  static const std::regex error("^(?:cat|echo|bash|\\$G|/)[^:]*: (?:.*: )?([A-Z][a-z]+ .*)$");
  static const std::regex details("^([-drwx]{10}) +\\d+ (\\w+) (\\w+) +(\\d+) [A-Z][a-z]{2} +\\d+ [\\d:]+ ");
  line = std::regex_replace(line, details, "$1 $2 $3 $4 ");
  return std::regex_replace(line, error, "$1");
}

std::vector<Step> Recorded() {
  std::vector<Step> steps;
  for (const auto& part : absl::StrSplit(kGhostfsAbi69, '\n')) {
    const std::string line(part);
    if (absl::StartsWith(line, "+ ")) {
      steps.push_back({line.substr(2), {}});
    } else if (!steps.empty() && !line.empty() && !absl::StartsWith(line, "total ")) {
      steps.back().output.push_back(line);
    }
  }
  for (Step& step : steps) {
    const bool failed = !step.output.empty() && step.output.back() == "[exit 1]";
    if (absl::EndsWith(step.command, "| od -c") && !failed && !step.output.empty()) {
      step.output = {FromOd(step.output)};
    } else {
      for (std::string& line : step.output) line = Normal(line);
    }
  }
  return steps;
}

// Numbers of CPUs that only a kernel built for 64 refuses.
bool NeedsSixtyFour(const std::string& command) {
  return absl::StrContains(command, "'64'") || absl::StrContains(command, "'1,00000000,00000000'");
}

class ShellStory : public Story {
 public:
  void Step(Run& run, size_t index) override {
    static const auto& steps = *new std::vector<conformance::Step>(Recorded());
    const conformance::Step& step = steps[index];
    run.OfThisAbi(run.abi().number == 69, "recorded at ABI 69");
    if (run.over()) return;
    if (run.traits().num_cpus != 4) return run.Skip("recorded with 4 CPUs");
    if (run.traits().nr_cpus != 64 && NeedsSixtyFour(step.command)) return run.Skip("recorded with NR_CPUS = 64");
    Lines seen = Shell(run).Do(step.command, &fds_);
    // Enclaves go a moment after `destroy`.
    if (absl::StartsWith(step.command, "echo destroy >") && absl::StrContains(step.command, "; ls")) {
      run.world().Await([&] { return run.over() || (seen = Shell(run).Do("ls $G", &fds_)) == step.output; });
    }
    run.Want("output", absl::StrJoin(step.output, " / "), absl::StrJoin(seen, " / "));
  }

 private:
  std::map<int, int64_t> fds_;
};

const bool kAdded = [] {
  std::vector<StoryStep> rules;
  std::map<std::string, int> times;  // the same command may come several times
  for (const Step& step : Recorded()) {
    const int time = ++times[step.command];
    const std::string command = absl::StrReplaceAll(step.command, {{"$G", "/sys/fs/ghost"}});
    rules.push_back({"13.1", time == 1 ? command : absl::StrCat(command, " (", time, ")")});
  }
  return AddStory(rules, [] { return std::make_unique<ShellStory>(); });
}();

}  // namespace
}  // namespace ghost::conformance
