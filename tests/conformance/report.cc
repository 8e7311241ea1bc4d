#include "tests/conformance/report.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace ghost::conformance {
namespace {

constexpr char kIntroduction[] =
    R"(# What a ghost kernel does, rule by rule

`tests/conformance` tests each of these rules against a kernel: the simulation, ghostd, or a real ghost kernel.

    bazel build -c opt //tests/conformance
    bazel-bin/tests/conformance/conformance                                   # ghostd, at ABI 69, 84 and 91
    bazel-bin/tests/conformance/conformance --kernel sim                      # the simulation
    bazel-bin/tests/conformance/conformance --ghostfs /sys/fs/ghost --abi 69  # the kernel that serves this ghostfs
    bazel-bin/tests/conformance/conformance --list

It is one program that needs nothing but root, and it prints for each rule `ok`, `DIFFERS` with what was expected and
what was seen, `skipped` with the reason, or `n/a`: not a rule of this ABI. Sections 0 to 12 are those of the kernel's
description; 13 is what was recorded on a real kernel, line by line; 14 is what the public implementation's own tests
ask of a kernel.

Below is what the simulation and ghostd do. Where the result is not the same at ABI 69, 84 and 91, the versions stand
behind it. This page is written by the program (a test compares it with the simulation's results):

    bazel-bin/tests/conformance/conformance --kernel sim,ghostd --quiet --markdown docs/conformance.md
)";

struct Section {
  const char* number;
  const char* title;
};

constexpr Section kSections[] = {
    {"0", "Thread ids and constants"},
    {"1", "ghostfs: every file"},
    {"1.1", "The top directory"},
    {"1.2", "The files of an enclave"},
    {"1.3", "Commands of an enclave's ctl"},
    {"1.4", "tasks: entering"},
    {"2", "ioctls: what comes before any of them"},
    {"2.1", "SW_GET_INFO"},
    {"2.2", "SW_FREE"},
    {"2.3", "CREATE_QUEUE"},
    {"2.4", "ASSOC_QUEUE"},
    {"2.5", "SET_DEFAULT_QUEUE"},
    {"2.6", "CONFIG_QUEUE_WAKEUP"},
    {"2.7", "GET_CPU_TIME"},
    {"2.9", "mmap"},
    {"2.10", "TIMERFD_SETTIME"},
    {"2.11", "RUN"},
    {"3", "Shared memory"},
    {"3.1", "Producing a message"},
    {"3.2", "When a task's message is sent at all"},
    {"4", "Messages"},
    {"4.1", "Waking agents"},
    {"5", "Transactions"},
    {"5.1", "Claiming"},
    {"5.2", "Asynchronous commits"},
    {"5.3", "COMMIT_TXN"},
    {"5.4", "The checks of a commit, in order"},
    {"5.5", "Sync groups"},
    {"6", "Picking the next task"},
    {"7", "Agents"},
    {"8", "Tasks"},
    {"9", "Destroying an enclave"},
    {"10", "Ticks, timeouts, tunables"},
    {"11", "Handing over to a new agent process"},
    {"12", "BPF"},
    {"13", "What was recorded on a real kernel of ABI 69"},
    {"13.1", "Recorded: a shell in ghostfs"},
    {"13.2", "Recorded: a probe's calls"},
    {"13.3", "Recorded: a probe's messages and commits"},
    {"14", "What the public implementation's own tests ask of a kernel"},
};

std::string TitleOf(const std::string& number) {
  for (const Section& section : kSections) {
    if (section.number == number) return section.title;
  }
  return "?";
}

const char* Word(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::kOk:
      return "ok";
    case Verdict::Kind::kDiffers:
      return "DIFFERS";
    case Verdict::Kind::kSkipped:
      return "skipped";
    case Verdict::Kind::kNotHere:
      return "n/a";
  }
  return "?";
}

std::string Xml(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (static_cast<unsigned char>(c) >= ' ') escaped += c;
    if (c == '\n') escaped += ' ';
  }
  return absl::StrReplaceAll(escaped, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// A cell's text: a bar would end it.
std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}}); }

// The columns of one kernel, an ABI each, and what their notes say.
struct Kernel {
  std::string name;
  std::vector<const Column*> columns;
  std::vector<std::string> notes;
};

