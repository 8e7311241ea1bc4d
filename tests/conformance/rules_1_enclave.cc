// Rules of section 1.2: the files of an enclave.
#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

RULE("1.2", "the directory is of mode 0555, and so is sw_regions") {
  Enclave enclave(run);
  run.Want("enclave", uint32_t{S_IFDIR | 0555}, run.world().Stat(enclave.name()).value_or(FileInfo{}).mode);
  const std::string regions = enclave.Path("sw_regions");
  run.Want("sw_regions", uint32_t{S_IFDIR | 0555}, run.world().Stat(regions).value_or(FileInfo{}).mode);
}

RULE("1.2", "the files are these, and no others") {
  Enclave enclave(run);
  std::vector<std::string> expected = {"abi_version", "agent_online", "commit_at_tick", "cpu_data", "cpulist",
                                       "cpumask",     "ctl"};
  if (run.abi().agent_runnability) expected.push_back("deliver_agent_runnability");
  if (run.abi().cpu_availability) expected.push_back("deliver_cpu_availability");
  for (const char* name : {"deliver_ticks", "live_dangerously", "runnable_timeout", "status", "sw_regions",
                           "switchto_disabled", "tasks", "wake_on_waker_cpu"}) {
    expected.push_back(name);
  }
  run.Want("names", absl::StrJoin(expected, " "), absl::StrJoin(run.world().List(enclave.name()), " "));
}

struct File {
  const char* name;
  uint32_t mode;
  const char* text;  // at first; null: it can't be read. # is the ABI version
};

constexpr File kFiles[] = {
    {"abi_version", 0444, "#\n"},
    {"agent_online", 0664, "0"},
    {"commit_at_tick", 0664, "0"},
    {"cpu_data", 0660, nullptr},
    {"cpulist", 0664, "\n"},
    {"cpumask", 0664, "0\n"},
    {"ctl", 0664, nullptr},
    {"deliver_ticks", 0664, "0"},
    {"live_dangerously", 0664, "0"},
    {"runnable_timeout", 0664, "0"},
    {"status", 0444, "version #\nactive no\nnr_tasks 0\n"},
    {"switchto_disabled", 0664, "0"},
    {"tasks", 0666, ""},
    {"wake_on_waker_cpu", 0664, "0"},
};

const bool kFilesAdded = [] {
  for (const File& file : kFiles) {
    AddRule("1.2",
            absl::StrCat(file.name, ": mode ", absl::Hex(file.mode >> 6), absl::Hex(file.mode >> 3 & 7),
                         absl::Hex(file.mode & 7), " (octal)",
                         file.text != nullptr ? ", and its text in a new enclave" : ""),
            [file](Run& run) {
              Enclave enclave(run, {.cpus = "", .words = false});
              const FileInfo info = run.world().Stat(enclave.Path(file.name)).value_or(FileInfo{});
              run.Want("mode", uint32_t{S_IFREG | file.mode}, info.mode);
              if (file.text == nullptr) return;
              std::string text = file.text;
              if (const size_t at = text.find('#'); at != std::string::npos) {
                text.replace(at, 1, std::to_string(run.abi().number));
              }
              run.Want("text", text, enclave.Read(file.name));
            });
  }
  return true;
}();

RULE("1.2", "deliver_agent_runnability: from ABI 72, mode 0664, 0 at first") {
  run.OfThisAbi(run.abi().agent_runnability, "this ABI has no such file");
  Enclave enclave(run);
  run.Want("text", std::string("0"), enclave.Read("deliver_agent_runnability"));
}

RULE("1.2", "deliver_cpu_availability: from ABI 71, mode 0664, 0 at first") {
  run.OfThisAbi(run.abi().cpu_availability, "this ABI has no such file");
  Enclave enclave(run);
  run.Want("text", std::string("0"), enclave.Read("deliver_cpu_availability"));
}

RULE("1.2", "ctl reads as the enclave's id, without a newline") {
  Enclave enclave(run);
  run.Want("text", std::to_string(enclave.id()), enclave.Read("ctl"));
}

RULE("1.2", "cpu_data has 4096 bytes for each possible CPU") {
  Enclave enclave(run);
  const FileInfo info = run.world().Stat(enclave.Path("cpu_data")).value_or(FileInfo{});
  run.Want("size", static_cast<uint64_t>(run.traits().num_cpus) * 4096, info.size);
}

// ---- Tunables ----

struct Number {
  const char* text;
  const char* after;  // what a tunable that was 1 shows; "1" for those that fail
  int error;
  const char* what;
};

constexpr Number kNumbers[] = {
    {"0", "0", 0, "0"},
    {"1", "1", 0, "1"},
    {"0\n", "0", 0, "one newline at the end is fine"},
    {"2", "1", 0, "any number but 0 is 1"},
    {"-1", "1", 0, "also a negative one"},
    {"+0", "0", 0, "a plus sign is fine"},
    {"0x0", "0", 0, "hexadecimal with 0x"},
    {"010", "1", 0, "octal with 0"},
    {"abc", "1", EINVAL, "no number: EINVAL"},
    {"\n", "1", EINVAL, "an empty line: EINVAL"},
    {" 0", "1", EINVAL, "a blank before it: EINVAL"},
    {"0 ", "1", EINVAL, "a blank after it: EINVAL"},
    {"0\n\n", "1", EINVAL, "two newlines: EINVAL"},
    {"099", "1", EINVAL, "no octal digit: EINVAL"},
    {"0x", "1", EINVAL, "0x alone: EINVAL"},
    {"99999999999", "1", EINVAL, "more than an int: EINVAL"},
    {"2147483648", "1", EINVAL, "INT_MAX + 1: EINVAL"},
    {"-2147483648", "1", 0, "INT_MIN"},
};

