// Report: the results of a run, as people, spreadsheets and scripts want to read them.
//
// Pure; golden texts in report_test.cc show all of it.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_REPORT_H_
#define GHOST_EXPERIMENTS_ROCKSDB_REPORT_H_

#include <string>

#include "experiments/rocksdb/options.h"
#include "experiments/rocksdb/orchestrator.h"

namespace ghost {

// In the format that the options say. pretty: a summary and a table of the stages of all requests, with --print_get and
// --print_range of each kind, too. csv: one table with all that. json: one object; it has every kind that occurred, all
// stages and the options, whatever the other flags say. --print_distribution appends each request.
std::string FormatReport(const ExperimentOptions& options, const RunResults& results);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_REPORT_H_
