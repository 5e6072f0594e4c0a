// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of message_fuzz: `make_corpus tests/fuzz/corpus/message`.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include "../message_samples.hpp"

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::filesystem::path directory(argv[1]);
  std::filesystem::create_directories(directory);
  for (const auto& [name, message] : splitnet::testing::sample_messages()) {
    const auto bytes = splitnet::testing::encoded_bytes(message);
    std::ofstream file(directory / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "%s can't be written\n", name.c_str());
      return 1;
    }
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
