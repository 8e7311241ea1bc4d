#include "kernel/usermode/sim/trace.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernel/abi/message.h"
#include "kernel/usermode/core/identity.h"
#include "kernel/usermode/sim/machine.h"
#include "lib/run_request.h"

namespace ghost::sim {
namespace {

constexpr int kTaskTrack = 0;   // pid of the Chrome trace: threads on CPUs
constexpr int kAgentTrack = 1;  // … and agents

std::string Escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '"' || c == '\\') result.push_back('\\');
    result.push_back(static_cast<unsigned char>(c) < ' ' ? ' ' : c);
  }
  return result;
}

std::string Us(int64_t ns) { return absl::StrFormat("%d.%03d", ns / 1000, ns % 1000); }

}  // namespace

void Trace::Attach(Machine* machine) {
  machine_ = machine;
  start_ns_ = machine->now_ns();
  machine->AddObserver(this);
  machine->core().AddObserver(this);
}

void Trace::Add(Record record) {
  record.ns -= start_ns_;
  if (records_.size() < capacity_) {
    records_.push_back(record);
    return;
  }
  records_[first_] = record;
  first_ = (first_ + 1) % records_.size();
  ++dropped_;
}

void Trace::OnRun(const Thread& thread, int64_t now_ns) {
  Add({.ns = now_ns,
       .kind = Kind::kRun,
       .cpu = static_cast<int16_t>(thread.cpu),
       .group = static_cast<int16_t>(thread.group),
       .tid = thread.tid,
       .run_ns = thread.resumed_ns - start_ns_});
}

void Trace::OnOff(const Thread& thread, OffReason reason, int64_t now_ns) {
  Add({.ns = now_ns,
       .kind = Kind::kOff,
       .detail = static_cast<uint8_t>(reason),
       .cpu = static_cast<int16_t>(thread.cpu),
       .group = static_cast<int16_t>(thread.group),
       .tid = thread.tid});
}

void Trace::OnWake(const Thread& thread, int waker_cpu, int64_t now_ns) {
  Add({.ns = now_ns,
       .kind = Kind::kWake,
       .cpu = static_cast<int16_t>(thread.cpu),
       .group = static_cast<int16_t>(thread.group),
       .tid = thread.tid,
       .number = waker_cpu});
}

void Trace::OnExit(const Thread& thread, int64_t now_ns) {
  Add({.ns = now_ns,
       .kind = Kind::kExit,
       .cpu = static_cast<int16_t>(thread.cpu),
       .group = static_cast<int16_t>(thread.group),
       .tid = thread.tid});
}

void Trace::OnAgent(int cpu, Tid tid, bool running, int64_t now_ns) {
  Add({.ns = now_ns,
       .kind = running ? Kind::kAgentOn : Kind::kAgentOff,
       .cpu = static_cast<int16_t>(cpu),
       .group = -1,
       .tid = tid});
}

void Trace::OnOnline(int cpu, bool online, int64_t now_ns) {
  Add({.ns = now_ns, .kind = Kind::kOnline, .cpu = static_cast<int16_t>(cpu), .group = -1, .number = online});
}

void Trace::OnBusy(int cpu, bool busy, int64_t now_ns) {
  Add({.ns = now_ns, .kind = Kind::kBusy, .cpu = static_cast<int16_t>(cpu), .group = -1, .number = busy});
}

void Trace::OnLog(const std::string& line, int64_t now_ns) {
  Add({.ns = now_ns, .kind = Kind::kLog, .cpu = -1, .group = -1, .number = static_cast<int32_t>(log_.size())});
  log_.push_back(line);
}

void Trace::OnTransaction(int by, int cpu, int64_t gtid, int32_t state, int64_t now_ns) {
  Add({.ns = now_ns,
       .kind = Kind::kTransaction,
       .cpu = static_cast<int16_t>(cpu),
       .group = static_cast<int16_t>(by),
       .tid = gtid > 0 ? usermode::TidBitsOf(gtid) : 0,
       .number = state});
}

void Trace::OnMessage(const Message& message) {
  const int64_t gtid = GtidOf(message);
  const bool of_task = gtid != 0;
  Add({.ns = machine_->now_ns(),
       .kind = Kind::kMessage,
       .type = static_cast<uint16_t>(message.type),
       .cpu = static_cast<int16_t>(of_task ? -1 : CpuOf(message)),
       .group = -1,
       .tid = of_task ? usermode::TidBitsOf(gtid) : 0,
       .seqnum = message.seqnum});
}

std::string Trace::NameOf(const Record& record) const {
  const bool known = record.group >= 0 && static_cast<size_t>(record.group) < class_names_.size();
  return absl::StrCat(known ? class_names_[static_cast<size_t>(record.group)] : "thread", "/", record.tid);
}

