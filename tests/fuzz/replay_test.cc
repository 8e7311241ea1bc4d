// Runs a fuzz target over its corpus: what once broke, and what leads a fuzzer into every corner, in every CI.
#include <dirent.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> files;
  DIR* listing = opendir(directory.c_str());
  if (listing == nullptr) return files;
  while (const dirent* entry = readdir(listing)) {
    if (entry->d_name[0] != '.') files.push_back(directory + "/" + entry->d_name);
  }
  closedir(listing);
  std::sort(files.begin(), files.end());
  return files;
}

TEST(ReplayTest, Corpus) {
  const char* corpus = std::getenv("CORPUS");  // the build rule says
  ASSERT_NE(corpus, nullptr);
  const std::vector<std::string> files = FilesIn(corpus);
  ASSERT_FALSE(files.empty()) << corpus;
  for (const std::string& path : files) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    ASSERT_TRUE(file.good() || file.eof()) << path;
    // A copy of the right size on the heap, so that a sanitizer sees a read beyond its end. A panic names no input:
    // the trace does.
    SCOPED_TRACE(path);
    RecordProperty("last_input", path);
    const std::vector<uint8_t> input(bytes.begin(), bytes.end());
    EXPECT_EQ(LLVMFuzzerTestOneInput(input.data(), input.size()), 0) << path;
  }
}

}  // namespace
