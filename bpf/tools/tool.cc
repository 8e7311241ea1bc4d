#include "bpf/tools/tool.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost::tools {
namespace {

constexpr absl::Duration kRefresh = absl::Milliseconds(250);
constexpr absl::Duration kLiveView = absl::Seconds(1);
constexpr char kHomeAndClear[] = "\033[H\033[J";

Counts Difference(const Counts& now, const Counts& before) {
  Counts difference(now.size());
  for (size_t index = 0; index < now.size(); ++index) {
    // A reading is not one moment for all CPUs: what a turn under way adds may shrink once, by a little.
    difference[index] = now[index] > before[index] ? now[index] - before[index] : 0;
  }
  return difference;
}

class Session {
 public:
  Session(const ProgramInfo& program, Options options, Tool* tool)
      : program_(program), options_(std::move(options)), tool_(tool) {}

  absl::Status Run() {
    GHOST_ASSIGN_OR_RETURN(SignalFd signals, SignalFd::Open(SignalSet({SIGINT, SIGTERM})));
    GHOST_RETURN_IF_ERROR(tool_->Start(options_));
    start_ = last_time_ = Time::Now();
    last_ = first_ = tool_->Read();
    (options_.json ? std::cerr : std::cout) << "Ctrl-c to exit" << std::endl;
    live_ = !options_.json && isatty(STDOUT_FILENO) == 1;
    const bool live_totals = live_ && options_.interval == absl::ZeroDuration();
    const absl::Duration interval = live_totals ? kLiveView : options_.interval;
    int64_t done = 0;
    for (Time due = start_ + interval; Wait(signals, interval > absl::ZeroDuration(), due); due = due + interval) {
      ++done;
      if (done == options_.count) break;
      Report(live_totals);
    }
    if (options_.count > 1 && done == options_.count) Report(false);
    Report(true);
    if (const uint64_t lost = tool_->lost(); lost > 0) {
      std::cerr << program_.name << ": " << lost << " times what was known of a task had to make room for another's"
                << std::endl;
    }
    return absl::OkStatus();
  }

 private:
  // True once it is `due`, if it ever is; false when a signal comes.
  bool Wait(SignalFd& signals, bool has_due, Time due) {
    for (;;) {
      if (signals.Next().has_value()) return false;
      const Time now = Time::Now();
      if (has_due && now >= due) return true;
      absl::Duration pause = kRefresh;
      if (has_due) pause = std::min(pause, due - now);
      pollfd descriptor = {signals.fd(), POLLIN, 0};
      poll(&descriptor, 1, static_cast<int>(absl::ToInt64Milliseconds(pause)) + 1);
      tool_->Refresh();
    }
  }

  void Report(bool total) {
    const Time now = Time::Now();
    const Counts counts = tool_->Read();
    const Counts shown = Difference(counts, total ? first_ : last_);
    const double seconds = absl::ToDoubleSeconds(now - (total ? start_ : last_time_));
    if (!total) {
      last_ = counts;
      last_time_ = now;
    }
    if (options_.json) {
      Json json = {{"tool", program_.name}, {"report", total ? "total" : "interval"},
                   {"seconds", seconds},    {"tasks", options_.tasks},
                   {"lost", tool_->lost()}, {"unit_of_rows", UnitName(options_.unit)}};
      json.update(tool_->ToJson(shown, total));
      std::cout << json.dump() << std::endl;
      return;
    }
    std::cout << (live_ ? kHomeAndClear : "")
              << absl::StrFormat("%s: %s, %.1f s%s\n", program_.name, options_.tasks, seconds, total ? " in all" : "")
              << tool_->Text(shown, total) << std::endl;
  }

  const ProgramInfo& program_;
  const Options options_;
  Tool* const tool_;
  bool live_ = false;
  Time start_;
  Time last_time_;
  Counts first_;
  Counts last_;
};

}  // namespace

int RunTool(const ProgramInfo& program, int argc, char** argv, std::unique_ptr<Tool> tool) {
  const CommandLine line = ParseCommandLine(program, argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  absl::StatusOr<Options> options = ReadOptions();
  if (!options.ok()) return Report(program.name, options.status());
  const absl::Status status = Session(program, *std::move(options), tool.get()).Run();
  return status.ok() ? static_cast<int>(ExitCode::kOk) : Report(program.name, status);
}

}  // namespace ghost::tools
