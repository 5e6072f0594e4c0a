// SPDX-License-Identifier: Apache-2.0
#include "aws/base64.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace splitnet::detail {
namespace {

/// The text in pieces of these sizes, over and over.
EncodedMessage in_pieces(const std::string& text, const std::vector<std::size_t>& sizes) {
  EncodedMessage message;
  message.size_bytes = text.size();
  const auto bytes = std::as_bytes(std::span(text));
  std::size_t at = 0;
  for (std::size_t i = 0; at < text.size(); ++i) {
    const auto size = std::min(sizes[i % sizes.size()], text.size() - at);
    message.buffers.push_back(bytes.subspan(at, size));
    at += size;
  }
  return message;
}

std::string base64(const std::string& text, const std::vector<std::size_t>& sizes = {1 << 20}) {
  std::string result = "x";
  append_base64(result, in_pieces(text, sizes));
  return result.substr(1);
}

std::shared_ptr<BufferPool> pool() {
  static const auto one = std::make_shared<BufferPool>(1 << 20);
  return one;
}

std::string decoded(const std::string& text) {
  const auto bytes = decode_base64(text, *pool());
  if (!bytes) return "none";
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size_bytes());
}

// RFC 4648, section 10.
TEST(Base64, TheExamplesOfTheStandard) {
  const std::vector<std::pair<std::string, std::string>> examples = {{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : examples) {
    EXPECT_EQ(base64(plain), encoded);
    EXPECT_EQ(decoded(encoded), plain);
  }
}

TEST(Base64, PiecesMakeNoDifference) {
  std::string text(10'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 24);
  const std::string whole = base64(text);
  const std::vector<std::vector<std::size_t>> all = {{1}, {2}, {3}, {4}, {1, 1, 64}, {64, 7, 5}, {0, 1, 0, 2, 100}};
  for (const auto& sizes : all) EXPECT_EQ(base64(text, sizes), whole);
  EXPECT_EQ(decoded(whole), text);
}

TEST(Base64, RunsOfMegabytes) {
  std::string text((7 << 20) + 1, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 24);
  const std::string whole = base64(text, {(5 << 20) + 2});
  EXPECT_EQ(whole.size(), base64_size(text.size()));
  EXPECT_EQ(decoded(whole), text);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(decode_base64(whole, *pool())->data()) % 64, 0U);
}

TEST(Base64, WhatIsNone) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Z===", "====", "Zg==Zg==", "Zm9v\n", " Zm9v", "Zm9 ",
                           "Zm9\xff", "Zm9-", "Zm9_", "Z=g=", "Zm9vZ=g="}) {
    EXPECT_EQ(decoded(text), "none") << text;
  }
}

}  // namespace
}  // namespace splitnet::detail
