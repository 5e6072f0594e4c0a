// SPDX-License-Identifier: Apache-2.0
#include "aws/digest.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

using Digest = std::array<unsigned char, EVP_MAX_MD_SIZE>;

std::string_view bytes_of(const Digest& digest, unsigned int size) {
  return {reinterpret_cast<const char*>(digest.data()), size};
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view data) {
  Digest digest;
  unsigned int size = 0;
  if (EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw Error(ErrorCode::internal, "OpenSSL can't compute SHA-256");
  return to_hex(bytes_of(digest, size));
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
  Digest digest;
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
           data.size(), digest.data(), &size) == nullptr)
    throw Error(ErrorCode::internal, "OpenSSL can't compute HMAC-SHA-256");
  return std::string(bytes_of(digest, size));
}

}  // namespace splitnet::detail
