// A record of what happened, event by event: as text, one line each, or as a Chrome trace for ui.perfetto.dev.
//
// Text: "<ns since the start> <what>". The Chrome trace has a track per CPU with a slice for each thread and each agent
// that had it, and instants for messages, commits, and changes of the machine. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_TRACE_H_
#define GHOST_KERNEL_USERMODE_SIM_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/usermode/core/observer.h"
#include "kernel/usermode/sim/agent_host.h"
#include "kernel/usermode/sim/thread.h"

namespace ghost::sim {

class Trace final : public Observer, public AgentObserver, public usermode::CoreObserver {
 public:
  // Records the last `capacity` events. `class_names`: by Thread::group.
  Trace(size_t capacity, std::vector<std::string> class_names)
      : capacity_(capacity), class_names_(std::move(class_names)) {}

  // The machine whose clock messages are stamped with, and its start.
  void Attach(Machine* machine);

  size_t size() const { return records_.size(); }
  uint64_t dropped() const { return dropped_; }
  std::string ToText() const;
  // The last `count` of them.
  std::string LastLines(size_t count) const;
  std::string ToChromeJson() const;

  // Observer, AgentObserver:
  void OnRun(const Thread& thread, int64_t now_ns) override;
  void OnOff(const Thread& thread, OffReason reason, int64_t now_ns) override;
  void OnWake(const Thread& thread, int waker_cpu, int64_t now_ns) override;
  void OnExit(const Thread& thread, int64_t now_ns) override;
  void OnAgent(int cpu, Tid tid, bool running, int64_t now_ns) override;
  void OnOnline(int cpu, bool online, int64_t now_ns) override;
  void OnBusy(int cpu, bool busy, int64_t now_ns) override;
  void OnLog(const std::string& line, int64_t now_ns) override;
  void OnTransaction(int by, int cpu, int64_t gtid, int32_t state, int64_t now_ns) override;
  // CoreObserver:
  void OnMessage(const Message& message) override;

 private:
  enum class Kind : uint8_t {
    kRun,
    kOff,
    kWake,
    kExit,
    kAgentOn,
    kAgentOff,
    kOnline,
    kBusy,
    kLog,
    kTransaction,
    kMessage
  };
  struct Record {
    int64_t ns;
    Kind kind;
    uint8_t detail;  // OffReason
    uint16_t type;   // of a message
    int16_t cpu;
    int16_t group;
    int32_t tid;
    int32_t number;   // transaction state, log line, CPU of whoever did it
    uint32_t seqnum;  // of a message
    int64_t run_ns;   // kRun: when it executes
  };
  void Add(Record record);
  // In order.
  const Record& At(size_t index) const { return records_[(first_ + index) % records_.size()]; }
  std::string Line(const Record& record) const;
  std::string NameOf(const Record& record) const;
  std::string JsonOf(const Record& record) const;

  const size_t capacity_;
  const std::vector<std::string> class_names_;
  Machine* machine_ = nullptr;
  int64_t start_ns_ = 0;
  std::vector<Record> records_;  // a ring once it is full
  size_t first_ = 0;
  uint64_t dropped_ = 0;
  std::vector<std::string> log_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_TRACE_H_
