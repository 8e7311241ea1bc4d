#include "lib/base/cpu_set.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

// The set that `text` means, as a list, or the error.
std::string List(std::string_view text, int limit = CpuSet::kMaxCpus) {
  CpuSet cpus;
  switch (ParseCpuList(text, &cpus, limit)) {
    case CpuParseError::kOk:
      return ToCpuList(cpus);
    case CpuParseError::kSyntax:
      return "syntax";
    case CpuParseError::kRange:
      return "range";
    case CpuParseError::kOverflow:
      return "overflow";
  }
  return "?";
}

std::string Mask(std::string_view text, int limit = CpuSet::kMaxCpus) {
  CpuSet cpus;
  switch (ParseCpuMask(text, &cpus, limit)) {
    case CpuParseError::kOk:
      return ToCpuList(cpus);
    case CpuParseError::kSyntax:
      return "syntax";
    case CpuParseError::kRange:
      return "range";
    case CpuParseError::kOverflow:
      return "overflow";
  }
  return "?";
}

TEST(CpuSet, Members) {
  CpuSet cpus = {0, 63, 64, 1023};
  EXPECT_EQ(cpus.size(), 4);
  EXPECT_FALSE(cpus.empty());
  EXPECT_EQ(cpus.ToVector(), (std::vector<int>{0, 63, 64, 1023}));
  EXPECT_EQ(cpus.First(), 0);
  EXPECT_EQ(cpus.Last(), 1023);
  EXPECT_EQ(cpus.Next(64), 1023);
  EXPECT_EQ(cpus.Next(1023), -1);
  EXPECT_FALSE(cpus.Contains(-1));
  EXPECT_FALSE(cpus.Contains(1024));
  cpus.Remove(63);
  EXPECT_EQ(cpus, (CpuSet{0, 64, 1023}));
  cpus.Clear();
  EXPECT_TRUE(cpus.empty());
  EXPECT_EQ(cpus.First(), -1);
  EXPECT_EQ(cpus.Last(), -1);
}

TEST(CpuSet, RemovingWhileIterating) {
  CpuSet cpus = CpuSet::FirstN(130);
  int seen = 0;
  for (int cpu : cpus) {
    cpus.Remove(cpu);
    ++seen;
  }
  EXPECT_EQ(seen, 130);
  EXPECT_TRUE(cpus.empty());
}

TEST(CpuSet, Algebra) {
  const CpuSet a = {1, 2, 100};
  const CpuSet b = {2, 100, 500};
  EXPECT_EQ(a & b, (CpuSet{2, 100}));
  EXPECT_EQ(a | b, (CpuSet{1, 2, 100, 500}));
  EXPECT_EQ(a - b, (CpuSet{1}));
  EXPECT_TRUE(a.Intersects(b));
  EXPECT_FALSE((a - b).Intersects(b));
  EXPECT_TRUE((a & b).IsSubsetOf(a));
  EXPECT_FALSE(a.IsSubsetOf(b));
}

// Sets of all densities, against the plainest thing that does the same.
TEST(CpuSet, DoesWhatASetOfNumbersDoes) {
  std::mt19937 random(1);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  const auto to_vector = [](const std::set<int>& numbers) { return std::vector<int>(numbers.begin(), numbers.end()); };
  for (int round = 0; round < 500; ++round) {
    CpuSet a, b;
    std::set<int> in_a, in_b;
    const int range = 1 + draw(CpuSet::kMaxCpus);
    for (int i = draw(2 * range); i > 0; --i) {
      const int cpu = draw(range);
      const bool add = draw(4) != 0;
      CpuSet& cpus = draw(2) == 0 ? a : b;
      std::set<int>& numbers = &cpus == &a ? in_a : in_b;
      add ? cpus.Add(cpu) : cpus.Remove(cpu);
      add ? (void)numbers.insert(cpu) : (void)numbers.erase(cpu);
    }
    std::set<int> both, either = in_b, only_a;
    for (int cpu : in_a) (in_b.count(cpu) != 0 ? both : only_a).insert(cpu);
    either.insert(in_a.begin(), in_a.end());
    ASSERT_EQ(a.ToVector(), to_vector(in_a));
    ASSERT_EQ((a & b).ToVector(), to_vector(both));
    ASSERT_EQ((a | b).ToVector(), to_vector(either));
    ASSERT_EQ((a - b).ToVector(), to_vector(only_a));
    ASSERT_EQ(a.size(), static_cast<int>(in_a.size()));
    ASSERT_EQ(a.empty(), in_a.empty());
    ASSERT_EQ(a.First(), in_a.empty() ? -1 : *in_a.begin());
    ASSERT_EQ(a.Last(), in_a.empty() ? -1 : *in_a.rbegin());
    ASSERT_EQ(a.FirstIn(b), both.empty() ? -1 : *both.begin());
    ASSERT_EQ(a.Intersects(b), !both.empty());
    ASSERT_EQ(a.IsSubsetOf(b), only_a.empty());
    ASSERT_EQ((a & b) | (a - b), a);
    for (int cpu = -1; cpu < CpuSet::kMaxCpus; ++cpu) {
      ASSERT_EQ(a.Contains(cpu), in_a.count(cpu) != 0);
      const auto next = in_a.upper_bound(cpu);
      ASSERT_EQ(a.Next(cpu), next == in_a.end() ? -1 : *next);
    }
  }
}

