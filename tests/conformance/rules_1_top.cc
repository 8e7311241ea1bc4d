// Rules of section 0 (thread ids), 1 (files in general) and 1.1 (the top directory).
#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {
namespace {

// ---- 0 ----

RULE("0", "a gtid is the thread's id above 41 bits of a number that is not 0, with bit 63 clear") {
  Enclave enclave(run);
  Actor& thread = *run.world().NewProcess();
  const int64_t gtid = enclave.GtidOf(thread);
  run.Want("gtid > 0", gtid > 0);
  run.Want("thread id", int64_t{thread.tid()}, gtid >> 41);
  run.Want("sequence != 0", (gtid & ((int64_t{1} << 41) - 1)) != 0);
}

RULE("0", "gtids of two threads have different sequence numbers") {
  Enclave enclave(run);
  Actor& first = *run.world().NewProcess();
  Actor& second = *run.world().NewProcess();
  constexpr int64_t kSequence = (int64_t{1} << 41) - 1;
  run.Want("differ", (enclave.GtidOf(first) & kSequence) != (enclave.GtidOf(second) & kSequence));
}

RULE("0", "a thread keeps its gtid when it enters ghost, leaves and comes back") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Actor& thread = *run.world().NewProcess();
  const int64_t before = enclave.GtidOf(thread);
  Task task(enclave, "W", {.thread = &thread});
  run.Want("in ghost", before, task.gtid());
  agent.Expect({"NEW W seq=1 runnable=1"});
  Do(run, run.world().Self(), {Op::kSetPolicy, {static_cast<uint64_t>(thread.tid()), 0}});
  agent.queue().Expect({"DEPARTED W seq=2 cpu=0 current=0"});
  run.Want("SW_FREE", int64_t{0}, enclave.Free(task.sw()));
  run.Want("entry", enclave.Write("tasks", std::to_string(thread.tid())) > 0);
  agent.queue().Expect({"NEW W seq=1 runnable=1"});
  run.Want("back in ghost", before, enclave.GtidOf(thread));
}

// ---- 1 ----

RULE("1", "a read gives the whole text at offset 0, and then the end") {
  const int64_t fd = Open(run, "version", O_RDONLY);
  const std::string text = ReadFd(run, fd);
  run.Want("text", !text.empty() && text.back() == '\n');
  run.Want("after it", std::string(""), ReadFd(run, fd, text.size()));
}

RULE("1", "a write is not a write at an offset: the second one on a descriptor counts as the first") {
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("deliver_ticks"), O_RDWR);
  run.Want("first", int64_t{1}, WriteFd(run, fd, "1"));
  run.Want("second", int64_t{1}, WriteFd(run, fd, "0"));
  run.Want("value", std::string("0"), enclave.Read("deliver_ticks"));
}

RULE("1", "of a write only 4096 bytes are taken, and the count says so") {
  Enclave enclave(run);
  const std::string text = absl::StrCat("discover tasks\n", std::string(5000, 'x'));
  run.Want("result", int64_t{4096}, enclave.Write("ctl", text));
}

RULE("1", "opening for writing what can't be written: EACCES, for root too") {
  Enclave enclave(run);
  run.Want("version", Errno(EACCES), ResultText(Open(run, "version", O_WRONLY)));
  run.Want("abi_version", Errno(EACCES), ResultText(Open(run, enclave.Path("abi_version"), O_RDWR)));
  run.Want("status", Errno(EACCES), ResultText(Open(run, enclave.Path("status"), O_WRONLY)));
}

RULE("1", "opening the top ctl for reading: EACCES, for root too") {
  run.Want("O_RDONLY", Errno(EACCES), ResultText(Open(run, "ctl", O_RDONLY)));
  run.Want("O_RDWR", Errno(EACCES), ResultText(Open(run, "ctl", O_RDWR)));
}

RULE("1", "sw_N can't be opened for writing: EACCES") {
  run.Need(!run.traits().user_mode, "it is a file in memory here, which root may open");
  Enclave enclave(run);
  run.Want("O_RDWR", Errno(EACCES), ResultText(Open(run, enclave.Path("sw_regions/sw_0"), O_RDWR)));
}

