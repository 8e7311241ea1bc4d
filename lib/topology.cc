#include "lib/topology.h"

#include <dirent.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

constexpr char kListHint[] = "write CPUs as a list such as 0-3,8";

std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// A range "a-b" whose end is below its start.
bool RunsBackwards(absl::string_view item) {
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(item, absl::MaxSplits('-', 1));
  int64_t first, last;
  return absl::SimpleAtoi(ends.first, &first) && absl::SimpleAtoi(ends.second, &last) && last < first;
}

// The greatest number in a list item, as text, or "" if it has none: for messages.
std::string LastNumber(absl::string_view item) {
  std::string best;
  for (absl::string_view word : absl::StrSplit(item, absl::ByAnyChar("-:/ "))) {
    int64_t number, greatest = -1;
    if (!absl::SimpleAtoi(word, &number)) continue;
    if (best.empty() || (absl::SimpleAtoi(best, &greatest) && number > greatest)) best = std::string(word);
  }
  return best;
}

// A kernel's own list, of which numbers beyond CpuSet's capacity are cut off.
CpuSet ParseMachineList(absl::string_view text) {
  CpuSet cpus;
  for (absl::string_view item : absl::StrSplit(absl::StripAsciiWhitespace(text), ',', absl::SkipEmpty())) {
    CpuSet part;
    CpuParseError error = ParseCpuList(ToStd(item), &part);
    if (error == CpuParseError::kRange) {
      const std::string clipped = absl::StrCat(item.substr(0, item.find('-')), "-", CpuSet::kMaxCpus - 1);
      error = ParseCpuList(clipped, &part);
    }
    if (error == CpuParseError::kOk) cpus |= part;
  }
  return cpus;
}

// The list in a file, or the empty set if there is no such file.
CpuSet ReadList(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? ParseMachineList(*text) : CpuSet();
}