const bool kTunablesAdded = [] {
  for (const Number& number : kNumbers) {
    AddRule("1.2", absl::StrCat("tunables: ", number.what), [number](Run& run) {
      Enclave enclave(run);
      for (const char* name :
           {"commit_at_tick", "deliver_ticks", "live_dangerously", "switchto_disabled", "wake_on_waker_cpu"}) {
        run.Want(name, int64_t{1}, enclave.Write(name, "1"));
        const int64_t expected = number.error == 0 ? static_cast<int64_t>(strlen(number.text)) : -number.error;
        run.Want(name, ResultText(expected), ResultText(enclave.Write(name, number.text)));
        run.Want(absl::StrCat(name, "'s text"), std::string(number.after), enclave.Read(name));
      }
    });
  }
  return true;
}();

struct Timeout {
  const char* text;
  const char* after;
  int error;
  const char* what;
};

constexpr Timeout kTimeouts[] = {
    {"50", "50", 0, "milliseconds"},
    {"0x10", "16", 0, "hexadecimal with 0x"},
    {"0", "0", 0, "0 is off"},
    {"18446744073709551615", "-1", 0, "2^64 - 1 is taken, and reads as -1"},
    {"18446744073709551616", "7", EINVAL, "2^64: EINVAL"},
    {"-1", "7", EINVAL, "a negative number: EINVAL"},
    {"1.5", "7", EINVAL, "a fraction: EINVAL"},
    {"\n", "7", EINVAL, "an empty line: EINVAL"},
    {" 5", "7", EINVAL, "a blank before it: EINVAL"},
};

const bool kTimeoutsAdded = [] {
  for (const Timeout& timeout : kTimeouts) {
    AddRule("1.2", absl::StrCat("runnable_timeout: ", timeout.what), [timeout](Run& run) {
      Enclave enclave(run);
      enclave.Write("runnable_timeout", "7");
      const int64_t expected = timeout.error == 0 ? static_cast<int64_t>(strlen(timeout.text)) : -timeout.error;
      run.Want("result", ResultText(expected), ResultText(enclave.Write("runnable_timeout", timeout.text)));
      run.Want("text", std::string(timeout.after), enclave.Read("runnable_timeout"));
    });
  }
  return true;
}();

// ---- agent_online ----

RULE("1.2", "agent_online: 1 while it is open for writing, 0 after its last close") {
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("agent_online"), O_RDWR);
  run.Want("open", std::string("1"), enclave.Read("agent_online"));
  Close(run, fd);
  run.Await("the change at close", [&] { return enclave.Read("agent_online") == "0"; });
}

RULE("1.2", "agent_online: a second open for writing: EBUSY; opens for reading don't matter") {
  Enclave enclave(run);
  const int64_t reader = Open(run, enclave.Path("agent_online"), O_RDONLY);
  const int64_t fd = Open(run, enclave.Path("agent_online"), O_WRONLY);
  run.Want("first", fd >= 0 && reader >= 0);
  run.Want("second", Errno(EBUSY), ResultText(Open(run, enclave.Path("agent_online"), O_RDWR)));
  run.Want("for reading", Open(run, enclave.Path("agent_online"), O_RDONLY) >= 0);
}

RULE("1.2", "agent_online: any write: EINVAL") {
  Enclave enclave(run);
  run.Want("1", Errno(EINVAL), ResultText(enclave.Write("agent_online", "1")));
  run.Want("0", Errno(EINVAL), ResultText(enclave.Write("agent_online", "0\n")));
}

RULE("1.2", "status: active is agent_online") {
  Enclave enclave(run);
  Open(run, enclave.Path("agent_online"), O_RDWR);
  run.Want("text", absl::StrCat("version ", run.abi().number, "\nactive yes\nnr_tasks 0\n"), enclave.Read("status"));
}

RULE("1.2", "agent_online: no effect on agents, tasks or the enclave's life") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task task(enclave, "W");
  const int64_t fd = Open(run, enclave.Path("agent_online"), O_RDWR);
  agent.Expect({"NEW W seq=1 runnable=1"});
  Close(run, fd);
  run.Await("the change at close", [&] { return enclave.Read("agent_online") == "0"; });
  agent.Run(task);
  task.Block();
  agent.Expect({"BLOCKED W seq=2 cpu=0"});
}

// ---- status, tasks ----

std::string Status(const Run& run, int tasks) {
  return absl::StrCat("version ", const_cast<Run&>(run).abi().number, "\nactive no\nnr_tasks ", tasks, "\n");
}

RULE("1.2", "status counts tasks, not agents") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  run.Want("with an agent", Status(run, 0), enclave.Read("status"));
  Task first(enclave, "A");
  agent.Expect({"NEW A seq=1 runnable=1"});
  Task second(enclave, "B", {.asleep = true});
  agent.Expect({"NEW B seq=1 runnable=0"});
  run.Want("with two tasks", Status(run, 2), enclave.Read("status"));
  run.world().Kill(second.actor(), 9);
  agent.queue().Expect({"DEAD B seq=2"});
  run.Await("one left", [&] { return enclave.Read("status") == Status(run, 1); });
}

RULE("1.2", "tasks lists the tasks' thread ids in order of entry, and no agents") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Task first(enclave, "A", {.asleep = true}), second(enclave, "B", {.asleep = true});
  run.Want("text", absl::StrCat(first.actor().tid(), "\n", second.actor().tid(), "\n"), enclave.Read("tasks"));
}

}  // namespace
}  // namespace ghost::conformance
