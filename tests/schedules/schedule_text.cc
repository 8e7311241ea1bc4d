#include "tests/schedules/schedule_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ghost::sim {
namespace {

double Us(int64_t ns) { return static_cast<double>(ns) / 1000; }

}  // namespace

ScheduleRecorder::ScheduleRecorder(const Workload* workload, Machine* machine)
    : workload_(*workload), machine_(*machine) {
  machine_.AddObserver(this);
}

// Threads are numbered in the order in which they were made, which is that of their tids.
std::string ScheduleRecorder::NameOf(const Thread& thread) {
  std::string& name = names_[thread.tid];
  if (!name.empty()) return name;
  const auto& threads = machine_.threads().all();
  const auto number = std::count_if(threads.begin(), threads.end(), [&](const auto& other) {
    const bool of_workload = other->scheduling_class != Thread::Class::kAgent;
    return of_workload && other->group == thread.group && other->tid <= thread.tid;
  });
  name = absl::StrCat(workload_.classes[static_cast<size_t>(thread.group)].name, ".", number);
  return name;
}

void ScheduleRecorder::OnRun(const Thread& thread, int64_t) {
  std::vector<Slice>& slices = slices_[thread.cpu];
  const std::string name = NameOf(thread);
  if (!slices.empty() && slices.back().thread == name && slices.back().to_ns == thread.resumed_ns) {
    slices.back().to_ns = -1;
    return;
  }
  slices.push_back({.thread = name, .from_ns = thread.resumed_ns});
}

void ScheduleRecorder::OnOff(const Thread& thread, OffReason reason, int64_t now_ns) {
  std::vector<Slice>& slices = slices_[thread.cpu];
  if (slices.empty() || slices.back().to_ns >= 0) return;
  slices.back().to_ns = now_ns;
  slices.back().reason = OffReasonName(reason);
  // It was chosen, but left before it executed.
  if (slices.back().from_ns >= now_ns && reason == OffReason::kPreempted) slices.pop_back();
}

std::string ScheduleRecorder::ToText(const Summary& summary, int64_t start_ns) const {
  std::string text;
  for (const auto& [cpu, slices] : slices_) {
    absl::StrAppend(&text, "cpu ", cpu, "\n");
    for (const Slice& slice : slices) {
      absl::StrAppendFormat(&text, "%12.3f - ", Us(slice.from_ns - start_ns));
      if (slice.to_ns < 0) {
        absl::StrAppendFormat(&text, "%12s  %s\n", "", slice.thread);
      } else {
        absl::StrAppendFormat(&text, "%12.3f  %-12s %s\n", Us(slice.to_ns - start_ns), slice.thread, slice.reason);
      }
    }
  }
  uint64_t all_ns = 0;
  for (const Summary::Class& c : summary.classes) all_ns += c.cpu_ns;
  for (const Summary::Class& c : summary.classes) {
    absl::StrAppendFormat(&text, "class %s: %.3f us of cpu", c.name, static_cast<double>(c.cpu_ns) / 1000);
    if (all_ns > 0) {
      absl::StrAppendFormat(&text, " (%.2f %%)", 100.0 * static_cast<double>(c.cpu_ns) / static_cast<double>(all_ns));
    }
    absl::StrAppend(&text, "\n");
  }
  for (const Summary::Stream& s : summary.streams) {
    absl::StrAppend(&text, "requests ", s.name, ": ", s.arrived, " arrived, ", s.response.count(), " served");
    if (s.has_deadline) absl::StrAppend(&text, ", deadlines missed ", s.missed);
    absl::StrAppend(&text, "\n");
  }
  return text;
}

}  // namespace ghost::sim
