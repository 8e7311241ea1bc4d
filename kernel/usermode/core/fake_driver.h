// A Driver that does nothing but remember what it was asked to do. For tests.
//
// Commands are lines of `log`, tasks named by their tids: "attach 100", "run 100 cpu 0", "preempt 100", "detach 100",
// "kill 7", "complete 3 = 0", "timer 1 at 5000", "timer 1 off", "log …". Memory is the process's own; time is `now_ns`.
#ifndef GHOST_KERNEL_USERMODE_CORE_FAKE_DRIVER_H_
#define GHOST_KERNEL_USERMODE_CORE_FAKE_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/usermode/core/driver.h"

namespace ghost::usermode {

class FakeDriver : public Driver {
 public:
  // What has been asked since the last TakeLog.
  std::vector<std::string> TakeLog() { return std::exchange(log, {}); }

  int64_t now_ns = 1'000'000;
  std::vector<std::string> log;
  std::map<Tid, AttachResult> attach;  // default: kRunning
  std::map<Tid, int> may_attach;       // errno; default 0
  int attach_agent_error = 0;
  int regions_left = INT32_MAX;            // AllocateRegion fails when it is 0
  std::set<Tid> ended;                     // threads that RuntimeNsOfTid does not find
  std::map<int64_t, uint64_t> runtime_ns;  // by gtid; default 1000
  std::map<uint64_t, int> completed;       // request -> result
  std::map<uint64_t, int64_t> timers;      // armed ones
  std::map<uint64_t, std::string> region_names;

  int64_t NowNs() override { return now_ns; }
  std::optional<Region> AllocateRegion(const std::string& name, size_t size) override;
  void FreeRegion(uint64_t id) override;
  AttachResult Attach(Tid tid, int64_t gtid) override;
  void Detach(int64_t gtid) override;
  void Run(int64_t gtid, int cpu) override;
  void Preempt(int64_t gtid) override;
  uint64_t RuntimeNs(int64_t gtid) override;
  std::optional<uint64_t> RuntimeNsOfTid(Tid tid) override;
  std::optional<CpuSet> Affinity(int64_t gtid) override;
  int MayAttach(Tid tid, const Caller& caller) override;
  int AttachAgent(Tid tid, int cpu) override;
  void KillAgent(Tid tid) override;
  void CompleteRequest(uint64_t request, int result) override;
  void ArmTimer(uint64_t id, int64_t when_ns) override;
  void NotifyNode(uint64_t node) override;
  void Log(const std::string& line) override;

  // The memory of a region, also after it was freed (agents' mappings stay).
  std::byte* Memory(uint64_t region) { return memory_.at(region).get(); }

 private:
  struct Unmap {
    size_t size = 0;
    void operator()(std::byte* memory) const;
  };
  std::map<uint64_t, std::unique_ptr<std::byte, Unmap>> memory_;
  uint64_t last_region_ = 0;
};

// A caller with a descriptor table; addresses are this process's own, 1 is a bad one.
class FakeCaller : public Caller {
 public:
  static constexpr uint64_t kBadAddress = 1;

  FakeCaller(Tid tid, Tid tgid) : tid_(tid), tgid_(tgid) {}

  uid_t user = 0;
  bool cap_sys_nice = true;
  int cpu = -1;
  std::map<int, uint64_t> fds;  // descriptor -> region id, 0 for another file
  int timerfd_error = 0;

  Tid tid() const override { return tid_; }
  Tid tgid() const override { return tgid_; }
  uid_t uid() const override { return user; }
  gid_t gid() const override { return 0; }
  bool HasCapSysNice() const override { return cap_sys_nice; }
  int Cpu() const override { return cpu; }
  bool ReadMemory(uint64_t address, std::span<std::byte> out) override;
  bool WriteMemory(uint64_t address, std::span<const std::byte> data) override;
  std::optional<uint64_t> RegionOfFd(int fd) override;
  int TimerfdSettime(int fd, int flags, const struct itimerspec& value, struct itimerspec* old_value) override;

 private:
  const Tid tid_;
  const Tid tgid_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_FAKE_DRIVER_H_
