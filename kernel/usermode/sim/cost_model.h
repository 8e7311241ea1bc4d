// What operations cost in the simulation, in ns of virtual time.
//
// The defaults add up to Table 3 of the ghOSt paper (SOSP'21; two Xeon Platinum 8173M at 2 GHz):
//   message to the local agent 725   = wakeup 50 + context_switch 410 + message 265
//   message to a spinning agent 265  = message 265
//   local schedule 888               = syscall 72 + commit 406 + context_switch 410
//   remote schedule, agent 668       = syscall 72 + commit 406 + ipi_send 190
//   remote schedule, target 1064     = ipi_receive 654 + context_switch 410
//   remote schedule, end to end 1772 = 668 + ipi_travel 40 + 1064
//   remote schedule, 10 in a group: agent 3964 = 72 + 406 + 190 + 9 * commit_next 366 (the first stands in the others)
//                                  target 1821 = 1064 + 9 * receive_next 84
//   CFS context switch 599           = cfs_switch 599
// A target's time is taken from the task that it runs: from the interrupt on it does not execute.
//
// A BPF program of an agent takes 650 for each run: measured with BPF_PROG_TEST_RUN, as ghostd has them run, on Linux
// 6.18 (a push to and a pop from a queue included). The paper has no figure.
//
// The table was measured within one socket, on cores of which one hardware thread worked. What a machine of another
// shape adds are round figures for such machines, in percent:
//   smt 60      two busy hardware threads get 15 to 30 % more done than one: each is slower by 54 to 74 %. For agents,
//               and for the kernel where it interrupts or switches; what threads do takes as long as their workload
//               says
//   remote 100  a cache line of another socket takes about twice as long as one of a core of the own socket
#ifndef GHOST_KERNEL_USERMODE_SIM_COST_MODEL_H_
#define GHOST_KERNEL_USERMODE_SIM_COST_MODEL_H_

#include <cstdint>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ghost::sim {

struct CostModel {
  int64_t syscall_ns = 72;          // any system call, by an agent
  int64_t message_ns = 265;         // agent: a message is produced, seen and handled
  int64_t message_next_ns = 265;    // … each further one that it finds at the same time
  int64_t pass_ns = 100;            // agent: one decision of its policy
  int64_t commit_ns = 406;          // agent: the first transaction of a commit
  int64_t commit_next_ns = 366;     // agent: each further one
  int64_t ipi_send_ns = 190;        // agent: a commit or ping for another CPU
  int64_t ipi_travel_ns = 40;       // from that on until the other CPU is interrupted
  int64_t ipi_receive_ns = 654;     // … until it acts on it, if a task runs there
  int64_t idle_receive_ns = 654;    // … if none does
  int64_t receive_next_ns = 84;     // … more for each further transaction of the same commit, up to the tenth
  int64_t wakeup_ns = 50;           // from a wake-up until an idle CPU acts on it
  int64_t context_switch_ns = 410;  // until a task that was picked executes
  int64_t cfs_switch_ns = 599;      // until an ordinary thread that was picked executes
  int64_t preempt_ns = 100;         // until a running task that must leave its CPU has stopped
  int64_t poll_ns = 50;             // agent: one look that finds nothing
  int64_t program_ns = 650;         // a run of a BPF program, for the CPU whose event it is
  int64_t smt_percent = 60;         // costs of a CPU: more, while the other thread of its core is busy
  int64_t remote_percent = 100;     // a transaction, a message or an IPI between NUMA nodes: more

  // Everything is instantaneous: for tests that look at the order only.
  static CostModel Zero();
  // The original Shinjuku (NSDI'19) in the place of ghOSt: its dispatcher is the global agent, its requests' contexts
  // are the tasks. cost_model.cc has the sources.
  static CostModel Shinjuku();
  // "name=value" with a name from kCosts and a value of at least 0, in ns (the last two in percent). Or the name of a
  // whole model, which replaces all: "paper" (the defaults), "shinjuku", "zero".
  absl::Status Set(absl::string_view assignment);
};

struct CostName {
  const char* name;  // without its unit
  int64_t CostModel::*member;
};
inline constexpr CostName kCosts[] = {
    {"syscall", &CostModel::syscall_ns},
    {"message", &CostModel::message_ns},
    {"message_next", &CostModel::message_next_ns},
    {"pass", &CostModel::pass_ns},
    {"commit", &CostModel::commit_ns},
    {"commit_next", &CostModel::commit_next_ns},
    {"ipi_send", &CostModel::ipi_send_ns},
    {"ipi_travel", &CostModel::ipi_travel_ns},
    {"ipi_receive", &CostModel::ipi_receive_ns},
    {"idle_receive", &CostModel::idle_receive_ns},
    {"receive_next", &CostModel::receive_next_ns},
    {"wakeup", &CostModel::wakeup_ns},
    {"context_switch", &CostModel::context_switch_ns},
    {"cfs_switch", &CostModel::cfs_switch_ns},
    {"preempt", &CostModel::preempt_ns},
    {"poll", &CostModel::poll_ns},
    {"program", &CostModel::program_ns},
    {"smt", &CostModel::smt_percent},
    {"remote", &CostModel::remote_percent},
};
static_assert(std::size(kCosts) * sizeof(int64_t) == sizeof(CostModel));

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_COST_MODEL_H_
