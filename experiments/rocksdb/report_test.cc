#include "experiments/rocksdb/report.h"

#include "gtest/gtest.h"
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
  return results;
}

ExperimentOptions Options(PrintFormat format) {
  return {.print_format = format, .throughput = 5, .num_workers = 3, .scheduler = Scheduler::kGhost};
}

TEST(ReportTest, Pretty) {
  EXPECT_EQ("\n" + FormatReport(Options(PrintFormat::kPretty), Ten()), R"(
ghost, prio_table, 3 workers: 2.000 s measured
Offered 5 req/s, achieved 5.0 req/s; 11 arrived, 1 of them unfinished
Load generators' lateness: 50% 0.501 us, 99% 2.000 us, max 2.000 us

All:
Stage                   Total Requests  Throughput (req/s)  Min (us)  50% (us)   99% (us)  99.5% (us)  99.9% (us)   Max (us)
----------------------------------------------------------------------------------------------------------------------------
Ingress Queue Time                  10                   5     1.500     1.500      1.500       1.500       1.500      1.500
Repeatable Handle Time              10                   5     0.100     0.100      0.100       0.100       0.100      0.100
Worker Queue Time                   10                   5     3.000     3.000      3.000       3.000       3.000      3.000
Worker Handle Time                  10                   5    10.000    14.015  10000.000   10000.000   10000.000  10000.000
Total                               10                   5    14.600    18.687  10004.600   10004.600   10004.600  10004.600
)");
}

TEST(ReportTest, PrettyLastInNsWithKindsAndDistribution) {
  ExperimentOptions options = Options(PrintFormat::kPretty);
  options.print_last = options.print_ns = options.print_get = options.print_range = options.print_distribution = true;
  EXPECT_EQ("\n" + FormatReport(options, Ten()), R"(
ghost, prio_table, 3 workers: 2.000 s measured
Offered 5 req/s, achieved 5.0 req/s; 11 arrived, 1 of them unfinished
Load generators' lateness: 50% 0.501 us, 99% 2.000 us, max 2.000 us

All:
Stage  Total Requests  Throughput (req/s)  Min (ns)  50% (ns)  99% (ns)  99.5% (ns)  99.9% (ns)  Max (ns)
---------------------------------------------------------------------------------------------------------
Total              10                   5     14600     18687  10004600    10004600    10004600  10004600

Get:
Stage  Total Requests  Throughput (req/s)  Min (ns)  50% (ns)  99% (ns)  99.5% (ns)  99.9% (ns)  Max (ns)
---------------------------------------------------------------------------------------------------------
Total               9                   4     14600     18687     23600       23600       23600     23600

Range:
Stage  Total Requests  Throughput (req/s)  Min (ns)  50% (ns)  99% (ns)  99.5% (ns)  99.9% (ns)  Max (ns)
---------------------------------------------------------------------------------------------------------
Total               1                   0  10004600  10004600  10004600    10004600    10004600  10004600

Request  Arrival (ns)  Ingress Queue Time (ns)  Repeatable Handle Time (ns)  Worker Queue Time (ns)  Worker Handle Time (ns)  Total (ns)
----------------------------------------------------------------------------------------------------------------------------------------
get                 0                     1500                          100                    3000                    10000       14600
get         200000000                     1500                          100                    3000                    11000       15600
get         400000000                     1500                          100                    3000                    12000       16600
get         600000000                     1500                          100                    3000                    13000       17600
get         800000000                     1500                          100                    3000                    14000       18600
range      1000000000                     1500                          100                    3000                 10000000    10004600
get        1200000000                     1500                          100                    3000                    16000       20600
get        1400000000                     1500                          100                    3000                    17000       21600
get        1600000000                     1500                          100                    3000                    18000       22600
get        1800000000                     1500                          100                    3000                    19000       23600
)");
}

