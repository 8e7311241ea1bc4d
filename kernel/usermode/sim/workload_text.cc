#include "kernel/usermode/sim/workload_text.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost::sim {
namespace {

constexpr int64_t kMaxTimeNs = int64_t{1000} * 1'000'000'000;

template <typename Token>
std::vector<Token> Split(std::string_view text) {
  std::vector<Token> tokens;
  int line = 1;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\n' || c == ';') {
      tokens.push_back({text.substr(at, 1), line});
      if (c == '\n') ++line;
      ++at;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at;
    } else if (c == '#') {
      while (at < text.size() && text[at] != '\n') ++at;
    } else if (c == '{' || c == '}') {
      tokens.push_back({text.substr(at++, 1), line});
    } else {
      const size_t end = std::min(text.find_first_of(" \t\r\n;#{}", at), text.size());
      tokens.push_back({text.substr(at, end - at), line});
      at = end;
    }
  }
  return tokens;
}

}  // namespace

WorkloadText::WorkloadText(std::string_view text, std::string_view name) : tokens_(Split<Token>(text)), name_(name) {}

absl::StatusOr<int64_t> WorkloadText::ParseTime() {
  constexpr std::pair<const char*, int64_t> kUnits[] = {
      {"ns", 1}, {"us", 1000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
  const std::string_view word = Peek();
  const size_t unit_at = word.find_first_not_of("0123456789.");
  double value = 0;
  if (unit_at != std::string_view::npos && unit_at > 0 &&
      absl::SimpleAtod(std::string(word.substr(0, unit_at)), &value)) {
    for (const auto& [unit, factor] : kUnits) {
      if (word.substr(unit_at) != unit) continue;
      const double ns = value * static_cast<double>(factor);
      if (!(ns <= static_cast<double>(kMaxTimeNs)))
        return Error(absl::StrCat("the time ", Quoted(word), " is too long"), "at most 1000s");
      ++at_;
      return static_cast<int64_t>(std::llround(ns));
    }
  }
  return Error(absl::StrCat("expected a time, found ", Quoted(word)), "a number with its unit: 20us (ns, us, ms, s)");
}

absl::StatusOr<double> WorkloadText::ParseChance() {
  const std::string_view word = Peek();
  const bool percent = !word.empty() && word.back() == '%';
  double value = 0;
  if (absl::SimpleAtod(std::string(word.substr(0, word.size() - (percent ? 1 : 0))), &value)) {
    if (percent) value /= 100;
    if (value >= 0 && value <= 1) {
      ++at_;
      return value;
    }
  }
  return Error(absl::StrCat("expected a probability, found ", Quoted(word)), "a number from 0 to 1, or 0.5%");
}

absl::StatusOr<Distribution> WorkloadText::ParseDistribution() {
  Distribution d;
  if (TakeIf("exp")) {
    d.kind = Distribution::Kind::kExponential;
  } else if (TakeIf("uniform")) {
    d.kind = Distribution::Kind::kUniform;
  } else if (TakeIf("bimodal")) {
    d.kind = Distribution::Kind::kBimodal;
  }
  GHOST_ASSIGN_OR_RETURN(d.a, ParseTime());
  if (d.kind == Distribution::Kind::kUniform || d.kind == Distribution::Kind::kBimodal) {
    GHOST_ASSIGN_OR_RETURN(d.b, ParseTime());
  }
  if (d.kind == Distribution::Kind::kUniform && d.b < d.a) {
    return Error("the bounds of uniform are the wrong way round", "uniform LEAST MOST");
  }
  if (d.kind == Distribution::Kind::kBimodal) {
    GHOST_ASSIGN_OR_RETURN(d.chance_b, ParseChance());
  }
  return d;
}

absl::StatusOr<int> WorkloadText::ParseNumber(int least, int most) {
  int value = 0;
  if (!absl::SimpleAtoi(std::string(Peek()), &value) || value < least || value > most) {
    return Error(absl::StrCat("expected a number, found ", Quoted(Peek())), absl::StrCat("from ", least, " to ", most));
  }
  ++at_;
  return value;
}

absl::StatusOr<CpuSet> WorkloadText::ParseCpus() {
  CpuSet cpus;
  if (Peek().empty() || ParseCpuList(Peek(), &cpus) != CpuParseError::kOk || cpus.empty()) {
    return Error(absl::StrCat("expected a list of CPUs, found ", Quoted(Peek())), "like 0-3,8");
  }
  ++at_;
  return cpus;
}

absl::StatusOr<std::string> WorkloadText::ParseName() {
  const std::string_view word = Peek();
  const bool valid = !word.empty() && word.size() <= 64 &&
                     word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                         std::string_view::npos;
  if (!valid) return Error(absl::StrCat("expected a name, found ", Quoted(word)), "letters, digits, - and _");
  ++at_;
  return std::string(word);
}

absl::StatusOr<TopologySpec> WorkloadText::ParseTopologySpec() {
  constexpr const char* kHint = "sockets N cores N smt N l3 CORES, at most 1024 CPUs";
  TopologySpec spec;
  while (!IsSeparator()) {
    int* field = nullptr;
    const std::string_view word = Take();
    if (word == "sockets") field = &spec.sockets;
    if (word == "cores") field = &spec.cores;
    if (word == "smt") field = &spec.smt;
    if (word == "l3") field = &spec.l3;
    if (field == nullptr) {
      --at_;
      return Error(absl::StrCat("a topology has no ", Quoted(word)), kHint);
    }
    GHOST_ASSIGN_OR_RETURN(*field, ParseNumber(1, CpuSet::kMaxCpus));
  }
  if (int64_t{spec.sockets} * spec.cores * spec.smt > CpuSet::kMaxCpus) return Error("the machine is too large", kHint);
  if (spec.l3 > spec.cores) return Error("an L3 cache is shared by more cores than a socket has", kHint);
  return spec;
}

absl::Status WorkloadText::ParseHint(HintChange* hint) {
  for (;;) {
    if (TakeIf("qos")) {
      GHOST_ASSIGN_OR_RETURN(const int qos, ParseNumber(0, INT32_MAX));
      hint->qos = static_cast<uint32_t>(qos);
    } else if (TakeIf("deadline")) {
      GHOST_ASSIGN_OR_RETURN(hint->deadline_ns, ParseTime());
    } else if (TakeIf("estimate")) {
      GHOST_ASSIGN_OR_RETURN(hint->estimate_ns, ParseTime());
    } else if (TakeIf("period")) {
      GHOST_ASSIGN_OR_RETURN(hint->period_ns, ParseTime());
    } else if (TakeIf("repeating")) {
      hint->repeating = true;
    } else if (Peek() == "idle" || Peek() == "ready") {
      hint->has_work = Take() == "ready";
    } else {
      return absl::OkStatus();
    }
    hint->any = true;
  }
}

absl::Status WorkloadText::ExpectEnd() {
  if (IsSeparator() || tokens_[at_].text == "}") return absl::OkStatus();
  return Error(absl::StrCat("unexpected ", Quoted(Peek())), "one statement a line, or ; between them");
}

}  // namespace ghost::sim