RULE("1", "an open file of a removed enclave: read, write and ioctl give ENODEV") {
  Enclave enclave(run);
  const int64_t status = Open(run, enclave.Path("status"), O_RDONLY);
  const int64_t ticks = Open(run, enclave.Path("deliver_ticks"), O_RDWR);
  enclave.Destroy();
  run.Want("read", Errno(ENODEV), ReadFd(run, status));
  run.Want("write", Errno(ENODEV), ResultText(WriteFd(run, ticks, "1")));
  run.Want("ioctl", Errno(ENODEV), ResultText(enclave.IoctlAt(GHOST_IOC_NULL, 0)));
}

RULE("1", "poll: readable and writable, always") {
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("status"), O_RDONLY);
  ReadFd(run, fd);
  const int64_t events = Do(run, run.world().Self(), {Op::kPoll, {static_cast<uint64_t>(fd)}});
  run.Want("events", int64_t{POLLIN | POLLOUT}, events);
}

RULE("1", "poll: agent_online adds POLLPRI and POLLERR when it changes, until it is read") {
  Enclave enclave(run);
  const int64_t fd = Open(run, enclave.Path("agent_online"), O_RDONLY);
  ReadFd(run, fd);
  Call poll = {Op::kPoll, {static_cast<uint64_t>(fd)}};
  run.Want("before", int64_t{0}, Do(run, run.world().Self(), poll) & (POLLPRI | POLLERR));
  const int64_t online = Open(run, enclave.Path("agent_online"), O_RDWR);
  run.Want("changed", int64_t{POLLPRI | POLLERR}, Do(run, run.world().Self(), poll) & (POLLPRI | POLLERR));
  run.Want("value", std::string("1"), ReadFd(run, fd));
  run.Want("read", int64_t{0}, Do(run, run.world().Self(), poll) & (POLLPRI | POLLERR));
  Close(run, online);
  run.Await("the change at close", [&] { return (Do(run, run.world().Self(), poll) & POLLPRI) != 0; });
}

RULE("1", "a region can't be read or written: EINVAL") {
  run.Need(!run.traits().user_mode, "it is a file in memory here");
  Enclave enclave(run);
  run.Want("cpu_data", Errno(EINVAL), enclave.Read("cpu_data"));
  run.Want("sw_0", Errno(EINVAL), enclave.Read("sw_regions/sw_0"));
}

// ---- 1.1 ----

RULE("1.1", "version lists the ABI versions, one a line") {
  bool found = false;
  for (const auto& line : absl::StrSplit(Read(run, "version"), '\n')) {
    found = found || line == std::to_string(run.abi().number);
  }
  run.Want("has this one", found);
}

RULE("1.1", "ctl is of mode 0660, version of 0444") {
  run.Want("ctl", uint32_t{S_IFREG | 0660}, run.world().Stat("ctl").value_or(FileInfo{}).mode);
  run.Want("version", uint32_t{S_IFREG | 0444}, run.world().Stat("version").value_or(FileInfo{}).mode);
}

struct Create {
  const char* what;
  const char* text;  // @ is a free id, # the ABI version
  int error;
};

constexpr Create kCreates[] = {
    {"a trailing newline is fine", "create @ #\n", 0},
    {"no newline is fine", "create @ #", 0},
    {"several blanks are one", "create   @   #", 0},
    {"no blank after the word is fine", "create@ #", 0},
    {"blanks before the word: EINVAL", "  create @ #", EINVAL},
    {"no version: EINVAL", "create @", EINVAL},
    {"no number at all: EINVAL", "create", EINVAL},
    {"an id that is no number: EINVAL", "create x #", EINVAL},
    {"an id in hexadecimal: EINVAL", "create 0x6 #", EINVAL},
    {"a negative id: EINVAL", "create -1 #", EINVAL},
    {"a version that is not offered: ESRCH", "create @ 68", ESRCH},
    {"version 0: ESRCH", "create @ 0", ESRCH},
    {"another command: EINVAL", "destroy", EINVAL},
    {"an empty line: EINVAL", "\n", EINVAL},
};