TEST(ReportTest, Csv) {
  ExperimentOptions options = Options(PrintFormat::kCsv);
  options.print_range = true;
  EXPECT_EQ("\n" + FormatReport(options, Ten()), R"(
Requests,Stage,Total Requests,Throughput (req/s),Min (us),50% (us),99% (us),99.5% (us),99.9% (us),Max (us)
All,Ingress Queue Time,10,5,1.500,1.500,1.500,1.500,1.500,1.500
All,Repeatable Handle Time,10,5,0.100,0.100,0.100,0.100,0.100,0.100
All,Worker Queue Time,10,5,3.000,3.000,3.000,3.000,3.000,3.000
All,Worker Handle Time,10,5,10.000,14.015,10000.000,10000.000,10000.000,10000.000
All,Total,10,5,14.600,18.687,10004.600,10004.600,10004.600,10004.600
Range,Ingress Queue Time,1,0,1.500,1.500,1.500,1.500,1.500,1.500
Range,Repeatable Handle Time,1,0,0.100,0.100,0.100,0.100,0.100,0.100
Range,Worker Queue Time,1,0,3.000,3.000,3.000,3.000,3.000,3.000
Range,Worker Handle Time,1,0,10000.000,10000.000,10000.000,10000.000,10000.000,10000.000
Range,Total,1,0,10004.600,10004.600,10004.600,10004.600,10004.600,10004.600
)");
}