// "ok", or where that depends on the ABI "ok (69), skipped [s3] (84, 91)".
std::string Merged(Kernel& kernel, size_t rule) {
  std::vector<std::pair<std::string, std::string>> words;  // and their ABIs
  for (const Column* column : kernel.columns) {
    const std::optional<Verdict>& verdict = column->verdicts[rule];
    std::string word = verdict.has_value() ? Word(verdict->kind) : "-";
    if (verdict.has_value() && verdict->kind != Verdict::Kind::kOk) {
      auto note = std::find(kernel.notes.begin(), kernel.notes.end(), verdict->text);
      if (note == kernel.notes.end()) note = kernel.notes.insert(note, verdict->text);
      absl::StrAppend(&word, " [", kernel.name.substr(0, 1), note - kernel.notes.begin() + 1, "]");
    }
    auto same = std::find_if(words.begin(), words.end(), [&](const auto& entry) { return entry.first == word; });
    if (same == words.end()) {
      words.push_back({word, std::to_string(column->abi)});
    } else {
      absl::StrAppend(&same->second, ", ", column->abi);
    }
  }
  if (words.size() == 1) return words[0].first;
  std::string text;
  for (const auto& [word, abis] : words) absl::StrAppend(&text, text.empty() ? "" : ", ", word, " (", abis, ")");
  return text;
}

}  // namespace

Totals Count(const Column& column) {
  Totals totals;
  for (const auto& verdict : column.verdicts) {
    if (!verdict.has_value()) continue;
    ++(verdict->kind == Verdict::Kind::kOk        ? totals.ok
       : verdict->kind == Verdict::Kind::kDiffers ? totals.differ
       : verdict->kind == Verdict::Kind::kSkipped ? totals.skipped
                                                  : totals.not_here);
  }
  return totals;
}

void PrintLine(std::ostream& out, const Rule& rule, const Verdict& verdict) {
  out << absl::StrFormat("%-8s %s\n", Word(verdict.kind), rule.Name());
  if (!verdict.text.empty()) out << "           " << verdict.text << "\n";
}

void WriteXml(std::ostream& out, const Column& column) {
  const std::string suite = absl::StrCat("conformance.", column.kernel, ".abi", column.abi);
  out << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites><testsuite name=\"" << suite << "\">\n";
  for (size_t i = 0; i < column.verdicts.size(); ++i) {
    const auto& verdict = column.verdicts[i];
    if (!verdict.has_value() || verdict->kind == Verdict::Kind::kNotHere) continue;
    out << absl::StrFormat("<testcase classname=\"%s\" name=\"%s\" status=\"run\" time=\"%.3f\">", suite,
                           Xml(AllRules()[i].Name()), verdict->seconds);
    if (verdict->kind == Verdict::Kind::kDiffers) out << "<failure message=\"" << Xml(verdict->text) << "\"/>";
    if (verdict->kind == Verdict::Kind::kSkipped) out << "<skipped message=\"" << Xml(verdict->text) << "\"/>";
    out << "</testcase>\n";
  }
  out << "</testsuite></testsuites>\n";
}

void WriteMarkdown(std::ostream& out, const std::vector<Column>& columns) {
  std::vector<Kernel> kernels;
  for (const Column& column : columns) {
    if (kernels.empty() || kernels.back().name != column.kernel) kernels.push_back({column.kernel, {}, {}});
    kernels.back().columns.push_back(&column);
  }
  const std::vector<Rule>& rules = AllRules();
  out << kIntroduction;
  std::string section;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].section != section) {
      section = rules[i].section;
      out << "\n## " << section << " " << TitleOf(section) << "\n\n| rule |";
      for (const Kernel& kernel : kernels) out << " " << kernel.name << " |";
      out << "\n|---|";
      for (size_t k = 0; k < kernels.size(); ++k) out << "---|";
      out << "\n";
    }
    out << "| " << Cell(rules[i].text) << " |";
    for (Kernel& kernel : kernels) out << " " << Merged(kernel, i) << " |";
    out << "\n";
  }
  for (const Kernel& kernel : kernels) {
    out << "\n## Notes on " << kernel.name << "\n\n";
    for (size_t i = 0; i < kernel.notes.size(); ++i) {
      out << "- [" << kernel.name.substr(0, 1) << i + 1 << "] " << Cell(kernel.notes[i]) << "\n";
    }
  }
}

}  // namespace ghost::conformance
