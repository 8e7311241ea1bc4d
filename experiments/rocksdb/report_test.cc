#include "experiments/rocksdb/report.h"

#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "nlohmann/json.hpp"

namespace ghost {
namespace {

// Nine Get requests and one Range request in two seconds, one of them unfinished.
RunResults Ten() {
  RunResults results;
  results.stats = RequestStats({.samples = true});
  const Time start = Time::FromNanoseconds(7'000'000'000);
  for (int i = 9; i >= 0; --i) {
    const Time arrival = start + i * absl::Milliseconds(200);
    const absl::Duration handled = i == 5 ? absl::Milliseconds(10) : absl::Microseconds(10 + i);
    results.stats.Add({.kind = i == 5 ? RequestKind::kRange : RequestKind::kGet,
                       .arrival = arrival,
                       .received = arrival + absl::Nanoseconds(1500),
                       .assigned = arrival + absl::Nanoseconds(1600),
                       .started = arrival + absl::Nanoseconds(4600),
                       .finished = arrival + absl::Nanoseconds(4600) + handled});
    results.lateness.Add(100 * i);
  }
  results.lateness.Add(2000);
  results.measure_from = start;
  results.measured_ns = 2'000'000'000;
  results.arrived = 11;
  results.unfinished.Add(12'345);
  return results;
}

// A file of testdata/.
std::string Golden(const std::string& name) { return *ReadFile("experiments/rocksdb/testdata/" + name); }

ExperimentOptions Options(PrintFormat format) {
  return {.print_format = format, .throughput = 5, .num_workers = 3, .scheduler = Scheduler::kGhost};
}

TEST(ReportTest, Pretty) { EXPECT_EQ(FormatReport(Options(PrintFormat::kPretty), Ten()), Golden("pretty.txt")); }

TEST(ReportTest, PrettyLastInNsWithKindsAndDistribution) {
  ExperimentOptions options = Options(PrintFormat::kPretty);
  options.print_last = options.print_ns = options.print_get = options.print_range = options.print_distribution = true;
  EXPECT_EQ(FormatReport(options, Ten()), Golden("pretty_last_ns_distribution.txt"));
}

TEST(ReportTest, Csv) {
  ExperimentOptions options = Options(PrintFormat::kCsv);
  options.print_range = true;
  EXPECT_EQ(FormatReport(options, Ten()), Golden("stages.csv"));
}

TEST(ReportTest, CsvDistribution) {
  ExperimentOptions options = Options(PrintFormat::kCsv);
  options.print_last = options.print_distribution = true;
  EXPECT_EQ(FormatReport(options, Ten()), Golden("distribution.csv"));
}

// What experiments' scripts read: see docs/experiments.md.
TEST(ReportTest, Json) {
  const std::string text = FormatReport(Options(PrintFormat::kJson), Ten());
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(text.find('\n'), text.size() - 1) << "one line";
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(text);
  EXPECT_EQ(json["options"]["num_workers"], "3");
  EXPECT_EQ(json["options"].size(), ExperimentOptions().ToPairs().size());
  json.erase("options");
  EXPECT_EQ(json.dump(1) + "\n", Golden("report.json"));
}

TEST(ReportTest, JsonDistribution) {
  ExperimentOptions options = Options(PrintFormat::kJson);
  options.print_distribution = true;
  const nlohmann::json json = nlohmann::json::parse(FormatReport(options, Ten()));
  EXPECT_EQ(json["distribution"]["columns"].dump(),
            R"(["request","arrival_ns","ingress_queue_time_ns","repeatable_handle_time_ns","worker_queue_time_ns",)"
            R"("worker_handle_time_ns","total_ns"])");
  EXPECT_EQ(json["distribution"]["rows"].size(), 10u);
  EXPECT_EQ(json["distribution"]["rows"][5].dump(), R"(["range",1000000000,1500,100,3000,10000000,10004600])");
}

TEST(ReportTest, NothingMeasured) {
  ExperimentOptions options;
  options.print_last = options.print_get = true;
  EXPECT_EQ(FormatReport(options, RunResults()), Golden("nothing.txt"));
  options.print_format = PrintFormat::kJson;
  const nlohmann::json json = nlohmann::json::parse(FormatReport(options, RunResults()));
  EXPECT_EQ(json["achieved_per_s"], 0);
  EXPECT_EQ(json["requests"].size(), 1u) << "no kind occurred";
}

}  // namespace
}  // namespace ghost
