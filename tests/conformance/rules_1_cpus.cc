// Rules of section 1.2: cpulist, cpumask and what happens to a CPU's transaction.
#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

struct Cpus {
  const char* file;
  const char* text;   // NR is the first number out of range, N the first CPU that can't be
  const char* after;  // cpulist; the set was 0-1
  int error;
  const char* what;
};

constexpr Cpus kCpus[] = {
    {"cpulist", "0-1", "0-1\n", 0, "a range"},
    {"cpulist", "0,2-3", "0,2-3\n", 0, "items with commas; CPUs are added and removed"},
    {"cpulist", "0-3:1/2", "0,2\n", 0, "of each group of 2 the first"},
    {"cpulist", "2\n", "2\n", 0, "a newline at the end"},
    {"cpulist", "\n", "\n", 0, "an empty line is the empty set"},
    {"cpulist", "N", "\n", 0, "a CPU that could exist but does not is passed over"},
    {"cpulist", "0-N", "0-3\n", 0, "also as a part of a range"},
    {"cpulist", "NR", "0-1\n", ERANGE, "the first number that no CPU can have: ERANGE"},
    {"cpulist", "99999", "0-1\n", ERANGE, "a great number: ERANGE"},
    {"cpulist", "abc", "0-1\n", EINVAL, "no number: EINVAL"},
    {"cpulist", "1-", "0-1\n", EINVAL, "half a range: EINVAL"},
    {"cpulist", "3-1", "0-1\n", EINVAL, "a range that runs down: EINVAL"},
    {"cpulist", "all", "0-1\n", EINVAL, "the word all: EINVAL"},
    {"cpumask", "f", "0-3\n", 0, "hexadecimal"},
    {"cpumask", "5\n", "0,2\n", 0, "a newline at the end"},
    {"cpumask", "00000000,00000003", "0-1\n", 0, "groups of 32 bits with commas"},
    {"cpumask", "0,00000003", "0-1\n", 0, "groups may be short"},
    {"cpumask", "\n", "\n", 0, "an empty line is the empty set"},
    {"cpumask", "10", "\n", 0, "a CPU that could exist but does not is passed over"},
    {"cpumask", "0x3", "0-1\n", EINVAL, "0x: EINVAL"},
    {"cpumask", "zz", "0-1\n", EINVAL, "no digits: EINVAL"},
    {"cpumask", "1ffffffff", "0-1\n", EOVERFLOW, "a group of more than 32 bits: EOVERFLOW"},
};

const bool kCpusAdded = [] {
  for (const Cpus& cpus : kCpus) {
    AddRule("1.2", absl::StrCat(cpus.file, ": ", cpus.what), [cpus](Run& run) {
      run.Need(run.traits().num_cpus == 4, "the case is about a kernel with 4 CPUs");
      Enclave enclave(run);
      const std::string text = absl::StrReplaceAll(
          cpus.text, {{"NR", std::to_string(run.traits().nr_cpus)}, {"N", std::to_string(run.traits().num_cpus)}});
      const int64_t expected = cpus.error == 0 ? static_cast<int64_t>(text.size()) : -cpus.error;
      run.Want("result", ResultText(expected), ResultText(enclave.Write(cpus.file, text)));
      run.Want("cpulist", std::string(cpus.after), enclave.Read("cpulist"));
    });
  }
  return true;
}();

RULE("1.2", "cpumask: a bit that no CPU can have: EOVERFLOW") {
  Enclave enclave(run);
  std::string text = "1";
  for (int bits = 0; bits < run.traits().nr_cpus; bits += 32) text += ",00000000";
  run.Want("result", Errno(EOVERFLOW), ResultText(enclave.Write("cpumask", text)));
}

RULE("1.2", "cpumask reads as hexadecimal, cpulist as a list, of the same set") {
  Enclave enclave(run, {.cpus = "0-1"});
  run.Want("cpumask", std::string("3\n"), enclave.Read("cpumask"));
  run.Want("cpulist", std::string("0-1\n"), enclave.Read("cpulist"));
}

