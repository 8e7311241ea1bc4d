// What hints cost a schedule pass: polls of tables that are quiet, changes, and the way back to the application.
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "lib/base/testing/measure.h"
#include "lib/gtid.h"
#include "lib/work_hints.h"
#include "schedulers/hints/client_table.h"
#include "shared/prio_table.h"
#include "shared/prio_table_helper.h"

namespace ghost {
namespace {

class Nobody : public HintSource::Visitor {
 public:
  void OnHint(int64_t, const WorkHint& hint) override { benchmark::DoNotOptimize(&hint); }
};

// A client with `num_items` threads, all of which are tasks, and its scheduler's view of it.
struct Client {
  explicit Client(int num_items) : helper(static_cast<uint32_t>(num_items), 1), tasks(static_cast<size_t>(num_items)) {
    PrioTable attached;
    if (!attached.AttachFd(helper.table().fd()).ok()) abort();
    table = std::make_unique<ClientTable>(std::move(attached));
    for (int i = 0; i < num_items; ++i) {
      tasks[i].gtid = int64_t{1000 + i} << Gtid::SeqnumBits();
      tasks[i].own_tid = 1000 + i;
      helper.SetThread(i, 0, tasks[i].own_tid);
      table->Add(&tasks[i]);
    }
    while (table->Poll(&nobody, ClientTable::kMaxReads, 0) > 0) continue;
  }
  PrioTableHelper helper;
  std::vector<ClientTask> tasks;
  Nobody nobody;
  std::unique_ptr<ClientTable> table;
};

void BM_PollQuiet(benchmark::State& state) {
  Client client(static_cast<int>(state.range(0)));
  Measure(
      state, [] {},
      [&] {
        for (int i = 0; i < 1000; ++i) client.table->Poll(&client.nobody, ClientTable::kMaxReads, 0);
        return 1000;
      });
}
BENCHMARK(BM_PollQuiet)->ArgName("items")->Arg(10)->Arg(1000)->Apply(Measured);

void BM_PollChanges(benchmark::State& state) {
  const int items = static_cast<int>(state.range(0));
  Client client(items);
  int next = 0;
  Measure(
      state,
      [&] {
        for (int i = 0; i < 8; ++i) client.helper.MarkRunnable(next = (next + 1) % items);
      },
      [&] { return client.table->Poll(&client.nobody, ClientTable::kMaxReads, 0); });
}
BENCHMARK(BM_PollChanges)->ArgName("items")->Arg(10)->Arg(1000)->Apply(Measured);

void BM_LookAtAllItems(benchmark::State& state) {
  Client client(1000);
  int next = 0;
  Measure(
      state,
      [&] {
        for (int i = 0; i < 200; ++i) client.helper.MarkRunnable(next = (next + 1) % 1000);  // an overflow
      },
      [&] {
        int reads = 0;
        while (const int now = client.table->Poll(&client.nobody, ClientTable::kMaxReads, 0)) reads += now;
        return reads;
      });
}
BENCHMARK(BM_LookAtAllItems)->Apply(Measured);

void BM_SetHasWork(benchmark::State& state) {
  Client client(10);
  Measure(
      state, [] {},
      [&] {
        for (int i = 0; i < 1000; ++i) client.table->SetHasWork(client.tasks[i % 10]);
        return 1000;
      });
}
BENCHMARK(BM_SetHasWork)->Apply(Measured);

// The application's side.
void BM_MarkRunnable(benchmark::State& state) {
  Client client(10);
  Measure(
      state, [] {},
      [&] {
        for (int i = 0; i < 8; ++i) client.helper.MarkRunnable(i);
        return 8;
      });
}
BENCHMARK(BM_MarkRunnable)->Apply(Measured);

}  // namespace
}  // namespace ghost