// The numbers n of the entries "<prefix>n" in a directory.
std::vector<int> NumberedEntries(const std::string& directory, absl::string_view prefix) {
  std::vector<int> numbers;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (dir == nullptr) return numbers;
  while (const dirent* entry = readdir(dir.get())) {
    absl::string_view name = entry->d_name;
    int number;
    if (name.size() <= prefix.size() || name.substr(0, prefix.size()) != prefix) continue;
    name.remove_prefix(prefix.size());
    if (absl::SimpleAtoi(name, &number) && number >= 0) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// The CPUs that share this CPU's level-3 cache; empty if it has none.
CpuSet ReadL3(const std::string& cpu_directory) {
  const std::string cache = absl::StrCat(cpu_directory, "/cache");
  for (int index : NumberedEntries(cache, "index")) {
    const std::string entry = absl::StrCat(cache, "/index", index);
    absl::StatusOr<std::string> level = ReadFile(absl::StrCat(entry, "/level"));
    if (level.ok() && absl::StripAsciiWhitespace(*level) == "3")
      return ReadList(absl::StrCat(entry, "/shared_cpu_list"));
  }
  return CpuSet();
}

}  // namespace

std::string Topology::Cpu::ToString() const {
  if (!valid()) return "no cpu";
  return absl::StrFormat("cpu %d (core %d, smt %d, node %d)", id(), core(), smt_index(), numa_node());
}

absl::StatusOr<Topology> Topology::FromSysfs(const std::string& sys) {
  const std::string cpu_root = absl::StrCat(sys, "/devices/system/cpu");
  absl::StatusOr<std::string> online_text = ReadFile(absl::StrCat(cpu_root, "/online"));
  if (!online_text.ok()) {
    return WithHint(
        absl::NotFoundError(absl::StrCat("the CPUs of this machine are unknown: ", online_text.status().message())),
        "sysfs must be mounted at /sys");
  }
  const CpuSet online = ParseMachineList(*online_text);
  if (online.empty()) {
    return absl::InternalError(absl::StrCat(cpu_root, "/online lists no CPU"));
  }
  std::vector<Record> records;
  records.reserve(online.size());
  for (int cpu : online) {
    const std::string directory = absl::StrCat(cpu_root, "/cpu", cpu);
    records.push_back({.cpu = cpu,
                       .siblings = ReadList(absl::StrCat(directory, "/topology/thread_siblings_list")),
                       .l3_siblings = ReadL3(directory)});
  }
  const std::string node_root = absl::StrCat(sys, "/devices/system/node");
  for (int node : NumberedEntries(node_root, "node")) {
    const CpuSet cpus = ReadList(absl::StrCat(node_root, "/node", node, "/cpulist"));
    for (Record& record : records) {
      if (cpus.Contains(record.cpu)) record.numa_node = node;
    }
  }
  return Build(std::move(records), ReadList(absl::StrCat(cpu_root, "/present")) - online);
}

absl::StatusOr<Topology> Topology::Custom(const std::vector<Record>& records, const CpuSet& offline) {
  std::vector<Record> sorted = records;
  std::sort(sorted.begin(), sorted.end(), [](const Record& a, const Record& b) { return a.cpu < b.cpu; });
  for (size_t i = 0; i < sorted.size(); ++i) {
    const Record& record = sorted[i];
    if (!CpuSet::InRange(record.cpu)) {
      return absl::InvalidArgumentError(absl::StrCat("CPU ", record.cpu, " is out of range"));
    }
    if (i > 0 && sorted[i - 1].cpu == record.cpu) {
      return absl::InvalidArgumentError(absl::StrCat("CPU ", record.cpu, " is listed twice"));
    }
    if (record.numa_node < 0 || record.numa_node >= CpuSet::kMaxCpus) {
      return absl::InvalidArgumentError(absl::StrCat("CPU ", record.cpu, " is on node ", record.numa_node));
    }
  }
  return Build(std::move(sorted), offline);
}

Topology Topology::Flat(int num_cpus) {
  std::vector<Record> records(std::clamp(num_cpus, 0, CpuSet::kMaxCpus));
  for (size_t i = 0; i < records.size(); ++i) records[i].cpu = static_cast<int>(i);
  return Build(std::move(records), CpuSet());
}

absl::StatusOr<Topology> Topology::OfKernel(Kernel* kernel) {
  if (!kernel->user_mode()) return FromSysfs();
  GHOST_ASSIGN_OR_RETURN(const int num_cpus, kernel->PossibleCpus());
  return Flat(num_cpus);
}

Topology Topology::Build(std::vector<Record> records, const CpuSet& offline) {
  Topology topology;
  topology.records_ = std::move(records);
  for (size_t i = 0; i < topology.records_.size(); ++i) {
    topology.slots_[topology.records_[i].cpu] = static_cast<int16_t>(i);
    topology.all_cpus_.Add(topology.records_[i].cpu);
  }
  topology.offline_cpus_ = offline - topology.all_cpus_;
  topology.GroupCores();
  for (Record& record : topology.records_) {
    if (!record.l3_siblings.empty()) {
      record.l3_siblings &= topology.all_cpus_;
      record.l3_siblings.Add(record.cpu);
    }
    if (record.numa_node >= static_cast<int>(topology.nodes_.size())) topology.nodes_.resize(record.numa_node + 1);
    CpuSet& node = topology.nodes_[record.numa_node];
    if (node.empty()) ++topology.num_numa_nodes_;
    node.Add(record.cpu);
  }
  return topology;
}

// Partitions the CPUs into cores: each CPU, from the lowest on, takes the siblings that it names and that no lower CPU
// has taken.
void Topology::GroupCores() {
  CpuSet free = all_cpus_;
  for (const Record& lowest : records_) {
    if (!free.Contains(lowest.cpu)) continue;
    CpuSet siblings = lowest.siblings & free;
    siblings.Add(lowest.cpu);
    free -= siblings;
    int index = 0;
    for (int cpu : siblings) {
      Record& member = records_[slots_[cpu]];
      member.siblings = siblings;
      member.core = num_cores_;
      member.smt_index = index++;
    }
    all_cores_.Add(siblings.First());
    ++num_cores_;
    smt_count_ = std::max(smt_count_, index);
    if (siblings.Last() - siblings.First() + 1 != index) consecutive_smt_numbering_ = false;
  }
}

const CpuSet& Topology::CpusOnNode(int node) const {
  static constexpr CpuSet kNone;
  return node >= 0 && node < static_cast<int>(nodes_.size()) ? nodes_[node] : kNone;
}

absl::StatusOr<CpuSet> Topology::ParseCpus(absl::string_view text) const {
  const absl::string_view stripped = absl::StripAsciiWhitespace(text);
  if (stripped.empty()) return WithHint(absl::InvalidArgumentError("no CPUs are given"), kListHint);
  CpuSet cpus;
  for (absl::string_view item : absl::StrSplit(stripped, ',')) {
    CpuSet part;
    switch (ParseCpuList(ToStd(item), &part)) {
      case CpuParseError::kOk:
        break;
      case CpuParseError::kRange:
        return WithHint(absl::InvalidArgumentError(absl::StrCat("CPU ", LastNumber(item), " does not exist")),
                        absl::StrCat("the CPUs here are ", ToCpuList(all_cpus_)));
      default:
        if (RunsBackwards(item)) {
          return WithHint(absl::InvalidArgumentError(absl::StrCat("the range \"", item, "\" runs backwards")),
                          kListHint);
        }
        return WithHint(absl::InvalidArgumentError(absl::StrCat("\"", item, "\" is not a CPU or a range of CPUs")),
                        kListHint);
    }
    if (part.empty()) {
      return WithHint(absl::InvalidArgumentError(absl::StrCat("\"", stripped, "\" has an empty part")), kListHint);
    }
    GHOST_RETURN_IF_ERROR(CheckExists(part));
    cpus |= part;
  }
  return cpus;
}

absl::Status Topology::CheckExists(const CpuSet& cpus) const {
  const CpuSet missing = cpus - all_cpus_;
  if (missing.empty()) return absl::OkStatus();
  const CpuSet offline = missing & offline_cpus_;
  const std::string hint = absl::StrCat("the CPUs here are ", ToCpuList(all_cpus_));
  if (!offline.empty() && offline == missing) {
    const int cpu = offline.First();
    return WithHint(absl::InvalidArgumentError(absl::StrCat("CPU ", cpu, " is offline")),
                    absl::StrCat("'echo 1 > /sys/devices/system/cpu/cpu", cpu, "/online' brings it back; ", hint));
  }
  const CpuSet unknown = missing - offline;
  return WithHint(absl::InvalidArgumentError(absl::StrCat("CPU ", unknown.Last(), " does not exist")), hint);
}

std::string Topology::ToString() const {
  constexpr int kCoresPerLine = 8;
  std::string text = "Core map\n";
  int column = 0;
  for (int first : all_cores_) {
    if (column > 0) text += column % kCoresPerLine == 0 ? '\n' : '\t';
    ++column;
    text += '(';
    for (int cpu : this->cpu(first).siblings()) absl::StrAppendFormat(&text, "%3d", cpu);
    text += " )";
  }
  text += '\n';
  return text;
}

}  // namespace ghost
