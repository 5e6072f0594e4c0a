// SPDX-License-Identifier: Apache-2.0
#include "aws/base64.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>

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
  std::string result(base64_size(text.size()), '\0');
  write_base64(result.data(), in_pieces(text, sizes));
  return result;
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

/// As OpenSSL writes it.
std::string reference(const std::string& plain) {
  std::string text(base64_size(plain.size()), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(plain.data()),
                  static_cast<int>(plain.size()));
  return text;
}

TEST(Base64, EveryLengthAndEveryNumberOfSixBits) {
  std::string text;
  for (std::size_t size = 0; size < 300; ++size) {
    EXPECT_EQ(base64(text), reference(text)) << size;
    EXPECT_EQ(decoded(base64(text)), text) << size;
    text += static_cast<char>(size * 2654435761U >> 24);
  }
  std::string numbers;  // 0 to 63, three times, at each place of a vector.
  for (unsigned i = 0; i < 192; i += 4) {
    const unsigned four = (i % 64) << 18 | (i + 1) % 64 << 12 | (i + 2) % 64 << 6 | (i + 3) % 64;
    for (const unsigned shift : {16U, 8U, 0U}) numbers += static_cast<char>(four >> shift);
  }
  EXPECT_EQ(base64(numbers), reference(numbers));
  EXPECT_EQ(decoded(base64(numbers)), numbers);
}

TEST(Base64, OneWrongCharacterAnywhere) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string right(120, 'A');
  for (std::size_t at = 0; at < right.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      if (at + 2 >= right.size() && c == '=') continue;  // Padding.
      std::string text = right;
      text[at] = static_cast<char>(c);
      const bool is_one = alphabet.find(text[at]) != std::string::npos;
      EXPECT_EQ(decoded(text) != "none", is_one) << at << ' ' << c;
    }
  }
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
