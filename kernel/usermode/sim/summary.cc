#include "kernel/usermode/sim/summary.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernel/ghost_uapi.h"
#include "lib/run_request.h"

namespace ghost::sim {
namespace {

std::string StateName(size_t index) {
  return absl::AsciiStrToLower(
      TxnStateName(static_cast<int32_t>(int64_t{GHOST_TXN_COMPLETE} + static_cast<int64_t>(index))));
}

double Percent(uint64_t part_ns, int64_t whole_ns) {
  return whole_ns == 0 ? 0 : 100.0 * static_cast<double>(part_ns) / static_cast<double>(whole_ns);
}

double PerSecond(uint64_t count, int64_t ns) {
  return ns == 0 ? 0 : static_cast<double>(count) * 1e9 / static_cast<double>(ns);
}

std::string HistogramText(const Histogram& h) {
  const auto us = [&](double p) { return static_cast<double>(h.Percentile(p)) / 1000; };
  return absl::StrFormat("p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us", us(0.5), us(0.9), us(0.99), us(0.999),
                         static_cast<double>(h.max()) / 1000);
}

std::string HistogramJson(const Histogram& h) {
  return absl::StrCat("{\"count\": ", h.count(), ", \"p50_ns\": ", h.Percentile(0.5),
                      ", \"p90_ns\": ", h.Percentile(0.9), ", \"p99_ns\": ", h.Percentile(0.99),
                      ", \"p999_ns\": ", h.Percentile(0.999), ", \"max_ns\": ", h.max(), "}");
}

}  // namespace

std::string Summary::ToText(bool with_speed) const {
  std::string text = absl::StrFormat("seed %u, abi %u, %.3f ms on %u cpus", seed, abi,
                                     static_cast<double>(duration_ns) / 1e6, cpus.size());
  if (with_speed) {
    absl::StrAppendFormat(&text, ": %u events in %.3f s of cpu time (%.2f million/s)", events, cpu_seconds,
                          cpu_seconds == 0 ? 0 : static_cast<double>(events) / cpu_seconds / 1e6);
  }
  text += "\n";
  uint64_t runs = 0;
  for (const Class& c : classes) {
    runs += c.runs;
    absl::StrAppendFormat(&text, "class %s: %u threads, %u runs (%.0f/s), %u preempted, %.1f %% of a cpu\n", c.name,
                          c.threads, c.runs, PerSecond(c.runs, duration_ns), c.preempted,
                          Percent(c.cpu_ns, duration_ns));
    if (c.wake_to_run.count() > 0) absl::StrAppend(&text, "  wake to run: ", HistogramText(c.wake_to_run), "\n");
  }
  for (const Stream& s : streams) {
    absl::StrAppendFormat(&text, "requests %s: %u arrived, %u served (%.0f/s)\n", s.name, s.arrived, s.response.count(),
                          PerSecond(s.response.count(), duration_ns));
    if (s.has_deadline) absl::StrAppendFormat(&text, "  deadlines missed: %u\n", s.missed);
    if (s.response.count() > 0) absl::StrAppend(&text, "  response:    ", HistogramText(s.response), "\n");
  }
  absl::StrAppendFormat(&text, "throughput: %u runs, %.0f/s\ncommits:", runs, PerSecond(runs, duration_ns));
  for (size_t i = 0; i < commits.size(); ++i) {
    if (commits[i] > 0) absl::StrAppend(&text, " ", StateName(i), " ", commits[i]);
  }
  absl::StrAppend(&text, "\n");
  if (faults + agent_restarts + lost_messages > 0) {
    absl::StrAppend(&text, "faults: ", faults, ", agents restarted ", agent_restarts, ", messages lost ", lost_messages,
                    "\n");
  }
  Cpu total;
  for (size_t i = 0; i < cpus.size(); ++i) {
    total.ghost_ns += cpus[i].ghost_ns;
    total.agent_ns += cpus[i].agent_ns;
    total.ordinary_ns += cpus[i].ordinary_ns;
    if (cpus.size() > 16) continue;
    absl::StrAppendFormat(&text, "cpu %u: tasks %.1f %%, agent %.1f %%, others %.1f %%\n", i,
                          Percent(cpus[i].ghost_ns, duration_ns), Percent(cpus[i].agent_ns, duration_ns),
                          Percent(cpus[i].ordinary_ns, duration_ns));
  }
  const int64_t all_ns = duration_ns * static_cast<int64_t>(cpus.size());
  absl::StrAppendFormat(&text, "all cpus: tasks %.1f %%, agents %.1f %%, others %.1f %%\n",
                        Percent(total.ghost_ns, all_ns), Percent(total.agent_ns, all_ns),
                        Percent(total.ordinary_ns, all_ns));
  return text;
}

std::string Summary::ToJson() const {
  std::string json = absl::StrFormat(
      "{\"seed\": %u, \"abi\": %u, \"duration_ns\": %d, \"events\": %u, \"real_seconds\": %.6f, \"cpu_seconds\": %.6f, "
      "\"events_per_second\": "
      "%.0f,\n \"faults\": %u, \"agent_restarts\": %u, \"lost_messages\": %u,\n \"commits\": {",
      seed, abi, duration_ns, events, real_seconds, cpu_seconds,
      cpu_seconds == 0 ? 0 : static_cast<double>(events) / cpu_seconds, faults, agent_restarts, lost_messages);
  const char* separator = "";
  for (size_t i = 0; i < commits.size(); ++i) {
    if (commits[i] == 0) continue;
    absl::StrAppend(&json, std::exchange(separator, ", "), "\"", StateName(i), "\": ", commits[i]);
  }
  absl::StrAppend(&json, "},\n \"classes\": [");
  separator = "";
  for (const Class& c : classes) {
    absl::StrAppend(&json, std::exchange(separator, ",\n  "), "{\"name\": \"", c.name, "\", \"threads\": ", c.threads,
                    ", \"runs\": ", c.runs, ", \"preempted\": ", c.preempted, ", \"cpu_ns\": ", c.cpu_ns,
                    ", \"wake_to_run\": ", HistogramJson(c.wake_to_run), "}");
  }
  absl::StrAppend(&json, "],\n \"requests\": [");
  separator = "";
  for (const Stream& s : streams) {
    absl::StrAppend(&json, std::exchange(separator, ",\n  "), "{\"name\": \"", s.name, "\", \"arrived\": ", s.arrived,
                    ", \"served\": ", s.response.count(), ", \"deadlines_missed\": ", s.missed,
                    ", \"response\": ", HistogramJson(s.response), "}");
  }
  absl::StrAppend(&json, "],\n \"cpus\": [");
  separator = "";
  for (const Cpu& cpu : cpus) {
    absl::StrAppend(&json, std::exchange(separator, ",\n  "), "{\"tasks_ns\": ", cpu.ghost_ns,
                    ", \"agent_ns\": ", cpu.agent_ns, ", \"others_ns\": ", cpu.ordinary_ns, "}");
  }
  return json + "]}\n";
}

SummaryCollector::SummaryCollector(const Workload& workload, int num_cpus) : now_(static_cast<size_t>(num_cpus)) {
  for (const WorkloadClass& c : workload.classes) summary_.classes.push_back({.name = c.name});
  for (const RequestStream& s : workload.streams) {
    const bool has_deadline =
        s.deadline_ns >= 0 || workload.classes[static_cast<size_t>(s.to)].hint.deadline_ns.has_value();
    summary_.streams.push_back({.name = s.name, .has_deadline = has_deadline});
  }
  summary_.cpus.resize(static_cast<size_t>(num_cpus));
}

void SummaryCollector::Begin(int64_t now_ns) {
  for (Summary::Cpu& cpu : summary_.cpus) cpu = {};
  for (Summary::Class& c : summary_.classes) c = {.name = c.name, .threads = c.threads};
  for (Summary::Stream& s : summary_.streams) s = {.name = s.name, .has_deadline = s.has_deadline};
  summary_.commits = {};
  for (CpuNow& cpu : now_) {
    if (cpu.thread != nullptr) cpu.counted_ns = cpu.thread->RuntimeNs(now_ns);
    cpu.agent_since_ns = now_ns;
  }
}

void SummaryCollector::End(int64_t now_ns) {
  for (size_t i = 0; i < now_.size(); ++i) {
    Count(now_[i], i, now_ns);
    if (now_[i].agent) summary_.cpus[i].agent_ns += static_cast<uint64_t>(now_ns - now_[i].agent_since_ns);
    now_[i].agent_since_ns = now_ns;
  }
}

void SummaryCollector::Count(CpuNow& cpu, size_t index, int64_t now_ns) {
  if (cpu.thread == nullptr) return;
  const uint64_t runtime_ns = cpu.thread->RuntimeNs(now_ns);
  const uint64_t ran_ns = runtime_ns - std::exchange(cpu.counted_ns, runtime_ns);
  const bool ghost = cpu.thread->scheduling_class == Thread::Class::kGhost;
  (ghost ? summary_.cpus[index].ghost_ns : summary_.cpus[index].ordinary_ns) += ran_ns;
  summary_.classes[static_cast<size_t>(cpu.thread->group)].cpu_ns += ran_ns;
}

void SummaryCollector::OnRun(const Thread& thread, int64_t) {
  now_[static_cast<size_t>(thread.cpu)].thread = &thread;
  now_[static_cast<size_t>(thread.cpu)].counted_ns = thread.runtime_ns;
  Summary::Class& c = summary_.classes[static_cast<size_t>(thread.group)];
  ++c.runs;
  if (thread.woken) c.wake_to_run.Add(static_cast<uint64_t>(thread.resumed_ns - thread.runnable_since_ns));
}

void SummaryCollector::OnOff(const Thread& thread, OffReason reason, int64_t now_ns) {
  CpuNow& cpu = now_[static_cast<size_t>(thread.cpu)];
  if (cpu.thread != &thread) return;
  Count(cpu, static_cast<size_t>(thread.cpu), now_ns);
  cpu.thread = nullptr;
  if (reason == OffReason::kPreempted) ++summary_.classes[static_cast<size_t>(thread.group)].preempted;
}

void SummaryCollector::OnAgent(int index, Tid, bool running, int64_t now_ns) {
  CpuNow& cpu = now_[static_cast<size_t>(index)];
  if (cpu.agent)
    summary_.cpus[static_cast<size_t>(index)].agent_ns += static_cast<uint64_t>(now_ns - cpu.agent_since_ns);
  cpu.agent = running;
  cpu.agent_since_ns = now_ns;
}

void SummaryCollector::OnTransaction(int, int, int64_t, int32_t state, int64_t) {
  const int64_t index = int64_t{state} - int64_t{GHOST_TXN_COMPLETE};
  if (index >= 0 && index < static_cast<int64_t>(summary_.commits.size()))
    ++summary_.commits[static_cast<size_t>(index)];
}

void SummaryCollector::OnResponse(int stream, int64_t latency_ns, bool late) {
  Summary::Stream& s = summary_.streams[static_cast<size_t>(stream)];
  s.response.Add(static_cast<uint64_t>(latency_ns));
  if (late) ++s.missed;
}

}  // namespace ghost::sim
