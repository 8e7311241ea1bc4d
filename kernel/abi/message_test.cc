// Golden tests: every message, at the versions that brought a layout and at those that kernels carry, as bytes written
// by hand from the layouts (not by the encoder).
#include "kernel/abi/message.h"

#include <cstring>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/abi/message_decoder.h"

namespace ghost {
namespace {

constexpr uint32_t kVersions[] = {69, 75, 77, 84, 88, 90, 91};

struct Golden {
  const char* name;
  uint32_t first;  // the versions with this layout
  uint32_t last;
  const char* hex;  // ".." is padding, or a field that is not decoded
  const char* text;
};

// gtid 219902325555201 = pid 100, sequence 1; 217703302299650 = pid 99, sequence 2.
const Golden kGoldens[] = {
    {"TaskNew", 69, 74,
     "4300 2800 07000000"
     "0100000000c80000 8877665544332211 0100.... 03000000 09000000 ........",
     "TASK_NEW seq=7 gtid=219902325555201 parent_gtid=0 runtime=1234605616436508552 runnable=1 sw=3:9"},
    {"TaskNew", 75, 76,
     "4300 2800 07000000"
     "0100000000c80000 8877665544332211 0100.... fbffffff 03000000 09000000",
     "TASK_NEW seq=7 gtid=219902325555201 parent_gtid=0 runtime=1234605616436508552 runnable=1 nice=-5 sw=3:9"},
    {"TaskNew", 77, 87,
     "4300 3000 07000000"
     "0100000000c80000 0200000000c60000 8877665544332211 0100.... fbffffff 03000000 09000000",
     "TASK_NEW seq=7 gtid=219902325555201 parent_gtid=217703302299650 runtime=1234605616436508552 runnable=1 nice=-5 "
     "sw=3:9"},
    {"TaskNew", 88, 91,
     "4300 3800 07000000"
     "0100000000c80000 0200000000c60000 8877665544332211 0100.... fbffffff 03000000 09000000 efcdab8967452301",
     "TASK_NEW seq=7 gtid=219902325555201 parent_gtid=217703302299650 runtime=1234605616436508552 runnable=1 nice=-5 "
     "sw=3:9 agent_data=81985529216486895"},
    {"TaskNewNotRunnable", 77, 87,
     "4300 3000 ffffffff"
     "0100000000c80000 0000000000000000 0000000000000000 0000.... 13000000 00000000 01000000",
     "TASK_NEW seq=4294967295 gtid=219902325555201 parent_gtid=0 runtime=0 runnable=0 nice=19 sw=0:1"},
    {"TaskBlocked", 69, 91,
     "4100 2800 08000000"
     "0100000000c80000 e803000000000000 0500000000000000 02000000 01 ......",
     "TASK_BLOCKED seq=8 gtid=219902325555201 cpu=2 runtime=1000 cpu_seqnum=5 from_switchto=1"},
    {"TaskWakeup", 69, 91,
     "4200 2800 09000000"
     "0100000000c80000 efcdab8967452301 01...... ffffffff 07000000 0c000000",
     "TASK_WAKEUP seq=9 gtid=219902325555201 agent_data=81985529216486895 deferrable=1 last_ran_cpu=-1 wake_up_cpu=7 "
     "waker_cpu=12"},
    {"TaskPreempt", 69, 91,
     "4400 3000 0a000000"
     "0100000000c80000 e903000000000000 0600000000000000 efcdab8967452301 03000000 00 01 ....",
     "TASK_PREEMPT seq=10 gtid=219902325555201 cpu=3 runtime=1001 cpu_seqnum=6 agent_data=81985529216486895 "
     "from_switchto=0 was_latched=1"},
    {"TaskPreemptFromSwitchto", 69, 91,
     "4400 3000 0a000000"
     "0100000000c80000 e903000000000000 0600000000000000 0000000000000000 ff030000 01 00 ....",
     "TASK_PREEMPT seq=10 gtid=219902325555201 cpu=1023 runtime=1001 cpu_seqnum=6 agent_data=0 from_switchto=1 "
     "was_latched=0"},
    {"TaskYield", 69, 91,
     "4500 3000 0b000000"
     "0100000000c80000 ea03000000000000 0700000000000000 efcdab8967452301 04000000 01 ......",
     "TASK_YIELD seq=11 gtid=219902325555201 cpu=4 runtime=1002 cpu_seqnum=7 agent_data=81985529216486895 "
     "from_switchto=1"},
    {"TaskDead", 69, 88, "4000 1000 0c000000 0100000000c80000", "TASK_DEAD seq=12 gtid=219902325555201"},
    {"TaskDead", 89, 91, "4000 1800 0c000000 0100000000c80000 06000000 ........",
     "TASK_DEAD seq=12 gtid=219902325555201 cpu=6"},
    {"TaskDeparted", 69, 91,
     "4600 2000 0d000000"
     "0100000000c80000 0800000000000000 05000000 00 01 ....",
     "TASK_DEPARTED seq=13 gtid=219902325555201 cpu=5 cpu_seqnum=8 from_switchto=0 was_current=1"},
    {"TaskDepartedFromSwitchto", 69, 91,
     "4600 2000 0d000000"
     "0100000000c80000 0800000000000000 05000000 01 00 ....",
     "TASK_DEPARTED seq=13 gtid=219902325555201 cpu=5 cpu_seqnum=8 from_switchto=1 was_current=0"},
    {"TaskSwitchto", 69, 91,
     "4700 2800 0e000000"
     "0100000000c80000 eb03000000000000 0900000000000000 06000000 ........",
     "TASK_SWITCHTO seq=14 gtid=219902325555201 cpu=6 runtime=1003 cpu_seqnum=9"},
    {"TaskAffinityChanged", 69, 91, "4800 1000 0f000000 0100000000c80000",
     "TASK_AFFINITY_CHANGED seq=15 gtid=219902325555201"},
    {"TaskLatched", 69, 77,
     "4900 2800 10000000"
     "0100000000c80000 ec03000000000000 0a00000000000000 07000000 01 ......",
     "TASK_ON_CPU seq=16 gtid=219902325555201 cpu=7 commit_time=1004 cpu_seqnum=10 latched_preempt=1"},
    {"TaskOnCpu", 78, 91,
     "4900 2800 10000000"
     "0100000000c80000 ec03000000000000 0a00000000000000 07000000 ........",
     "TASK_ON_CPU seq=16 gtid=219902325555201 cpu=7 commit_time=1004 cpu_seqnum=10 latched_preempt=0"},
    {"TaskPriorityChanged", 75, 91, "4a00 1800 11000000 0100000000c80000 ecffffff ........",
     "TASK_PRIORITY_CHANGED seq=17 gtid=219902325555201 nice=-20"},
    {"TaskLatchFailure", 80, 91, "4b00 1800 12000000 0100000000c80000 10000000 ........",
     "TASK_LATCH_FAILURE seq=18 gtid=219902325555201 error=16"},
    {"CpuTick", 69, 89, "8000 0c00 13000000 08000000", "CPU_TICK seq=19 cpu=8 is_agent=0"},
    {"CpuTick", 90, 91, "8000 1000 13000000 08000000 01000000", "CPU_TICK seq=19 cpu=8 is_agent=1"},
    {"CpuTimerExpired", 69, 91,
     "8100 2000 14000000"
     "09000000 ........ 0b00000000000000 efcdab8967452301",
     "CPU_TIMER_EXPIRED seq=20 cpu=9 type=11 cookie=81985529216486895"},
    {"CpuNotIdle", 69, 91, "8200 1800 15000000 0a000000 ........ 0200000000c60000",
     "CPU_NOT_IDLE seq=21 cpu=10 next_gtid=217703302299650"},
    {"CpuAvailable", 71, 91, "8300 0c00 16000000 0b000000", "CPU_AVAILABLE seq=22 cpu=11"},
    {"CpuBusy", 71, 91, "8400 0c00 17000000 0c000000", "CPU_BUSY seq=23 cpu=12"},
    {"CpuAgentBlocked", 72, 91, "8500 0c00 18000000 0d000000", "CPU_AGENT_BLOCKED seq=24 cpu=13"},
    {"CpuAgentWakeup", 72, 91, "8600 0c00 19000000 0e000000", "CPU_AGENT_WAKEUP seq=25 cpu=14"},
};

int Digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

// The bytes of `hex`, with `padding` for "..".
std::vector<std::byte> Bytes(std::string_view hex, uint8_t padding) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size();) {
    if (hex[i] == ' ') {
      ++i;
      continue;
    }
    int value = hex[i] == '.' ? padding : Digit(hex[i]) * 16 + Digit(hex[i + 1]);
    bytes.push_back(static_cast<std::byte>(value));
    i += 2;
  }
  return bytes;
}