std::string Filled(const Create& create, const AbiVersion& abi) {
  std::string text;
  for (const char* c = create.text; *c != '\0'; ++c) {
    text += *c == '@' ? "7123" : *c == '#' ? std::to_string(abi.number) : std::string(1, *c);
  }
  return text;
}

const bool kCreatesAdded = [] {
  for (const Create& create : kCreates) {
    AddRule("1.1", absl::StrCat("create: ", create.what), [create](Run& run) {
      const std::string text = Filled(create, run.abi());
      const auto expected = create.error == 0 ? static_cast<int64_t>(text.size()) : -create.error;
      run.Want("result", ResultText(expected), ResultText(Write(run, "ctl", text)));
      run.Want("enclave_7123 is there", create.error == 0, run.world().Stat("enclave_7123").has_value());
    });
  }
  return true;
}();

RULE("1.1", "create: an id that is in use: EEXIST") {
  Enclave enclave(run);
  const std::string again = absl::StrCat("create ", enclave.id(), " ", run.abi().number);
  run.Want("result", Errno(EEXIST), ResultText(Write(run, "ctl", again)));
}

RULE("1.1", "create: the greatest id is that of an unsigned long") {
  const std::string text = absl::StrCat("create 18446744073709551615 ", run.abi().number);
  run.Want("result", static_cast<int64_t>(text.size()), Write(run, "ctl", text));
  run.Want("directory", run.world().Stat("enclave_18446744073709551615").has_value());
}

RULE("1.1", "create: the group of all files is the number after the version") {
  Enclave enclave(run, {.create_options = "100"});
  for (const char* file : {"", "/ctl", "/tasks", "/cpulist", "/status", "/sw_regions", "/cpu_data"}) {
    const FileInfo info = run.world().Stat(enclave.name() + file).value_or(FileInfo{});
    run.Want(absl::StrCat("group of ", file), gid_t{100}, info.gid);
    run.Want(absl::StrCat("owner of ", file), uid_t{0}, info.uid);
  }
}

RULE("1.1", "create: an option that is unknown is ignored while there are no named ones, then it is ENOENT") {
  const std::string text = absl::StrCat("create 7123 ", run.abi().number, " junk");
  const int64_t expected = run.abi().named_create_options ? -ENOENT : static_cast<int64_t>(text.size());
  run.Want("result", ResultText(expected), ResultText(Write(run, "ctl", text)));
}

RULE("1.1", "create: gid=N is the group, too") {
  run.OfThisAbi(run.abi().named_create_options, "this ABI has no named options");
  Enclave enclave(run, {.create_options = "gid=100"});
  run.Want("group", gid_t{100}, run.world().Stat(enclave.name()).value_or(FileInfo{}).gid);
}

RULE("1.1", "create: an ephemeral enclave goes with its last agent and descriptor of ctl") {
  run.OfThisAbi(run.abi().named_create_options, "this ABI has no named options");
  Enclave enclave(run, {.create_options = "ephemeral"});
  Agent agent(enclave, 0);
  Close(run, enclave.ctl());
  run.Want("stays while its agent lives", run.world().Stat(enclave.name()).has_value());
  run.world().Kill(agent.actor(), 9);
  run.Await("its end", [&] { return !run.world().Stat(enclave.name()).has_value(); });
}

RULE("1.1", "an enclave that is not ephemeral outlives its last agent and descriptor") {
  Enclave enclave(run);
  Agent agent(enclave, 0);
  Close(run, enclave.ctl());
  run.world().Kill(agent.actor(), 9);
  run.Await("the agent's end", [&] { return agent.actor().Ended(); });
  run.Want("is there", run.world().Stat(enclave.name()).has_value());
  run.Want("answers", std::to_string(enclave.id()), enclave.Read("ctl"));
}

}  // namespace
}  // namespace ghost::conformance
