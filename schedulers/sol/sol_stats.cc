#include "schedulers/sol/sol_stats.h"

#include <cmath>
#include <iostream>

#include "absl/strings/str_format.h"
#include "lib/centralized_base.h"
#include "lib/program/agent_requests.h"

namespace ghost {
namespace {

constexpr char kLine[] = "----------------------------------------\n";

LoopMeter::Totals LoopsOf(const Runtime& runtime) {
  return dynamic_cast<const CentralizedBase&>(runtime).loop_meter().totals();
}

int64_t MeanNs(const Runtime& runtime) { return std::llround(LoopsOf(runtime).MeanNs()); }

double Ratio(double a, double b) { return b == 0 ? 0 : a / b; }

}  // namespace

std::string DescribeLoops(const LoopMeter::Totals& loops, uint64_t messages) {
  const auto samples = static_cast<double>(loops.samples);
  const auto count = static_cast<double>(messages);
  const double rate = Ratio(count, static_cast<double>(loops.loops_ns) * 1e-9);
  const double dispatch_us = Ratio(static_cast<double>(loops.read_ns) * 1e-3, samples);
  const double rest_us = Ratio(static_cast<double>(loops.rest_ns) * 1e-3, samples);
  const double load = Ratio(dispatch_us, dispatch_us + rest_us);
  return absl::StrFormat(
      "%sglobal iterations: %d, nr_msgs %d, msg/iter %.6f, total msg rate (A) %.3f\n"
      "T_d: %.6f, T_a: %.6f, T_t: %.6f\n"
      "A/S = T_d/T_t: %.6f, Computed S: %.3f, L: %.6f\n%s",
      kLine, loops.loops, messages, Ratio(count, static_cast<double>(loops.loops)), rate, dispatch_us, rest_us,
      dispatch_us + rest_us, load, Ratio(rate, load), Ratio(load, 1 - load), kLine);
}

bool HandleSolRpc(Runtime& runtime, RpcRequest& request, RpcResponse* response) {
  switch (request.code) {
    case kRpcSolOverhead:
      response->code = MeanNs(runtime);
      return true;
    case kRpcSolDumpStats:
      std::cerr << DescribeLoops(LoopsOf(runtime), runtime.TotalCounters().messages) << std::flush;
      response->code = 0;
      return true;
    case kRpcDumpState:  // SIGUSR1 asks for both
      if (request.arg0 == 0) std::cerr << DescribeLoops(LoopsOf(runtime), runtime.TotalCounters().messages);
      return false;
    default:
      return false;
  }
}

void SayMeanLoop(Runtime& runtime) { std::cout << MeanNs(runtime) << " nsecs" << std::endl; }

}  // namespace ghost