// The message, or what is wrong with it.
std::string Decode(uint32_t version, std::span<const std::byte> bytes) {
  Message message;
  DecodeError error = DecodeMessage(*FindAbi(version), bytes, &message);
  return error == DecodeError::kOk ? ToString(message) : DecodeErrorName(error);
}

void SetLength(std::vector<std::byte>* bytes, size_t length) {
  uint16_t value = static_cast<uint16_t>(length);
  std::memcpy(bytes->data() + offsetof(ghost_msg, length), &value, sizeof(value));
}

struct Case {
  const Golden* golden;
  uint32_t version;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Golden& golden : kGoldens) {
    for (uint32_t version : kVersions) {
      if (version >= golden.first && version <= golden.last) cases.push_back({&golden, version});
    }
  }
  return cases;
}

class MessageTest : public testing::TestWithParam<Case> {
 protected:
  const Golden& golden() const { return *GetParam().golden; }
  uint32_t version() const { return GetParam().version; }
};

TEST_P(MessageTest, Decodes) { EXPECT_EQ(Decode(version(), Bytes(golden().hex, 0xee)), golden().text); }

TEST_P(MessageTest, EncodesTheSameBytes) {
  const std::vector<std::byte> expected = Bytes(golden().hex, 0);
  Message message;
  ASSERT_EQ(DecodeMessage(*FindAbi(version()), expected, &message), DecodeError::kOk);
  // Dirty memory, to see that padding is cleared, and nothing beyond the message is touched.
  std::vector<std::byte> out(kMaxMessageBytes + 8, std::byte{0xaa});
  const size_t length = EncodeMessage(*FindAbi(version()), message, out);
  ASSERT_EQ(length, expected.size());
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], i < length ? expected[i] : std::byte{0xaa}) << "byte " << i;
}

