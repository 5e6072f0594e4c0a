// SPDX-License-Identifier: Apache-2.0
// Files of tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace splitnet::testing {

/// A file path of this test's own; the file, if any, is removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name = "file") {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    static std::atomic<int> count{0};
    path_ = (std::filesystem::temp_directory_path() / ("splitnet_" + std::to_string(::getpid()) + "_" + test->name() +
                                                       "_" + std::to_string(++count) + "_" + name))
                .string();
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string read() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes; }

 private:
  std::string path_;
};

}  // namespace splitnet::testing
