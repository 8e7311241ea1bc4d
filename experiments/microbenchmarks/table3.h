// The rows of Table 3 of the ghOSt paper (SOSP'21): what the paper says, beside what was measured here.
//
// Pure. Any thread.
#ifndef GHOST_EXPERIMENTS_MICROBENCHMARKS_TABLE3_H_
#define GHOST_EXPERIMENTS_MICROBENCHMARKS_TABLE3_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/common/latencies.h"

namespace ghost {

// In the order of the table: the first is its line 1.
enum class Table3Row : uint8_t {
  kDeliveryLocal,
  kDeliveryGlobal,
  kLocalSchedule,
  kRemoteAgent,
  kRemoteTarget,
  kRemoteEndToEnd,
  kGroupAgent,
  kGroupTarget,
  kGroupEndToEnd,
  kSyscall,
  kPthreadSwitch,
  kCfsSwitch,
};
inline constexpr int kTable3Rows = 12;

class Table3 {
 public:
  // How many CPUs the paper's groups have.
  static constexpr int kPaperGroup = 10;

  // What is measured, for the user: "ghostd, ABI 91", "the simulation".
  std::string where;
  // How many CPUs a group had here.
  int group = kPaperGroup;
  // Said below the table.
  std::vector<std::string> notes;

  void Set(Table3Row row, const Latencies& latencies);
  // It was not measured, for this reason.
  void SetMissing(Table3Row row, const std::string& why);

  struct Figure {
    uint64_t p50_ns = 0;
    uint64_t p99_ns = 0;
    uint64_t rounds = 0;
  };
  const std::optional<Figure>& figure(Table3Row row) const { return cells_[Index(row)].figure; }
  static int PaperNs(Table3Row row);
  std::string Operation(Table3Row row) const;

  std::string Pretty() const;
  std::string Csv() const;  // row,operation,paper_ns,p50_ns,p99_ns,rounds; of a missing one the last three are empty
  // One object: {"program", "where", "group", "rows": [{…, "measured": {…} or null, "why"}], "notes"}.
  std::string Json() const;

 private:
  struct Cell {
    std::optional<Figure> figure;
    std::string why = "not measured";
  };
  static size_t Index(Table3Row row) { return static_cast<size_t>(row); }

  std::array<Cell, kTable3Rows> cells_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_MICROBENCHMARKS_TABLE3_H_
