// A process of the simulation that makes system calls: its credentials, its descriptors, and its threads as Callers.
//
// Machine (machine.h) carries the calls out. Addresses are this (the real) process's own. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_PROCESS_H_
#define GHOST_KERNEL_USERMODE_SIM_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/sim/event_queue.h"
#include "kernel/usermode/sim/thread.h"

namespace ghost::sim {

struct Process {
  struct Timerfd {
    int64_t when_ns = 0;  // of the next expiry; 0: not armed
    int64_t interval_ns = 0;
  };
  struct Descriptor {
    uint64_t handle = 0;  // the core's; 0: none
    uint64_t region = 0;  // mapped memory; 0: none
    std::optional<Timerfd> timer;
  };

  Tid tgid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  bool cap_sys_nice = true;
  bool exited = false;
  std::map<int, Descriptor> descriptors;
  // The core has it killed. Null: Machine ends its threads and closes its descriptors, and that is all of it.
  std::function<void()> on_kill;

  // The lowest free descriptor from 3 up.
  int Install(Descriptor descriptor);
};

// A thread of a process as the core sees whoever makes a request.
class SimCaller final : public usermode::Caller {
 public:
  SimCaller(Process* process, const Thread* thread, const EventQueue* events)
      : process_(*process), thread_(*thread), events_(*events) {}

  Process& process() { return process_; }

  Tid tid() const override { return thread_.tid; }
  Tid tgid() const override { return process_.tgid; }
  uid_t uid() const override { return process_.uid; }
  gid_t gid() const override { return process_.gid; }
  bool HasCapSysNice() const override { return process_.cap_sys_nice; }
  int Cpu() const override;
  // False for what can be no address: the first page, and the upper half.
  bool ReadMemory(uint64_t address, std::span<std::byte> out) override;
  bool WriteMemory(uint64_t address, std::span<const std::byte> data) override;
  std::optional<uint64_t> RegionOfFd(int fd) override;
  int TimerfdSettime(int fd, int flags, const struct itimerspec& value, struct itimerspec* old_value) override;
  // Expiries since the last call, as read(2) gives them. 0: none; -errno.
  int64_t TimerfdRead(int fd);

 private:
  Process& process_;
  const Thread& thread_;
  const EventQueue& events_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_PROCESS_H_