TEST(ReportTest, CsvDistribution) {
  ExperimentOptions options = Options(PrintFormat::kCsv);
  options.print_last = options.print_distribution = true;
  EXPECT_EQ("\n" + FormatReport(options, Ten()), R"(
Requests,Stage,Total Requests,Throughput (req/s),Min (us),50% (us),99% (us),99.5% (us),99.9% (us),Max (us)
All,Total,10,5,14.600,18.687,10004.600,10004.600,10004.600,10004.600

Request,Arrival (ns),Ingress Queue Time (ns),Repeatable Handle Time (ns),Worker Queue Time (ns),Worker Handle Time (ns),Total (ns)
get,0,1500,100,3000,10000,14600
get,200000000,1500,100,3000,11000,15600
get,400000000,1500,100,3000,12000,16600
get,600000000,1500,100,3000,13000,17600
get,800000000,1500,100,3000,14000,18600
range,1000000000,1500,100,3000,10000000,10004600
get,1200000000,1500,100,3000,16000,20600
get,1400000000,1500,100,3000,17000,21600
get,1600000000,1500,100,3000,18000,22600
get,1800000000,1500,100,3000,19000,23600
)");
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
  EXPECT_EQ("\n" + json.dump(1) + "\n", R"(
{
 "program": "rocksdb",
 "scheduler": "ghost",
 "wait_type": "prio_table",
 "workers": 3,
 "duration_s": 2.0,
 "offered_per_s": 5.0,
 "achieved_per_s": 5.0,
 "arrived": 11,
 "unfinished": 1,
 "generator": {
  "lateness_ns": {
   "p50": 501,
   "p99": 2000,
   "max": 2000
  }
 },
 "requests": {
  "all": {
   "ingress_queue_time": {
    "total": 10,
    "throughput": 5.0,
    "min_ns": 1500,
    "mean_ns": 1500,
    "p50_ns": 1500,
    "p99_ns": 1500,
    "p99_5_ns": 1500,
    "p99_9_ns": 1500,
    "max_ns": 1500
   },
   "repeatable_handle_time": {
    "total": 10,
    "throughput": 5.0,
    "min_ns": 100,
    "mean_ns": 100,
    "p50_ns": 100,
    "p99_ns": 100,
    "p99_5_ns": 100,
    "p99_9_ns": 100,
    "max_ns": 100
   },
   "worker_queue_time": {
    "total": 10,
    "throughput": 5.0,
    "min_ns": 3000,
    "mean_ns": 3000,
    "p50_ns": 3000,
    "p99_ns": 3000,
    "p99_5_ns": 3000,
    "p99_9_ns": 3000,
    "max_ns": 3000
   },
   "worker_handle_time": {
    "total": 10,
    "throughput": 5.0,
    "min_ns": 10000,
    "mean_ns": 1013000,
    "p50_ns": 14015,
    "p99_ns": 10000000,
    "p99_5_ns": 10000000,
    "p99_9_ns": 10000000,
    "max_ns": 10000000
   },
   "total": {
    "total": 10,
    "throughput": 5.0,
    "min_ns": 14600,
    "mean_ns": 1017600,
    "p50_ns": 18687,
    "p99_ns": 10004600,
    "p99_5_ns": 10004600,
    "p99_9_ns": 10004600,
    "max_ns": 10004600
   }
  },
  "get": {
   "ingress_queue_time": {
    "total": 9,
    "throughput": 4.5,
    "min_ns": 1500,
    "mean_ns": 1500,
    "p50_ns": 1500,
    "p99_ns": 1500,
    "p99_5_ns": 1500,
    "p99_9_ns": 1500,
    "max_ns": 1500
   },
   "repeatable_handle_time": {
    "total": 9,
    "throughput": 4.5,
    "min_ns": 100,
    "mean_ns": 100,
    "p50_ns": 100,
    "p99_ns": 100,
    "p99_5_ns": 100,
    "p99_9_ns": 100,
    "max_ns": 100
   },
   "worker_queue_time": {
    "total": 9,
    "throughput": 4.5,
    "min_ns": 3000,
    "mean_ns": 3000,
    "p50_ns": 3000,
    "p99_ns": 3000,
    "p99_5_ns": 3000,
    "p99_9_ns": 3000,
    "max_ns": 3000
   },
   "worker_handle_time": {
    "total": 9,
    "throughput": 4.5,
    "min_ns": 10000,
    "mean_ns": 14444,
    "p50_ns": 14015,
    "p99_ns": 19000,
    "p99_5_ns": 19000,
    "p99_9_ns": 19000,
    "max_ns": 19000
   },
   "total": {
    "total": 9,
    "throughput": 4.5,
    "min_ns": 14600,
    "mean_ns": 19044,
    "p50_ns": 18687,
    "p99_ns": 23600,
    "p99_5_ns": 23600,
    "p99_9_ns": 23600,
    "max_ns": 23600
   }
  },
  "range": {
   "ingress_queue_time": {
    "total": 1,
    "throughput": 0.5,
    "min_ns": 1500,
    "mean_ns": 1500,
    "p50_ns": 1500,
    "p99_ns": 1500,
    "p99_5_ns": 1500,
    "p99_9_ns": 1500,
    "max_ns": 1500
   },
   "repeatable_handle_time": {
    "total": 1,
    "throughput": 0.5,
    "min_ns": 100,
    "mean_ns": 100,
    "p50_ns": 100,
    "p99_ns": 100,
    "p99_5_ns": 100,
    "p99_9_ns": 100,
    "max_ns": 100
   },
   "worker_queue_time": {
    "total": 1,
    "throughput": 0.5,
    "min_ns": 3000,
    "mean_ns": 3000,
    "p50_ns": 3000,
    "p99_ns": 3000,
    "p99_5_ns": 3000,
    "p99_9_ns": 3000,
    "max_ns": 3000
   },
   "worker_handle_time": {
    "total": 1,
    "throughput": 0.5,
    "min_ns": 10000000,
    "mean_ns": 10000000,
    "p50_ns": 10000000,
    "p99_ns": 10000000,
    "p99_5_ns": 10000000,
    "p99_9_ns": 10000000,
    "max_ns": 10000000
   },
   "total": {
    "total": 1,
    "throughput": 0.5,
    "min_ns": 10004600,
    "mean_ns": 10004600,
    "p50_ns": 10004600,
    "p99_ns": 10004600,
    "p99_5_ns": 10004600,
    "p99_9_ns": 10004600,
    "max_ns": 10004600
   }
  }
 }
}
)");
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
  EXPECT_EQ("\n" + FormatReport(options, RunResults()), R"(
cfs, spin, 6 workers: 0.000 s measured
Offered 20000 req/s, achieved 0.0 req/s; 0 arrived, 0 of them unfinished
Load generators' lateness: 50% 0.000 us, 99% 0.000 us, max 0.000 us

All:
Stage  Total Requests  Throughput (req/s)  Min (us)  50% (us)  99% (us)  99.5% (us)  99.9% (us)  Max (us)
---------------------------------------------------------------------------------------------------------
Total               0                   0     0.000     0.000     0.000       0.000       0.000     0.000

Get:
Stage  Total Requests  Throughput (req/s)  Min (us)  50% (us)  99% (us)  99.5% (us)  99.9% (us)  Max (us)
---------------------------------------------------------------------------------------------------------
Total               0                   0     0.000     0.000     0.000       0.000       0.000     0.000
)");
  options.print_format = PrintFormat::kJson;
  const nlohmann::json json = nlohmann::json::parse(FormatReport(options, RunResults()));
  EXPECT_EQ(json["achieved_per_s"], 0);
  EXPECT_EQ(json["requests"].size(), 1u) << "no kind occurred";
}

}  // namespace
}  // namespace ghost