RULE("1.2", "cpulist: a read at an offset beyond 4096: EINVAL") {
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("cpulist"), O_RDONLY);
  run.Want("at 4096", std::string(""), ReadFd(run, fd, 4096));
  run.Want("at 4097", Errno(EINVAL), ReadFd(run, fd, 4097));
}

RULE("1.2", "cpulist: a CPU of another enclave: EBUSY, and nothing changes") {
  Enclave first(run, {.cpus = "0-1"}), second(run, {.cpus = "2"});
  run.Want("some of them", Errno(EBUSY), ResultText(second.Write("cpulist", "1-2")));
  run.Want("cpulist", std::string("2\n"), second.Read("cpulist"));
  run.Want("mask", Errno(EBUSY), ResultText(first.Write("cpumask", "7")));
  run.Want("the other's", std::string("0-1\n"), first.Read("cpulist"));
}

RULE("1.2", "cpulist: a CPU with an agent can't be removed: EEXIST") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("result", Errno(EEXIST), ResultText(enclave.Write("cpulist", "1")));
  run.Want("cpulist", std::string("0-1\n"), enclave.Read("cpulist"));
  run.Want("the other may", int64_t{1}, enclave.Write("cpulist", "0"));
}

RULE("1.2", "cpulist: EEXIST comes before EBUSY") {
  Enclave enclave(run, {.cpus = "0"}), other(run, {.cpus = "1"});
  Agent agent(enclave, 0);
  run.Want("result", Errno(EEXIST), ResultText(enclave.Write("cpulist", "1")));
}

RULE("1.2", "cpulist: a CPU that is offline: ENODEV, before EBUSY") {
  run.Need(run.traits().simulated, "takes a CPU offline: only in the simulation");
  Enclave enclave(run, {.cpus = "0"}), other(run, {.cpus = "1"});
  run.world().SetOnline(2, false);
  run.Want("result", Errno(ENODEV), ResultText(enclave.Write("cpulist", "0-2")));
  run.world().SetOnline(2, true);
  run.Want("online again", int64_t{3}, enclave.Write("cpulist", "0,2"));
}

RULE("1.2", "a CPU that joins: its transaction is COMPLETE, of its CPU, with no owner, and 0 otherwise") {
  Enclave enclave(run, {.cpus = "0"});
  ghost_txn& txn = enclave.Txn(1);
  std::memset(static_cast<void*>(&txn), 0x55, sizeof(txn));
  run.Want("cpulist", int64_t{3}, enclave.Write("cpulist", "0-1"));
  run.Want("cpu", 1, txn.cpu);
  run.Want("state", std::string("COMPLETE"), StateName(txn.state));
  run.Want("owner", -1, txn.sync_group_owner);
  run.Want("version", 0, txn.version);
  run.Want("gtid", int64_t{0}, txn.gtid);
  run.Want("flags", 0, txn.run_flags | txn.commit_flags);
  run.Want("barriers", 0u, txn.agent_barrier | txn.task_barrier);
}

RULE("1.2", "the transaction of a CPU that never was in the enclave is all 0") {
  Enclave enclave(run, {.cpus = "0"});
  const ghost_txn& txn = enclave.Txn(2);
  run.Want("state", 0, txn.state);
  run.Want("owner", 0, txn.sync_group_owner);
  run.Want("cpu", 0, txn.cpu);
}

RULE("1.2", "a CPU that leaves keeps its transaction's memory as it was") {
  Enclave enclave(run, {.cpus = "0-1"});
  ghost_txn& txn = enclave.Txn(1);
  txn.gtid = 77;
  run.Want("cpulist", int64_t{1}, enclave.Write("cpulist", "0"));
  run.Want("gtid", int64_t{77}, txn.gtid);
  run.Want("state", std::string("COMPLETE"), StateName(txn.state));
}

RULE("1.2", "cpulist of a dying enclave: EXDEV") {
  run.Need(false, "an enclave dies at once here, and its files with it: there is no moment to write in");
}

}  // namespace
}  // namespace ghost::conformance