std::string Trace::Line(const Record& r) const {
  std::string line = absl::StrFormat("%10d ", r.ns);
  switch (r.kind) {
    case Kind::kRun:
      absl::StrAppend(&line, "cpu ", r.cpu, " runs ", NameOf(r), " from ", r.run_ns);
      break;
    case Kind::kOff:
      absl::StrAppend(&line, "cpu ", r.cpu, " ", NameOf(r), " ", OffReasonName(static_cast<OffReason>(r.detail)));
      break;
    case Kind::kWake:
      absl::StrAppend(&line, "wake ", NameOf(r), r.number < 0 ? "" : absl::StrCat(" by cpu ", r.number));
      break;
    case Kind::kExit:
      absl::StrAppend(&line, "exit ", NameOf(r));
      break;
    case Kind::kAgentOn:
    case Kind::kAgentOff:
      absl::StrAppend(&line, "cpu ", r.cpu, " agent ", r.kind == Kind::kAgentOn ? "runs" : "rests");
      break;
    case Kind::kOnline:
      absl::StrAppend(&line, "cpu ", r.cpu, r.number != 0 ? " online" : " offline");
      break;
    case Kind::kBusy:
      absl::StrAppend(&line, "cpu ", r.cpu,
                      r.number != 0 ? " wanted by another class" : " not wanted by another class");
      break;
    case Kind::kLog:
      absl::StrAppend(&line, "log ", log_[static_cast<size_t>(r.number)]);
      break;
    case Kind::kTransaction:
      absl::StrAppend(&line, "cpu ", r.cpu, " commit ", r.tid, " by ", r.group, ": ", TxnStateName(r.number));
      break;
    case Kind::kMessage:
      absl::StrAppend(&line, MessageTypeName(r.type), " ", r.tid != 0 ? r.tid : r.cpu, " seq ", r.seqnum);
      break;
  }
  return line + "\n";
}

std::string Trace::ToText() const { return LastLines(records_.size()); }

std::string Trace::LastLines(size_t count) const {
  std::string text;
  for (size_t i = records_.size() - std::min(count, records_.size()); i < records_.size(); ++i) text += Line(At(i));
  return text;
}

std::string Trace::JsonOf(const Record& r) const {
  const auto slice = [&](const char* phase, int track, int64_t ns, const std::string& name) {
    return absl::StrCat("{\"ph\": \"", phase, "\", \"pid\": ", track, ", \"tid\": ", r.cpu, ", \"ts\": ", Us(ns),
                        ", \"name\": \"", Escaped(name), "\"}");
  };
  const auto instant = [&](int cpu, const std::string& name, const char* scope) {
    return absl::StrCat("{\"ph\": \"i\", \"pid\": ", kAgentTrack, ", \"tid\": ", cpu, ", \"ts\": ", Us(r.ns),
                        ", \"s\": \"", scope, "\", \"name\": \"", Escaped(name), "\"}");
  };
  switch (r.kind) {
    case Kind::kRun:
      return slice("B", kTaskTrack, r.ns, NameOf(r));
    case Kind::kOff:
      return slice("E", kTaskTrack, r.ns, NameOf(r));
    case Kind::kAgentOn:
      return slice("B", kAgentTrack, r.ns, "agent");
    case Kind::kAgentOff:
      return slice("E", kAgentTrack, r.ns, "agent");
    case Kind::kWake:
      return instant(r.cpu, "wake " + NameOf(r), "t");
    case Kind::kExit:
      return instant(r.cpu, "exit " + NameOf(r), "t");
    case Kind::kOnline:
      return instant(r.cpu, r.number != 0 ? "online" : "offline", "t");
    case Kind::kBusy:
      return instant(r.cpu, r.number != 0 ? "wanted by another class" : "not wanted by another class", "t");
    case Kind::kLog:
      return instant(0, log_[static_cast<size_t>(r.number)], "g");
    case Kind::kTransaction:
      return instant(r.cpu, absl::StrCat("commit ", r.tid, ": ", TxnStateName(r.number)), "t");
    case Kind::kMessage:
      return instant(std::max<int>(r.cpu, 0), absl::StrCat(MessageTypeName(r.type), " ", r.tid), "t");
  }
  return "{}";
}

std::string Trace::ToChromeJson() const {
  std::string json =
      "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n"
      "{\"ph\": \"M\", \"pid\": 0, \"name\": \"process_name\", \"args\": {\"name\": \"CPUs\"}},\n"
      "{\"ph\": \"M\", \"pid\": 1, \"name\": \"process_name\", \"args\": {\"name\": \"agents\"}}";
  const int num_cpus = machine_ == nullptr ? 0 : machine_->num_cpus();
  for (int track : {kTaskTrack, kAgentTrack}) {
    for (int cpu = 0; cpu < num_cpus; ++cpu) {
      absl::StrAppend(&json, ",\n{\"ph\": \"M\", \"pid\": ", track, ", \"tid\": ", cpu,
                      ", \"name\": \"thread_name\", \"args\": {\"name\": \"cpu ", cpu, "\"}}");
    }
  }
  for (size_t i = 0; i < records_.size(); ++i) absl::StrAppend(&json, ",\n", JsonOf(At(i)));
  return json + "\n]}\n";
}

}  // namespace ghost::sim