TEST(CpuSet, KernelType) {
  cpu_set_t kernel;
  CPU_ZERO(&kernel);
  CPU_SET(3, &kernel);
  CPU_SET(1000, &kernel);
  EXPECT_EQ(CpuSet::FromCpuSetT(kernel), (CpuSet{3, 1000}));
  const cpu_set_t back = CpuSet{3, 1000}.ToCpuSetT();
  EXPECT_TRUE(CPU_EQUAL(&back, &kernel));
}

TEST(ParseCpuList, Valid) {
  EXPECT_EQ(List(""), "");
  EXPECT_EQ(List("\n"), "");
  EXPECT_EQ(List("5"), "5");
  EXPECT_EQ(List("0-3,8"), "0-3,8");
  EXPECT_EQ(List("0-3,8\n"), "0-3,8");
  EXPECT_EQ(List(" 1 , 2\t,4 "), "1-2,4");
  EXPECT_EQ(List("3,1,2,1"), "1-3");
  EXPECT_EQ(List("7-7"), "7");
  EXPECT_EQ(List("1023"), "1023");
  EXPECT_EQ(List("0-1023"), "0-1023");
}

TEST(ParseCpuList, Groups) {
  EXPECT_EQ(List("0-9:2/4"), "0-1,4-5,8-9");
  EXPECT_EQ(List("1-5:1/2"), "1,3,5");
  EXPECT_EQ(List("0-3:0/2"), "");
  EXPECT_EQ(List("0-3:4294967295/4294967295"), "0-3");
  EXPECT_EQ(List("0-3:2/0"), "syntax");
  EXPECT_EQ(List("0-3:3/2"), "syntax");
  EXPECT_EQ(List("0-3:1"), "syntax");
  EXPECT_EQ(List("0-3:1/"), "syntax");
  EXPECT_EQ(List("3:1/2"), "syntax");
}

TEST(ParseCpuList, Invalid) {
  for (const char* text : {"foo", "1-", "-1", "-", "3-1", "1-2-3", "0x1", "1;2", "1.5", "0-3:/", "+1", "1- 2"}) {
    EXPECT_EQ(List(text), "syntax") << text;
  }
  EXPECT_EQ(List("1024"), "range");
  EXPECT_EQ(List("0-99999"), "range");
  EXPECT_EQ(List("0-8", 8), "range");
  EXPECT_EQ(List("0-7", 8), "0-7");
  EXPECT_EQ(List("0", 0), "range");
  EXPECT_EQ(List("4294967295"), "range");
  EXPECT_EQ(List("4294967296"), "overflow");
  EXPECT_EQ(List("99999999999999999999999"), "overflow");
}

TEST(ParseCpuList, ErrorLeavesTheSetAlone) {
  CpuSet cpus = {7};
  EXPECT_NE(ParseCpuList("0-3,x", &cpus), CpuParseError::kOk);
  EXPECT_NE(ParseCpuMask("1,x", &cpus), CpuParseError::kOk);
  EXPECT_EQ(cpus, CpuSet{7});
}

TEST(ParseCpuMask, Valid) {
  EXPECT_EQ(Mask(""), "");
  EXPECT_EQ(Mask("0"), "");
  EXPECT_EQ(Mask("f\n"), "0-3");
  EXPECT_EQ(Mask("1,00000003"), "0-1,32");
  EXPECT_EQ(Mask("1,3"), "0-1,32");
  EXPECT_EQ(Mask("AbC"), "2-5,7,9,11");
  EXPECT_EQ(Mask("80000000,00000000"), "63");
}

TEST(ParseCpuMask, Invalid) {
  EXPECT_EQ(Mask("0x1"), "syntax");
  EXPECT_EQ(Mask("g"), "syntax");
  EXPECT_EQ(Mask("1-2"), "syntax");
  EXPECT_EQ(Mask("100000000"), "overflow");
  EXPECT_EQ(Mask("ff", 8), "0-7");
  EXPECT_EQ(Mask("100", 8), "overflow");
  EXPECT_EQ(Mask("0,ff", 8), "overflow") << "a group beyond the last, even of zeros";
  EXPECT_EQ(Mask("1", 0), "overflow");
}

TEST(ToCpuMask, AsTheKernelPrints) {
  EXPECT_EQ(ToCpuMask(CpuSet::FirstN(2), 2), "3");
  EXPECT_EQ(ToCpuMask({0}, 8), "01");
  EXPECT_EQ(ToCpuMask({}, 32), "00000000");
  EXPECT_EQ(ToCpuMask({0, 1, 32}, 33), "1,00000003");
  EXPECT_EQ(ToCpuMask({63}, 64), "80000000,00000000");
  EXPECT_EQ(ToCpuMask(CpuSet::FirstN(10), 5), "1f") << "members beyond num_cpus are not printed";
}

TEST(CpuSetText, RoundTrips) {
  for (const CpuSet& cpus : {CpuSet{}, CpuSet{0, 2, 4, 1023}, CpuSet::FirstN(1024), CpuSet{31, 32, 33, 511, 512}}) {
    CpuSet list, mask;
    EXPECT_EQ(ParseCpuList(ToCpuList(cpus), &list), CpuParseError::kOk);
    EXPECT_EQ(ParseCpuMask(ToCpuMask(cpus, CpuSet::kMaxCpus), &mask), CpuParseError::kOk);
    EXPECT_EQ(list, cpus);
    EXPECT_EQ(mask, cpus);
  }
}

}  // namespace
}  // namespace ghost