TEST_P(MessageTest, NeedsNoAlignment) {
  const std::vector<std::byte> bytes = Bytes(golden().hex, 0xee);
  alignas(8) std::byte buffer[kMaxMessageBytes + 8];
  for (size_t shift = 0; shift < 8; ++shift) {
    std::memcpy(buffer + shift, bytes.data(), bytes.size());
    EXPECT_EQ(Decode(version(), std::span(buffer + shift, bytes.size())), golden().text) << shift;
  }
}

TEST_P(MessageTest, AcceptsALongerPayload) {
  std::vector<std::byte> bytes = Bytes(golden().hex, 0xee);
  bytes.resize(bytes.size() + 24, std::byte{0xff});
  EXPECT_EQ(Decode(version(), bytes), golden().text) << "more bytes after the message";
  SetLength(&bytes, bytes.size());
  EXPECT_EQ(Decode(version(), bytes), golden().text) << "a longer message";
}

TEST_P(MessageTest, RefusesEveryShorterLength) {
  const std::vector<std::byte> whole = Bytes(golden().hex, 0xee);
  for (size_t length = 0; length < whole.size(); ++length) {
    std::vector<std::byte> bytes = whole;
    SetLength(&bytes, length);
    EXPECT_EQ(Decode(version(), bytes), length < sizeof(ghost_msg) ? "truncated" : "short payload") << length;
  }
}

TEST_P(MessageTest, RefusesFewerBytesThanTheLengthSays) {
  const std::vector<std::byte> whole = Bytes(golden().hex, 0xee);
  for (size_t size = 0; size < whole.size(); ++size) {
    // Bytes of exactly this size, so that a sanitizer sees a read beyond them.
    const std::vector<std::byte> bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(Decode(version(), bytes), "truncated") << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, MessageTest, testing::ValuesIn(Cases()), [](const auto& info) {
  return std::string(info.param.golden->name) + "_" + std::to_string(info.param.version);
});

// Every type that has no golden at a version is unknown there.
TEST(MessageTypes, UnknownOnesAreErrors) {
  for (uint32_t version : kVersions) {
    std::set<uint32_t> known;
    for (const Golden& golden : kGoldens) {
      if (version < golden.first || version > golden.last) continue;
      known.insert(std::to_integer<uint32_t>(Bytes(golden.hex, 0)[0]));
    }
    for (uint32_t type = 1; type <= 0xffff; ++type) {
      std::byte bytes[kMaxMessageBytes] = {};
      const ghost_msg header = {.type = static_cast<uint16_t>(type), .length = sizeof(bytes), .seqnum = 1};
      std::memcpy(bytes, &header, sizeof(header));
      Message message;
      ASSERT_EQ(DecodeMessage(*FindAbi(version), bytes, &message),
                known.contains(type) ? DecodeError::kOk : DecodeError::kUnknownType)
          << "version " << version << ", type " << type;
    }
  }
}

TEST(MessageTypes, ErrorsLeaveTheMessageAlone) {
  Message message = MakeMessage(3, TaskDead{.gtid = 4, .cpu = 5});
  const std::vector<std::byte> unknown = Bytes("c800 0800 01000000", 0);
  EXPECT_EQ(DecodeMessage(*FindAbi(91), unknown, &message), DecodeError::kUnknownType);
  EXPECT_EQ(ToString(message), "TASK_DEAD seq=3 gtid=4 cpu=5");
}

TEST(MessageTypes, NopIsReadByItsTypeAlone) {
  // The length of a gap of 64 KiB and more overflows, and the seqnum is whatever was there.
  for (const char* hex : {"0000 0800 00000000", "0000 0000 efbeadde", "0000 f8ff efbeadde"}) {
    EXPECT_EQ(Decode(91, Bytes(hex, 0)), "NOP seq=0") << hex;
  }
  EXPECT_EQ(Decode(91, Bytes("0000 0800 000000", 0)), "truncated");
}

TEST(VisitMessage, CallsTheVisitorOnceWithTheStruct) {
  const std::vector<std::byte> bytes = Bytes("4800 1000 0f000000 0100000000c80000", 0);
  ghost_msg header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  int calls = 0;
  const auto visit = [&]<typename T>(const T&) { calls += std::is_same_v<T, TaskAffinityChanged> ? 1 : 100; };
  EXPECT_EQ(VisitMessage(*FindAbi(91), header, bytes.data() + sizeof(header), visit), DecodeError::kOk);
  EXPECT_EQ(calls, 1);
  header.length = 15;
  EXPECT_EQ(VisitMessage(*FindAbi(91), header, bytes.data() + sizeof(header), visit), DecodeError::kShortPayload);
  header.type = MSG_NOP;
  header.length = UINT16_MAX;
  EXPECT_EQ(VisitMessage(*FindAbi(91), header, bytes.data() + sizeof(header), visit), DecodeError::kUnknownType);
  EXPECT_EQ(calls, 1);
}

TEST(MessageTypes, ReusedMessageKeepsNothing) {
  Message message;
  ASSERT_EQ(DecodeMessage(*FindAbi(90), Bytes("4000 1800 0c000000 0100000000c80000 06000000 00000000", 0), &message),
            DecodeError::kOk);
  ASSERT_EQ(DecodeMessage(*FindAbi(69), Bytes("4000 1000 0d000000 0100000000c80000", 0), &message), DecodeError::kOk);
  EXPECT_EQ(ToString(message), "TASK_DEAD seq=13 gtid=219902325555201");
}

TEST(MessageEncoder, RefusesWhatTheVersionLacks) {
  std::byte out[kMaxMessageBytes];
  const auto length = [&](uint32_t version, const Payload& payload) {
    return EncodeMessage(*FindAbi(version), MakeMessage(1, payload), out);
  };
  EXPECT_EQ(length(74, TaskPriorityChanged{}), 0u);
  EXPECT_EQ(length(75, TaskPriorityChanged{}), 24u);
  EXPECT_EQ(length(79, TaskLatchFailure{}), 0u);
  EXPECT_EQ(length(80, TaskLatchFailure{}), 24u);
  EXPECT_EQ(length(70, CpuAvailable{}), 0u);
  EXPECT_EQ(length(71, CpuAvailable{}), 12u);
  EXPECT_EQ(length(70, CpuBusy{}), 0u);
  EXPECT_EQ(length(71, CpuBusy{}), 12u);
  EXPECT_EQ(length(71, AgentBlocked{}), 0u);
  EXPECT_EQ(length(72, AgentBlocked{}), 12u);
  EXPECT_EQ(length(71, AgentWakeup{}), 0u);
  EXPECT_EQ(length(72, AgentWakeup{}), 12u);
  EXPECT_EQ(length(69, std::monostate()), 8u);
}

// What a version has no field for is lost on the way, and comes back as documented.
TEST(MessageEncoder, DropsFieldsThatTheVersionLacks) {
  std::byte out[kMaxMessageBytes];
  const auto round_trip = [&](uint32_t version, const Payload& payload) {
    const AbiVersion& abi = *FindAbi(version);
    return Decode(version, std::span(out, EncodeMessage(abi, MakeMessage(1, payload), out)));
  };
  const TaskNew task_new = {.gtid = 2,
                            .parent_gtid = 3,
                            .runtime_ns = 4,
                            .runnable = true,
                            .nice = 5,
                            .sw_info = {.id = 6, .index = 7},
                            .agent_data = 8};
  EXPECT_EQ(round_trip(69, task_new), "TASK_NEW seq=1 gtid=2 parent_gtid=0 runtime=4 runnable=1 sw=6:7");
  EXPECT_EQ(round_trip(75, task_new), "TASK_NEW seq=1 gtid=2 parent_gtid=0 runtime=4 runnable=1 nice=5 sw=6:7");
  EXPECT_EQ(round_trip(87, task_new), "TASK_NEW seq=1 gtid=2 parent_gtid=3 runtime=4 runnable=1 nice=5 sw=6:7");
  EXPECT_EQ(round_trip(91, task_new),
            "TASK_NEW seq=1 gtid=2 parent_gtid=3 runtime=4 runnable=1 nice=5 sw=6:7 agent_data=8");
  EXPECT_EQ(round_trip(91, TaskNew{.gtid = 2}),
            "TASK_NEW seq=1 gtid=2 parent_gtid=0 runtime=0 runnable=0 nice=0 sw=0:0");
  EXPECT_EQ(round_trip(88, TaskDead{.gtid = 2, .cpu = 3}), "TASK_DEAD seq=1 gtid=2");
  EXPECT_EQ(round_trip(89, TaskDead{.gtid = 2, .cpu = {}}), "TASK_DEAD seq=1 gtid=2 cpu=-1");
  EXPECT_EQ(round_trip(89, CpuTick{.cpu = 2, .is_agent = true}), "CPU_TICK seq=1 cpu=2 is_agent=0");
  EXPECT_EQ(round_trip(78, TaskOnCpu{.gtid = 2, .latched_preempt = true}),
            "TASK_ON_CPU seq=1 gtid=2 cpu=-1 commit_time=0 cpu_seqnum=0 latched_preempt=0");
}

TEST(MessageAccessors, GtidOrCpu) {
  for (const Golden& golden : kGoldens) {
    Message message;
    const std::vector<std::byte> bytes = Bytes(golden.hex, 0);
    ASSERT_EQ(DecodeMessage(*FindAbi(golden.first), bytes, &message), DecodeError::kOk);
    const bool is_task = message.type < _MSG_CPU_FIRST;
    EXPECT_EQ(GtidOf(message), is_task ? 219902325555201 : 0) << golden.text;
    EXPECT_EQ(CpuOf(message), is_task ? -1 : std::to_integer<int>(bytes[8])) << golden.text;
    EXPECT_EQ(TypeOf(message.payload), message.type) << golden.text;
  }
  EXPECT_EQ(GtidOf(Message()), 0);
  EXPECT_EQ(CpuOf(Message()), -1);
}

// Whatever the bytes: an answer, no read beyond them (a sanitizer sees it), and what decodes has a type of its version.
TEST(MessageTypes, RandomBytesAreNeverACrash) {
  std::minstd_rand random(91);
  for (int round = 0; round < 100'000; ++round) {
    std::vector<std::byte> bytes(random() % (2 * kMaxMessageBytes));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    // Mostly types and lengths that may be right.
    if (bytes.size() >= sizeof(ghost_msg) && random() % 8 != 0) {
      bytes[0] = static_cast<std::byte>(random() % 8 == 0 ? random() : random() % 72 + _MSG_TASK_FIRST);
      bytes[1] = bytes[3] = std::byte{0};
      bytes[2] = static_cast<std::byte>(random() % (bytes.size() + 4));
    }
    const AbiVersion& abi = *FindAbi(kOldestAbi + random() % (kNewestAbi - kOldestAbi + 1));
    Message message;
    if (DecodeMessage(abi, bytes, &message) != DecodeError::kOk) continue;
    ASSERT_EQ(TypeOf(message.payload), message.type);
    ASSERT_GE(abi.payload_size[message.type], 0);
  }
}

TEST(MessageNames, Unknown) { EXPECT_EQ(MessageTypeName(200), "type 200"); }

}  // namespace
}  // namespace ghost
